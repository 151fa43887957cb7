//! Logs of a service: one line an event, to standard error.

mod json;
mod stderr;

use std::io::{self, IsTerminal};

use sap_comm_core::telemetry;
use tracing_subscriber::{
    EnvFilter,
    fmt::{fmt, format::JsonFields},
};

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Format {
    /// For people at a terminal.
    #[default]
    Text,
    /// One JSON object a line, for collectors.
    Json,
}

/// The log could not be set up; most often because it was already.
#[derive(Debug, thiserror::Error)]
#[error("logging: {0}")]
pub struct LoggingError(String);

/// Sets up the log of the process. `RUST_LOG` chooses what is logged, else `filter`.
///
/// # Errors
/// When `RUST_LOG` is not a valid filter, or a log is set up already.
pub fn init(format: Format, filter: &str) -> Result<(), LoggingError> {
    let filter = match std::env::var("RUST_LOG") {
        Ok(text) => EnvFilter::try_new(&text).map_err(|error| LoggingError(format!("RUST_LOG={text:?}: {error}")))?,
        Err(_) => EnvFilter::try_new(filter).map_err(|error| LoggingError(format!("filter {filter:?}: {error}")))?,
    };
    let builder = fmt().with_env_filter(filter).with_ansi(io::stderr().is_terminal()).with_writer(|| stderr::Stderr);
    match format {
        Format::Text => builder.try_init(),
        Format::Json => builder.event_format(json::Json).fmt_fields(JsonFields::new()).try_init(),
    }
    .map_err(|error| LoggingError(error.to_string()))?;
    telemetry::set_together(stderr::together);
    Ok(())
}
