//! How many files the process may have open, of which each connection is one.

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// What a process has open besides a server's connections: those to services, databases and brokers, listeners, files.
const BESIDES: u64 = 1_024;

/// Raises the limit of open files as far as the system lets it to what so many connections need with so many files each; says so
/// where that is not enough. Past the limit connections that rest are ended for further ones, and connects to services fail.
pub(super) fn make_room(max_connections: usize, files_each: usize) {
    let needed = u64::try_from(max_connections.saturating_mul(files_each)).unwrap_or(u64::MAX).saturating_add(BESIDES);
    let (soft, hard) = match getrlimit(Resource::RLIMIT_NOFILE) {
        Ok(limits) => limits,
        Err(error) => return tracing::warn!(%error, "the limit of open files is not known"),
    };
    let Some(wanted) = raised(soft, hard, needed) else { return };
    let open_files = match setrlimit(Resource::RLIMIT_NOFILE, wanted, hard) {
        Ok(()) => wanted,
        Err(_) => soft,
    };
    if open_files < needed {
        tracing::warn!(open_files, needed, max_connections, "the limit of open files is too low for `max_connections`");
    } else {
        tracing::debug!(before = soft, open_files, "raised the limit of open files");
    }
}

/// What the limit is to be; `None` where it suffices.
fn raised(soft: u64, hard: u64, needed: u64) -> Option<u64> {
    (soft < needed).then(|| needed.min(hard).max(soft))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_is_raised_to_what_is_needed_and_never_lowered() {
        assert_eq!(raised(1_024, 1 << 20, 11_024), Some(11_024));
        assert_eq!(raised(1_024, 4_096, 11_024), Some(4_096), "as far as the system lets it");
        assert_eq!(raised(4_096, 4_096, 11_024), Some(4_096));
        assert_eq!(raised(11_024, 1 << 20, 11_024), None);
        assert_eq!(raised(u64::MAX, u64::MAX, 11_024), None);
    }

    #[test]
    fn a_server_raises_the_limit_of_its_process() {
        let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
        // Other tests of this process need few.
        let low = soft.min(hard).min(2_000);
        let raised = [1, 2].map(|files_each| {
            setrlimit(Resource::RLIMIT_NOFILE, low, hard).unwrap();
            make_room(2_000, files_each);
            getrlimit(Resource::RLIMIT_NOFILE).unwrap().0
        });
        setrlimit(Resource::RLIMIT_NOFILE, soft, hard).unwrap();
        assert_eq!(raised, [hard.min(2_000 + BESIDES), hard.min(4_000 + BESIDES)]);
    }
}
