//! What a process and its children have used, read from `/proc`.

use std::{fs, io, time::Duration};

use crate::BenchError;

/// The unit of times in `/proc`, which Linux fixes for programs whatever its own clock does.
const TICKS_PER_SECOND: u32 = 100;

/// A process with its children and theirs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tree(pub(crate) u32);

impl Tree {
    /// User and system time so far, of ended threads too.
    pub(crate) fn cpu(self) -> Result<Duration, BenchError> {
        self.sum(|pid| {
            let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
            ticks(&stat).ok_or_else(|| io::Error::other(format!("no times in {stat:?}")))
        })
        .map(|ticks| Duration::from_secs(ticks) / TICKS_PER_SECOND)
    }

    /// The most resident memory so far, in KiB; of several processes the sum of what each had at its peak.
    pub(crate) fn peak_kib(self) -> Result<u64, BenchError> {
        self.status("VmHWM:")
    }

    /// Resident memory at this moment, in KiB.
    pub(crate) fn resident_kib(self) -> Result<u64, BenchError> {
        self.status("VmRSS:")
    }

    fn status(self, name: &str) -> Result<u64, BenchError> {
        self.sum(|pid| {
            let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
            kib(&status, name).ok_or_else(|| io::Error::other(format!("no {name} in {status:?}")))
        })
    }

    fn sum(self, of: impl Fn(u32) -> io::Result<u64>) -> Result<u64, BenchError> {
        let members = self.members().map_err(BenchError::refused("list a process's children"))?;
        let parts: io::Result<Vec<u64>> = members.into_iter().map(of).collect();
        Ok(parts.map_err(BenchError::refused("read what a process has used"))?.iter().sum())
    }

    fn members(self) -> io::Result<Vec<u32>> {
        let mut members = vec![self.0];
        let mut next = 0;
        while let Some(pid) = members.get(next).copied() {
            next += 1;
            for task in fs::read_dir(format!("/proc/{pid}/task"))? {
                let children = fs::read_to_string(task?.path().join("children"))?;
                members.extend(children.split_whitespace().filter_map(|child| child.parse::<u32>().ok()));
            }
        }
        Ok(members)
    }
}

/// User and system time of `pid (name) state …`, where the name may hold anything.
fn ticks(stat: &str) -> Option<u64> {
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    Some(fields.next()?.parse::<u64>().ok()? + fields.next()?.parse::<u64>().ok()?)
}

fn kib(status: &str, name: &str) -> Option<u64> {
    status.lines().find_map(|line| line.strip_prefix(name))?.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_stand_behind_whatever_a_process_calls_itself() {
        let stat = "7 (a) b (c) S 1 7 7 0 -1 4194560 100 0 0 0 250 50 9 9 20 0";
        assert_eq!(ticks(stat), Some(300));
        assert_eq!(ticks("7"), None);
    }

    #[test]
    fn this_process_and_its_children_have_used_something() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let tree = Tree(std::process::id());
        assert!(tree.members().unwrap().contains(&child.id()));
        assert!(tree.peak_kib().unwrap() > 0 && tree.resident_kib().unwrap() > 0);
        tree.cpu().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
