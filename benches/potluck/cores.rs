//! Which cores a thread may run on.

use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;

use crate::Outcome;

/// The calling thread.
const THIS: Pid = Pid::from_raw(0);

/// The cores that this thread may run on.
pub(crate) fn allowed() -> Outcome<Vec<usize>> {
    let set = sched_getaffinity(THIS)?;
    let cores: Vec<usize> = (0..CpuSet::count()).filter(|core| set.is_set(*core).unwrap_or(false)).collect();
    if cores.is_empty() { Err("no core to run on".into()) } else { Ok(cores) }
}

/// Keeps this thread to these cores, and the threads and processes that it makes from now on.
pub(crate) fn keep_to(cores: &[usize]) -> nix::Result<()> {
    let mut set = CpuSet::new();
    for core in cores {
        set.set(*core)?;
    }
    sched_setaffinity(THIS, &set)
}
