//! OpenTelemetry's spans and metrics of messaging; without the feature `otel` nothing, for nothing.

#[cfg(not(feature = "otel"))]
mod off;
#[cfg(feature = "otel")]
mod otel;
#[cfg(feature = "otel")]
mod trace;

#[cfg(not(feature = "otel"))]
pub(crate) use off::{Processing, Sending, Telemetry};
#[cfg(feature = "otel")]
pub(crate) use otel::{Processing, Sending, Telemetry};
