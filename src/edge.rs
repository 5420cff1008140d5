//! The edge of what the operating system gives to a thread: past it std aborts the process inside the new thread, when that
//! finds no memory for its signal stack. So a thread is made only while there is room for it and some to spare.
//!
//! - **Address space and data** (`ulimit -v` and `-d`, Linux): what is in use, of which `/proc/self/statm` tells, must leave `SPARE`. It is read
//!   only where there is such a limit, and takes a thirtieth of the time of a whole thread. The limits are asked for each time, since a
//!   host may set them, which takes a hundredth.
//! - **Committed memory** (strict overcommit; everywhere else than on Linux): as much as `SPARE` is mapped and given back first. Meanwhile
//!   somebody else may find nothing left, which is why it is not done for the limits above: there the others are threads of this very process that
//!   are just beginning. Whether overcommit is strict, which is the whole machine's affair, is read with the maps.
//! - **Maps** (Linux: `vm.max_map_count`, of which a thread takes four): counted in `/proc/self/maps`, now and then, and the last
//!   sixteenth is left to the host. A count is good for as many threads as take half of what it left, and for no more than
//!   half of what it counted, so that a host that maps on its own is seen, too, and counting stays a small part of the cost: two lines a thread.
//!   A host that takes the rest between two counts is not seen; nor is anything where `/proc` cannot be read.
//!
//! How many threads a process may have (`ulimit -u`, cgroups, `kernel.pid_max`) the operating system says by itself in time.

use std::fs::{self, File};
use std::io::{self, Read};

use parking_lot::Mutex;

use crate::cancel;
use crate::error::{Error, Result};

/// What was found at the last count. Held while a thread is made, so that no two take the same room.
static FOUND: Mutex<Found> = Mutex::new(Found { until_count: 0, is_strict: true });

struct Found {
    /// How many threads may still be made before maps are counted again.
    until_count: u64,
    /// All memory that is mapped counts, whether it is used or not; or nobody knows.
    is_strict: bool,
}

/// Stack and guard, signal stack and guard.
const MAPS_OF_THREAD: u64 = 4;
/// So many threads are made on any count, if they find room.
const THREADS_OF_COUNT: u64 = 64;

/// Makes a thread by `make`, if there is room.
pub(crate) fn make_thread<T>(make: impl FnOnce() -> io::Result<T>) -> Result<T> {
    if cfg!(any(shuttle, loom)) {
        // A model checker's threads are none of the operating system's, and may be switched under the lock below.
        return make().map_err(|error| Error::LimitReached(format!("threads of this model: {error}")));
    }
    cancel::put_off(|| make_if_there_is_room(make))
}

fn make_if_there_is_room<T>(make: impl FnOnce() -> io::Result<T>) -> Result<T> {
    let mut found = FOUND.lock();
    if found.until_count == 0 {
        *found = Found { until_count: room_by_maps()?, is_strict: is_strict() };
    }
    spare::check_limits().map_err(Error::LimitReached)?;
    if found.is_strict {
        spare::check_memory().map_err(|error| Error::LimitReached(format!("memory for one more thread: {error}")))?;
    }
    let made = make().map_err(|error| Error::LimitReached(format!("threads of this process: {error}")))?;
    found.until_count = found.until_count.saturating_sub(1);
    Ok(made)
}

/// Whether more cannot be mapped than there is, as far as anybody can say.
fn is_strict() -> bool {
    fs::read_to_string("/proc/sys/vm/overcommit_memory").map_or(true, |mode| !matches!(mode.trim(), "0" | "1"))
}

/// For how many threads the maps of this process need no new count.
fn room_by_maps() -> Result<u64> {
    let read = || -> Option<(u64, u64)> {
        let max = fs::read_to_string("/proc/sys/vm/max_map_count").ok()?.trim().parse().ok()?;
        Some((max, count_lines(File::open("/proc/self/maps").ok()?).ok()?))
    };
    match read() {
        Some((max, count)) => threads_until_count(max, count),
        None => Ok(0),
    }
}

fn threads_until_count(max: u64, count: u64) -> Result<u64> {
    let threads = (max - max / 16).saturating_sub(count) / MAPS_OF_THREAD;
    if threads == 0 {
        return Err(Error::LimitReached(format!("vm.max_map_count is {max}, and this process has {count} maps")));
    }
    Ok((threads / 2).min(THREADS_OF_COUNT.max(count / 2)))
}

