//! OpenTelemetry's spans and metrics of messaging; without the feature `otel` nothing, for nothing.

#[cfg(not(feature = "otel"))]
mod off;
#[cfg(feature = "otel")]
mod otel;
#[cfg(feature = "otel")]
mod trace;

use crate::backend::Delivery;

#[cfg(not(feature = "otel"))]
pub(crate) use off::{Processing, Sending, Telemetry};
#[cfg(feature = "otel")]
pub(crate) use otel::{Processing, Sending, Telemetry};

/// Where a message, or a batch of one type, was consumed.
#[derive(Clone, Copy)]
#[cfg_attr(not(feature = "otel"), expect(dead_code, reason = "nothing is measured"))]
pub(crate) struct Received<'a> {
    pub(crate) exchange: &'a str,
    pub(crate) group: &'a str,
    pub(crate) delivery: &'a Delivery,
}
