//! Readiness: a descriptor for poll loops that is readable as long as a call would return at once.
//!
//! Whoever owns the state that the call depends on keeps a `Readiness` beside it, under the same lock, and says after each change
//! whether it is ready now. So what was said last is true, and a call to the system is made only when that changes. There is nothing
//! until somebody asks for a descriptor. All who ask get a duplicate of one: none of them is ever read or written by its owner,
//! and it stays readable when the state ends ready, which every state does.

#[cfg(unix)]
use std::io;
#[cfg(unix)]
use std::os::fd::{AsFd, OwnedFd};

#[cfg(unix)]
use crate::cancel;
#[cfg(unix)]
use crate::error::{Error, Result};

#[derive(Default)]
pub(crate) struct Readiness {
    #[cfg(unix)]
    flag: Option<Flag>,
    is_ready: bool,
}

impl Readiness {
    /// What is so now.
    pub(crate) fn set(&mut self, is_ready: bool) {
        if self.is_ready == is_ready {
            return;
        }
        self.is_ready = is_ready;
        #[cfg(unix)]
        if let Some(flag) = &self.flag {
            cancel::put_off(|| if is_ready { flag.raise() } else { flag.lower() });
        }
    }

    /// A descriptor of the caller's own; the first one makes what all others are duplicates of.
    #[cfg(unix)]
    pub(crate) fn descriptor(&mut self) -> Result<OwnedFd> {
        cancel::put_off(|| self.duplicate())
            .map_err(|error| Error::LimitReached(format!("descriptors of this process: {error}")))
    }

    #[cfg(unix)]
    fn duplicate(&mut self) -> io::Result<OwnedFd> {
        let flag = match &mut self.flag {
            Some(flag) => flag,
            none => {
                let flag = Flag::new()?;
                if self.is_ready {
                    flag.raise();
                }
                none.insert(flag)
            }
        };
        flag.as_fd().try_clone_to_owned()
    }
}

#[cfg(unix)]
impl Drop for Readiness {
    fn drop(&mut self) {
        if let Some(flag) = self.flag.take() {
            cancel::put_off(|| drop(flag));
        }
    }
}

/// A descriptor of something that is ready for good.
#[cfg(unix)]
pub(crate) fn of_ready() -> Result<OwnedFd> {
    let mut readiness = Readiness::default();
    readiness.set(true);
    readiness.descriptor()
}

#[cfg(any(target_os = "linux", target_os = "android"))]
use eventfd::Flag;
#[cfg(all(unix, not(any(target_os = "linux", target_os = "android"))))]
use pipe::Flag;

/// What is done to a flag fails only for bad arguments, or since it is as it is to be already.
#[cfg(any(target_os = "linux", target_os = "android"))]
mod eventfd {
    use std::os::fd::{AsFd, BorrowedFd};

    use nix::sys::eventfd::{EfdFlags, EventFd};

    pub(super) struct Flag(EventFd);

    impl Flag {
        pub(super) fn new() -> nix::Result<Flag> {
            EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK).map(Flag)
        }

        pub(super) fn raise(&self) {
            let _ = self.0.write(1);
        }

        pub(super) fn lower(&self) {
            let _ = self.0.read();
        }
    }

    impl AsFd for Flag {
        fn as_fd(&self) -> BorrowedFd<'_> {
            self.0.as_fd()
        }
    }
}

/// Elsewhere a pipe with at most one byte in it. Its writing end is here alone, so that end of file comes with it; until then a byte
/// says the same.
#[cfg(all(unix, any(test, not(any(target_os = "linux", target_os = "android")))))]
mod pipe {
    use std::io::{self, PipeReader, PipeWriter, Read, Write};
    use std::os::fd::{AsFd, BorrowedFd};

    use nix::fcntl::{FcntlArg, OFlag, fcntl};

    pub(super) struct Flag(PipeReader, PipeWriter);

    impl Flag {
        pub(super) fn new() -> io::Result<Flag> {
            let (reader, writer) = io::pipe()?;
            for end in [reader.as_fd(), writer.as_fd()] {
                fcntl(end, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
            }
            Ok(Flag(reader, writer))
        }

        pub(super) fn raise(&self) {
            let _ = (&self.1).write(&[1]);
        }

        pub(super) fn lower(&self) {
            let _ = (&self.0).read(&mut [0]);
        }
    }

    impl AsFd for Flag {
        fn as_fd(&self) -> BorrowedFd<'_> {
            self.0.as_fd()
        }
    }
}

#[cfg(all(test, unix))]
mod tests {
    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

    use super::*;

    fn is_readable(descriptor: &impl AsFd) -> bool {
        let mut looked = [PollFd::new(descriptor.as_fd(), PollFlags::POLLIN)];
        poll(&mut looked, PollTimeout::ZERO).expect("it can be polled") == 1
    }

    #[test]
    fn all_descriptors_say_what_was_said_last() {
        let mut readiness = Readiness::default();
        readiness.set(true);
        let one = readiness.descriptor().expect("there are descriptors left");
        assert!(is_readable(&one));
        readiness.set(false);
        readiness.set(false);
        let two = readiness.descriptor().expect("there are descriptors left");
        assert!(!is_readable(&one) && !is_readable(&two));
        readiness.set(true);
        drop(one);
        assert!(is_readable(&two));
        drop(readiness);
        assert!(is_readable(&two), "for good");
        assert!(is_readable(&of_ready().expect("there are descriptors left")));
    }

    #[test]
    fn a_pipe_is_as_good() {
        let flag = pipe::Flag::new().expect("there are descriptors left");
        assert!(!is_readable(&flag));
        flag.raise();
        flag.raise();
        assert!(is_readable(&flag));
        flag.lower();
        flag.lower();
        flag.lower();
        assert!(!is_readable(&flag));
    }
}
