//! How many cores there are for the calling thread: as std counts them, but for the quotas of cgroups of version 1, the way to which is twenty
//! times this code.

use std::fs;

use nix::sched::{CpuSet, sched_getaffinity};
use nix::unistd::Pid;

pub(crate) fn count() -> usize {
    let own = Pid::from_raw(0);
    let allowed = |set: CpuSet| (0..CpuSet::count()).filter(|core| set.is_set(*core).unwrap_or(false)).count();
    let cores = sched_getaffinity(own).map_or(1, allowed);
    fs::read_to_string("/proc/self/cgroup").map_or(cores, |groups| cores.min(quota(&groups, read_max))).max(1)
}

fn read_max(group: &str) -> Option<String> {
    fs::read_to_string(format!("/sys/fs/cgroup{group}/cpu.max")).ok()
}

/// The least of the quotas of a cgroup and those that it is in, in whole cores.
fn quota(groups: &str, max_of: impl Fn(&str) -> Option<String>) -> usize {
    let mut least = usize::MAX;
    let mut group = groups.lines().find_map(|line| line.strip_prefix("0::"));
    while let Some(path) = group {
        let max = max_of(path.trim_end_matches('/')).unwrap_or_default();
        if let Some((Ok(quota), Ok(period @ 1..))) =
            max.trim().split_once(' ').map(|(quota, period)| (quota.parse::<usize>(), period.parse::<usize>()))
        {
            least = least.min(quota / period);
        }
        group = path.rfind('/').map(|end| &path[..end]);
    }
    least
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_as_std_finds() {
        assert_eq!(count(), std::thread::available_parallelism().map_or(1, usize::from));
    }

    #[test]
    fn the_least_quota_on_the_way_to_the_root_counts() {
        let max_of = |group: &str| match group {
            "/a/b" => Some("max 100000\n".to_owned()),
            "/a" => Some("250000 100000\n".to_owned()),
            "" => Some("800000 100000\n".to_owned()),
            _ => None,
        };
        let quota = |group: &str| quota(&format!("1:cpu:/else\n0::{group}\n"), max_of);
        assert_eq!((quota("/a/b"), quota("/a"), quota("/c"), quota("/")), (2, 2, 8, 8));
        assert_eq!(super::quota("1:cpu:/a\n", max_of), usize::MAX);
    }
}