fn count_lines(mut file: impl Read) -> io::Result<u64> {
    let mut buffer = [0; 4096];
    let mut lines = 0;
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Ok(lines),
            Ok(len) => lines += buffer[..len].iter().filter(|byte| **byte == b'\n').count() as u64,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

#[cfg(unix)]
#[expect(unsafe_code, reason = "the operating system gives and takes pages by address")]
mod spare {
    use std::num::NonZeroUsize;

    use nix::sys::mman::{MapFlags, ProtFlags, mmap_anonymous, munmap};
    #[cfg(target_os = "linux")]
    use nix::sys::resource::{RLIM_INFINITY, Resource, getrlimit};
    #[cfg(target_os = "linux")]
    use nix::unistd::{SysconfVar, sysconf};

    /// The stack of a thread is 2 MiB, unless the host says otherwise; the rest is for the signal stacks of those that are just
    /// beginning, and for small allocations.
    const SPARE: NonZeroUsize = NonZeroUsize::new(8 << 20).unwrap();

    /// Whether the limits of this process leave so much; says which does not.
    #[cfg(target_os = "linux")]
    pub(super) fn check_limits() -> Result<(), String> {
        let limit_of = |resource| getrlimit(resource).map_or(RLIM_INFINITY, |(limit, _)| limit);
        let limits = [("address space", limit_of(Resource::RLIMIT_AS)), ("data", limit_of(Resource::RLIMIT_DATA))];
        if limits.iter().all(|(_, limit)| *limit == RLIM_INFINITY) {
            return Ok(());
        }
        let Some(used) = used() else {
            return check_memory().map_err(|error| format!("address space or data for one more thread: {error}"));
        };
        for ((what, limit), used) in limits.into_iter().zip(used) {
            if used.saturating_add(SPARE.get() as u64) > limit {
                return Err(format!("{what} for one more thread: {used} of {limit} bytes are in use"));
            }
        }
        Ok(())
    }

    /// Everything may fail by itself in time.
    #[cfg(not(target_os = "linux"))]
    pub(super) fn check_limits() -> Result<(), String> {
        Ok(())
    }

    /// The bytes of address space and of data, with the stacks, that this process has mapped.
    #[cfg(target_os = "linux")]
    fn used() -> Option<[u64; 2]> {
        let page = sysconf(SysconfVar::PAGE_SIZE).ok()??;
        let pages = std::fs::read_to_string("/proc/self/statm").ok()?;
        let field = |at| pages.split_whitespace().nth(at)?.parse::<u64>().ok()?.checked_mul(page as u64);
        Some([field(0)?, field(5)?])
    }

    /// Whether so much could be had now. Not by the allocator, whose habits would change with it.
    pub(super) fn check_memory() -> nix::Result<()> {
        // SAFETY: a new mapping where the kernel likes: it touches no other.
        let pages = unsafe {
            let access = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
            mmap_anonymous(None, SPARE, access, MapFlags::MAP_PRIVATE)
        }?;
        // SAFETY: the mapping made above, of which nobody else knows.
        unsafe { munmap(pages, SPARE.get()) }
    }

    #[cfg(all(test, target_os = "linux"))]
    mod tests {
        use super::*;

        #[test]
        fn what_is_mapped_is_in_use() {
            const MANY: NonZeroUsize = NonZeroUsize::new(1 << 30).unwrap();
            let before = used().expect("it can be read");
            // SAFETY: a new mapping where the kernel likes, and its end.
            let after = unsafe {
                let access = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
                let flags = MapFlags::MAP_PRIVATE | MapFlags::MAP_NORESERVE;
                let pages = mmap_anonymous(None, MANY, access, flags).expect("nothing of it is touched");
                let after = used().expect("it can be read");
                munmap(pages, MANY.get()).expect("it is there");
                after
            };
            for (before, after) in before.into_iter().zip(after) {
                // The threads of other tests come and go meanwhile.
                let more = after.abs_diff(before);
                assert!(after > before && (1 << 29..1 << 31).contains(&more), "{more}");
            }
        }
    }
}

#[cfg(not(unix))]
mod spare {
    pub(super) fn check_limits() -> Result<(), String> {
        Ok(())
    }

    pub(super) fn check_memory() -> std::io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_come_closer_towards_the_edge_and_the_last_maps_are_left() {
        assert_eq!(threads_until_count(65530, 100), Ok(64));
        assert_eq!(threads_until_count(65530, 20_000), Ok(5179));
        assert_eq!(threads_until_count(65530, 4_000), Ok(2000));
        assert_eq!(threads_until_count(65530, 60_000), Ok(179));
        assert_eq!(threads_until_count(65530, 61_431), Ok(0), "room for one: it is made, and then counted again");
        let text = "limit reached: vm.max_map_count is 65530, and this process has 61432 maps";
        assert_eq!(threads_until_count(65530, 61_432).map_err(|error| error.to_string()), Err(text.to_owned()));
        assert!(threads_until_count(10, 1_000_000).is_err());
    }

    #[test]
    fn lines_are_counted_whatever_the_pieces() {
        let text = "a map\n".repeat(3000);
        assert_eq!(count_lines(text.as_bytes()).expect("it can be read"), 3000);
        assert_eq!(count_lines(&b""[..]).expect("it can be read"), 0);
    }
}
