//! How long until events flow again.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::stage::Stage;

/// Who has not got on by then hangs.
const LIMIT: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(5);
/// What a worker did before the fault was mended is written by then.
const SETTLE: Duration = Duration::from_millis(50);

/// The time since the fault was mended.
pub(super) struct Recovery {
    pub(super) took: Duration,
    /// The workers that have not got on within the limit.
    pub(super) hung: Vec<String>,
}

impl Stage {
    /// Waits until every publisher has a new event confirmed and every consumer has given one its effect.
    pub(super) async fn recovered(&self) -> Recovery {
        let mended = Instant::now();
        sleep(SETTLE).await;
        let before: Vec<_> = self.workers.iter().map(|worker| worker.progress().done).collect();
        loop {
            let behind = self.workers.iter().zip(&before).filter(|(worker, before)| worker.progress().done <= **before);
            let hung: Vec<_> = behind.map(|(worker, _)| worker.name().to_owned()).collect();
            let took = mended.elapsed();
            if hung.is_empty() || took >= LIMIT {
                return Recovery { took, hung };
            }
            sleep(POLL).await;
        }
    }
}
