//! Logs of a service: one line an event, to standard error.

mod json;
mod stderr;

use std::io::{self, IsTerminal};

use sap_comm_core::{Timestamp, telemetry};
use tracing_subscriber::{
    EnvFilter,
    fmt::{fmt, format::JsonFields},
};

const TARGET: &str = module_path!();
const LOST: &str = "log lines were lost: they could not be written";

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
/// A pipe, socket or file at standard error is waited for for 100 ms, and in the long run a tenth of the time: lines that it does not take are
/// lost, and the next that it takes says how many. A terminal that stands still stops whoever logs.
///
/// # Errors
/// When `RUST_LOG` is not a valid filter, or a log is set up already.
pub fn init(format: Format, filter: &str) -> Result<(), LoggingError> {
    let filter = match std::env::var("RUST_LOG") {
        Ok(text) => EnvFilter::try_new(&text).map_err(|error| LoggingError(format!("RUST_LOG={text:?}: {error}")))?,
        Err(_) => EnvFilter::try_new(filter).map_err(|error| LoggingError(format!("filter {filter:?}: {error}")))?,
    };
    let builder = fmt().with_env_filter(filter).with_ansi(io::stderr().is_terminal()).with_writer(|| stderr::Stderr);
    // What fails to be written would be told where it cannot be written.
    let builder = builder.log_internal_errors(false);
    stderr::note_by(match format {
        Format::Text => |lost| format!("{} WARN {TARGET}: {LOST} lines={lost}\n", Timestamp::now()).into_bytes(),
        Format::Json => |lost| json::warning(TARGET, LOST, lost),
    });
    match format {
        Format::Text => builder.try_init(),
        Format::Json => builder.event_format(json::Json).fmt_fields(JsonFields::new()).try_init(),
    }
    .map_err(|error| LoggingError(error.to_string()))?;
    telemetry::set_together(stderr::together);
    Ok(())
}
