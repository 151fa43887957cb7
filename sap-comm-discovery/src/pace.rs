//! When a watch asks again.

use std::{sync::Arc, time::Duration};

use tokio::sync::broadcast::{self, error::RecvError};

/// The first pause after a failure; it doubles up to the longest.
const FIRST_BACKOFF: Duration = Duration::from_secs(1);
const LONGEST_BACKOFF: Duration = Duration::from_secs(30);

/// Hints about services, from [`Resolver::refresh`](sap_comm_core::Resolver::refresh) to the watches.
#[derive(Debug, Clone)]
pub(crate) struct Hints(broadcast::Sender<Arc<str>>);

/// The hints about one service.
#[derive(Debug)]
pub(crate) struct Doubts {
    hints: broadcast::Receiver<Arc<str>>,
    service: Arc<str>,
}

impl Hints {
    pub(crate) fn new() -> Self {
        // A watch that missed hints takes that for one.
        Self(broadcast::channel(16).0)
    }

    pub(crate) fn send(&self, service: &str) {
        // Without a watch there is nothing to refresh.
        let _ = self.0.send(service.into());
    }

    pub(crate) fn about(&self, service: &str) -> Doubts {
        Doubts { hints: self.0.subscribe(), service: service.into() }
    }
}

impl Doubts {
    pub(crate) fn service(&self) -> &str {
        &self.service
    }

    /// Returns once a hint is about the service.
    pub(crate) async fn next(&mut self) {
        loop {
            match self.hints.recv().await {
                Ok(hinted) if hinted != self.service => {}
                Ok(_) | Err(RecvError::Lagged(_)) => return,
                // The resolver is gone, and with it whoever could hint.
                Err(RecvError::Closed) => std::future::pending().await,
            }
        }
    }
}

/// The pause after so many failures before this one.
pub(crate) fn backoff(failures: u32) -> Duration {
    jitter(FIRST_BACKOFF.saturating_mul(1_u32 << failures.min(16)).min(LONGEST_BACKOFF))
}

/// Cuts up to a tenth, so that instances that started together do not ask together.
pub(crate) fn jitter(pause: Duration) -> Duration {
    pause.mul_f64(1.0 - 0.1 * fastrand::f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_back_off_to_a_bound() {
        for (failures, seconds) in [(0, 1), (1, 2), (4, 16), (5, 30), (u32::MAX, 30)] {
            let bound = Duration::from_secs(seconds);
            assert!((bound.mul_f64(0.9)..=bound).contains(&backoff(failures)), "{failures}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_hint_reaches_the_watches_of_its_service() {
        let hints = Hints::new();
        let (mut a, mut b) = (hints.about("a"), hints.about("b"));
        hints.send("a");
        a.next().await;
        assert!(tokio::time::timeout(Duration::from_secs(1), b.next()).await.is_err());
    }
}
