use std::{ops::Deref, sync::Arc};

use arc_swap::{ArcSwap, Guard};
use sap_comm_core::{EndpointSet, ResolveError, Resolver};
use tokio::{sync::watch, time::Instant};

use super::{BalancerConfig, PickError, candidate::Candidate, subject::Subject};

/// What the watch and the pickers share.
pub(super) struct Shared {
    subject: Arc<Subject>,
    published: ArcSwap<Published>,
    changes: watch::Sender<()>,
}

/// The endpoints to pick from at one moment.
#[derive(Debug)]
pub(super) struct Published {
    candidates: Vec<Arc<Candidate>>,
    status: Status,
}

/// What the resolver said last.
#[derive(Debug, Clone)]
pub(super) enum Status {
    Pending,
    Resolved,
    Unavailable {
        error: ResolveError,
        /// `None` when the resolver does not ask again.
        retry_at: Option<Instant>,
    },
}

impl Shared {
    pub(super) fn new(resolver: Arc<dyn Resolver>, service: &str, config: BalancerConfig) -> Self {
        Self {
            subject: Arc::new(Subject::new(resolver, service, config)),
            published: ArcSwap::from_pointee(Published { candidates: Vec::new(), status: Status::Pending }),
            changes: watch::Sender::new(()),
        }
    }

    pub(super) fn published(&self) -> Guard<Arc<Published>> {
        self.published.load()
    }

    pub(super) fn changes(&self) -> watch::Receiver<()> {
        self.changes.subscribe()
    }

    /// Publishes all endpoints there are; those that were there before keep their record.
    pub(super) fn publish_set(&self, set: &EndpointSet) {
        let now = self.clock().now();
        let before = self.published.load();
        let joined = (!before.candidates.is_empty()).then_some(now);
        let candidates = set.as_slice().iter().map(|endpoint| {
            match before.candidates.iter().find(|candidate| candidate.is_instance(endpoint)) {
                Some(candidate) if candidate.endpoint() == endpoint => Arc::clone(candidate),
                Some(candidate) => Arc::new(candidate.described(endpoint.clone())),
                None => Arc::new(Candidate::new(Arc::clone(&self.subject), endpoint.clone(), joined, now)),
            }
        });
        self.store(Published { candidates: candidates.collect(), status: Status::Resolved });
    }

    /// Publishes what the resolver said, and keeps the endpoints.
    pub(super) fn publish_status(&self, status: Status) {
        let candidates = self.published.load().candidates.clone();
        self.store(Published { candidates, status });
    }

    /// Drops the endpoints and keeps what the resolver said.
    pub(super) fn publish_stale(&self) {
        let status = self.published.load().status.clone();
        self.store(Published { candidates: Vec::new(), status });
    }

    fn store(&self, published: Published) {
        self.published.store(Arc::new(published));
        self.changes.send_replace(());
    }
}

impl Deref for Shared {
    type Target = Subject;

    fn deref(&self) -> &Subject {
        &self.subject
    }
}

impl Published {
    pub(super) fn candidates(&self) -> &[Arc<Candidate>] {
        &self.candidates
    }

    pub(super) fn status(&self) -> &Status {
        &self.status
    }

    /// Why there is nothing to pick.
    pub(super) fn fault(&self, service: &str) -> PickError {
        match &self.status {
            Status::Pending => {
                let reason = "the resolver has not answered yet".to_owned();
                PickError::Unresolved(ResolveError { service: service.to_owned(), reason })
            }
            Status::Resolved => PickError::NoEndpoints { service: service.to_owned() },
            Status::Unavailable { error, .. } => PickError::Unresolved(error.clone()),
        }
    }

    /// What a caller that waits until `deadline` can be told now; `None` while an answer may still come.
    pub(super) fn readiness(&self, service: &str, deadline: Instant) -> Option<Result<(), PickError>> {
        if !self.candidates.is_empty() {
            return Some(Ok(()));
        }
        let waits = match &self.status {
            Status::Pending => true,
            Status::Resolved => false,
            Status::Unavailable { retry_at, .. } => retry_at.is_some_and(|retry_at| retry_at < deadline),
        };
        (!waits).then(|| Err(self.fault(service)))
    }
}
