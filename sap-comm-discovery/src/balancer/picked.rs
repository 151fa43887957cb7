use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use sap_comm_core::Endpoint;
use tokio::time::Instant;

use super::candidate::Candidate;

/// How a call to an endpoint ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The endpoint answered, this long after the pick.
    Success(Duration),
    /// The endpoint began to answer, this long after the pick; nobody waited for the end.
    Begun(Duration),
    /// The endpoint could not be reached, timed out, or answered that it cannot serve.
    Failure,
}

/// An endpoint picked for one call; counts as in flight until dropped.
///
/// Report how the call ended. When it is dropped without a report, the call was given up, and the time until then
/// counts if it was longer than the endpoint's usual latency.
#[must_use = "the call counts as over when this is dropped"]
pub struct Picked {
    candidate: Arc<Candidate>,
    since: Instant,
    reported: AtomicBool,
}

impl Picked {
    pub(super) fn new(candidate: Arc<Candidate>, since: Instant) -> Self {
        candidate.record().in_flight.fetch_add(1, Ordering::Relaxed);
        Self { candidate, since, reported: AtomicBool::new(false) }
    }

    /// Where to send the call.
    #[must_use]
    pub fn endpoint(&self) -> &Endpoint {
        self.candidate.endpoint()
    }

    /// When it was picked.
    #[must_use]
    pub fn since(&self) -> Instant {
        self.since
    }

    /// The time since the pick.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.since.elapsed()
    }

    /// Says how the call ended; a second report is ignored.
    pub fn report(&self, outcome: Outcome) {
        self.report_at(Instant::now(), outcome);
    }

    /// The same, where the clock was read just now.
    pub fn report_at(&self, ended: Instant, outcome: Outcome) {
        if self.reported.swap(true, Ordering::Relaxed) {
            return;
        }
        let (record, subject) = (self.candidate.record(), self.candidate.subject());
        let (config, now) = (subject.config(), subject.clock().at(ended));
        match outcome {
            Outcome::Success(latency) => {
                record.successes.fetch_add(1, Ordering::Relaxed);
                record.latency.observe(latency, now, config.latency_decay());
                record.outlier.success(now);
            }
            Outcome::Begun(latency) => record.latency.observe(latency, now, config.latency_decay()),
            Outcome::Failure => {
                record.failures.fetch_add(1, Ordering::Relaxed);
                let penalty = config.failure_penalty().max(ended.saturating_duration_since(self.since));
                record.latency.observe(penalty, now, config.latency_decay());
                if record.outlier.failure(now, config) {
                    let until = record.outlier.ejected_until();
                    tracing::warn!(
                        service = subject.service(),
                        endpoint = %self.endpoint(),
                        ejected_for_ms = until.saturating_sub(now),
                        "endpoint ejected: it keeps failing",
                    );
                }
                subject.hint_refresh();
            }
        }
    }
}

impl Drop for Picked {
    fn drop(&mut self) {
        let (record, subject) = (self.candidate.record(), self.candidate.subject());
        record.in_flight.fetch_sub(1, Ordering::Relaxed);
        if *self.reported.get_mut() {
            return;
        }
        let now = Instant::now();
        let elapsed = now.saturating_duration_since(self.since);
        if elapsed.as_secs_f64() > record.latency.last() {
            record.latency.observe(elapsed, subject.clock().at(now), subject.config().latency_decay());
        }
    }
}

impl fmt::Debug for Picked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Picked")
            .field("service", &self.candidate.subject().service())
            .field("endpoint", self.endpoint())
            .finish_non_exhaustive()
    }
}
