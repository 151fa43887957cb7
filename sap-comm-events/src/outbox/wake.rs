use std::{sync::Arc, time::Duration};

use tokio::sync::watch;

/// Tells the relays of this process that something was written.
#[derive(Debug, Clone)]
pub(super) struct Wake(Arc<watch::Sender<()>>);

impl Default for Wake {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(())))
    }
}

impl Wake {
    pub(super) fn wake(&self) {
        self.0.send_replace(());
    }

    pub(super) fn listen(&self) -> watch::Receiver<()> {
        self.0.subscribe()
    }
}

/// How long to wait between two looks: briefly after a write, whose commit is near, then ever longer.
#[derive(Debug)]
pub(super) struct Pace {
    next: Duration,
    longest: Duration,
}

const SHORTEST: Duration = Duration::from_millis(1);

impl Pace {
    pub(super) fn new(longest: Duration) -> Self {
        Self { next: SHORTEST, longest }
    }

    pub(super) fn hurry(&mut self) {
        self.next = SHORTEST;
    }

    /// The next wait; up to a tenth is cut at random, so that relays do not look in step.
    pub(super) fn wait(&mut self) -> Duration {
        let wait = self.next.min(self.longest);
        self.next = self.next.saturating_mul(2).min(self.longest);
        wait.mul_f64(1.0 - 0.1 * fastrand::f64())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looks_are_frequent_after_a_write_and_then_rare() {
        let mut pace = Pace::new(Duration::from_secs(1));
        let waits: Vec<_> = (0..12).map(|_| pace.wait()).collect();
        assert!(waits[0] <= Duration::from_millis(1));
        assert!(waits.iter().take(9).sum::<Duration>() < Duration::from_millis(520));
        assert!(waits[11] > Duration::from_millis(900) && waits[11] <= Duration::from_secs(1));
        pace.hurry();
        assert!(pace.wait() <= Duration::from_millis(1));
    }
}
