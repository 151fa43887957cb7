use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
    time::Duration,
};

use sap_comm_core::Endpoint;

use super::{BalancerConfig, clock::millis, latency::PeakEwma, outlier::Outlier, subject::Subject};

/// One endpoint of the published set, and how it fares.
#[derive(Debug)]
pub(super) struct Candidate {
    subject: Arc<Subject>,
    endpoint: Endpoint,
    record: Arc<Record>,
}

/// How an endpoint fares; survives a change of its weight.
#[derive(Debug)]
pub(super) struct Record {
    pub(super) in_flight: AtomicU32,
    pub(super) successes: AtomicU64,
    pub(super) failures: AtomicU64,
    pub(super) latency: PeakEwma,
    pub(super) outlier: Outlier,
    /// When it joined a set that already served; `None` needs no slow start.
    joined: Option<u64>,
}

/// The share with which an endpoint starts.
const FIRST_SHARE: f64 = 0.1;

impl Candidate {
    pub(super) fn new(subject: Arc<Subject>, endpoint: Endpoint, joined: Option<u64>, now: u64) -> Self {
        let record = Record {
            in_flight: AtomicU32::new(0),
            successes: AtomicU64::new(0),
            failures: AtomicU64::new(0),
            latency: PeakEwma::new(subject.config().initial_latency(), now),
            outlier: Outlier::default(),
            joined,
        };
        Self { subject, endpoint, record: Arc::new(record) }
    }

    /// The same instance, described anew.
    pub(super) fn described(&self, endpoint: Endpoint) -> Self {
        Self { subject: Arc::clone(&self.subject), endpoint, record: Arc::clone(&self.record) }
    }

    pub(super) fn is_instance(&self, endpoint: &Endpoint) -> bool {
        self.endpoint.scheme() == endpoint.scheme() && self.endpoint.authority() == endpoint.authority()
    }

    pub(super) fn subject(&self) -> &Subject {
        &self.subject
    }

    pub(super) fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    pub(super) fn record(&self) -> &Record {
        &self.record
    }

    /// The weight with slow start applied, after joining and after an ejection.
    pub(super) fn weight(&self, now: u64, config: &BalancerConfig) -> f64 {
        f64::from(self.endpoint.weight()) * self.share(now, config)
    }

    /// From [`FIRST_SHARE`] to 1 during slow start.
    pub(super) fn share(&self, now: u64, config: &BalancerConfig) -> f64 {
        let ramp = millis(config.slow_start());
        let returned = Some(self.record.outlier.ejected_until()).filter(|until| (1..=now).contains(until));
        let Some(from) = self.record.joined.max(returned) else { return 1.0 };
        let elapsed = now.saturating_sub(from);
        if elapsed >= ramp {
            return 1.0;
        }
        let progress = elapsed as f64 / ramp as f64;
        FIRST_SHARE + (1.0 - FIRST_SHARE) * progress
    }

    /// What one more request would meet; `relative_weight` is 1 for equal weights.
    pub(super) fn load(&self, relative_weight: f64, now: u64, decay: Duration) -> f64 {
        let in_flight = f64::from(self.record.in_flight.load(Ordering::Relaxed));
        self.record.latency.current(now, decay) * (in_flight / relative_weight + 1.0)
    }

    pub(super) fn is_ejected(&self, now: u64) -> bool {
        self.record.outlier.is_ejected(now)
    }
}
