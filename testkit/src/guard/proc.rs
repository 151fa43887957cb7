//! Which processes live, read from `/proc`.

use std::{fs, path::Path};

/// Whether this process exists and is no zombie.
pub(super) fn is_alive(pid: u32) -> bool {
    stat(Path::new(&format!("/proc/{pid}/stat"))).is_some_and(|stat| stat.lives)
}

/// Whether any process of this group is left that is no zombie.
pub(super) fn group_is_alive(group: u32) -> bool {
    let Ok(entries) = fs::read_dir("/proc") else { return false };
    entries
        .flatten()
        .filter(|entry| entry.file_name().as_encoded_bytes().first().is_some_and(u8::is_ascii_digit))
        .filter_map(|entry| stat(&entry.path().join("stat")))
        .any(|stat| stat.lives && stat.group == group)
}

struct Stat {
    lives: bool,
    group: u32,
}

/// `pid (name) state parent group …`, where the name may hold anything, parentheses too.
fn stat(path: &Path) -> Option<Stat> {
    let text = fs::read_to_string(path).ok()?;
    let mut fields = text.rsplit_once(')')?.1.split_whitespace();
    let state = fields.next()?;
    let group = fields.nth(1)?.parse().ok()?;
    Some(Stat { lives: !matches!(state, "Z" | "X" | "x"), group })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_and_its_group_are_alive() {
        let me = std::process::id();
        assert!(is_alive(me));
        let group = stat(Path::new("/proc/self/stat")).unwrap().group;
        assert!(group_is_alive(group));
    }

    #[test]
    fn a_process_that_was_waited_for_is_gone() {
        let mut child = std::process::Command::new("true").spawn().unwrap();
        child.wait().unwrap();
        assert!(!is_alive(child.id()));
    }
}
