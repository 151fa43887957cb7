use std::sync::atomic::Ordering;

use sap_comm_core::Endpoint;
use serde::Serialize;

use super::{
    choose,
    published::{Shared, Status},
};

/// What a [`Balancer`](crate::Balancer) knows at one moment.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct BalancerSnapshot {
    /// The service.
    pub service: String,
    /// What the resolver said last.
    pub status: ResolutionStatus,
    /// Why the service cannot be resolved.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Whether so many endpoints are ejected that ejections are ignored.
    pub panic: bool,
    /// The endpoints to pick from.
    pub endpoints: Vec<EndpointSnapshot>,
}

/// What the resolver said last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ResolutionStatus {
    /// Nothing yet.
    Pending,
    /// The endpoints.
    Resolved,
    /// That its source cannot be asked; older endpoints may still serve.
    Unavailable,
}

/// How one endpoint fares.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct EndpointSnapshot {
    /// Where it listens.
    pub endpoint: Endpoint,
    /// The weight that the resolver gave it.
    pub weight: u32,
    /// The share of its weight that it gets, below 1 during slow start.
    pub share: f64,
    /// Calls in flight.
    pub in_flight: u32,
    /// Recent latency in milliseconds, penalties included.
    pub latency_ms: f64,
    /// Calls that succeeded.
    pub successes: u64,
    /// Calls that failed.
    pub failures: u64,
    /// Failures since the last success.
    pub failures_in_a_row: u32,
    /// How long it stays ejected, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ejected_for_ms: Option<u64>,
}

impl BalancerSnapshot {
    pub(super) fn of(shared: &Shared) -> Self {
        let (published, now, config) = (shared.published(), shared.clock().now(), shared.config());
        let (status, error) = match published.status() {
            Status::Pending => (ResolutionStatus::Pending, None),
            Status::Resolved => (ResolutionStatus::Resolved, None),
            Status::Unavailable { error, .. } => (ResolutionStatus::Unavailable, Some(error.reason.clone())),
        };
        let endpoints = published.candidates().iter().map(|candidate| {
            let record = candidate.record();
            EndpointSnapshot {
                endpoint: candidate.endpoint().clone(),
                weight: candidate.endpoint().weight(),
                share: candidate.share(now, config),
                in_flight: record.in_flight.load(Ordering::Relaxed),
                latency_ms: record.latency.current(now, config.latency_decay()) * 1_000.0,
                successes: record.successes.load(Ordering::Relaxed),
                failures: record.failures.load(Ordering::Relaxed),
                failures_in_a_row: record.outlier.failures_in_a_row(),
                ejected_for_ms: record.outlier.ejected_until().checked_sub(now).filter(|left| *left > 0),
            }
        });
        Self {
            service: shared.service().to_owned(),
            status,
            error,
            panic: choose::panics(published.candidates(), now, config),
            endpoints: endpoints.collect(),
        }
    }
}
