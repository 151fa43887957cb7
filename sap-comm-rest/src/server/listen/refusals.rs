//! The log of what a listener refuses by itself.

use std::{collections::HashMap, time::Duration};

use parking_lot::Mutex;
use sap_comm_core::{ApiError, Context, ErrorCode, telemetry};
use tokio::time::Instant;

/// Logs the refusals of a server: so many of each error code a second, and the number of the others.
#[derive(Debug, Default)]
pub(super) struct Refusals(Mutex<HashMap<ErrorCode, Window>>);

#[derive(Debug, Default)]
struct Window {
    begun: Option<Instant>,
    lines: u32,
    /// Refusals of the code since the last line.
    left_out: u64,
}

const WINDOW: Duration = Duration::from_secs(1);
/// Enough to see what is refused and why; a flood of it fills no disk.
const LINES: u32 = 10;

impl Refusals {
    pub(super) fn log(&self, error: &ApiError, context: &Context) {
        if !tracing::enabled!(tracing::Level::INFO) {
            return;
        }
        let Some(left_out) = self.turn(error.code()) else { return };
        tracing::info!(
            { telemetry::TRACE_ID } = context.trace().trace_id(),
            { telemetry::REQUEST_ID } = context.request_id(),
            { telemetry::ERROR_TYPE } = error.code().as_str(),
            error = %error,
            left_out = (left_out > 0).then_some(left_out),
            "request refused"
        );
    }

    /// Whether the next one leaves a line, and how many before it left none.
    fn turn(&self, code: &ErrorCode) -> Option<u64> {
        let mut windows = self.0.lock();
        // A listener has few codes, of its own choice.
        let window = windows.entry(code.clone()).or_default();
        let now = Instant::now();
        if window.begun.is_none_or(|begun| now.saturating_duration_since(begun) >= WINDOW) {
            (window.begun, window.lines) = (Some(now), 0);
        }
        if window.lines >= LINES {
            window.left_out += 1;
            return None;
        }
        window.lines += 1;
        Some(std::mem::take(&mut window.left_out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_flood_of_refusals_is_counted_and_not_logged() {
        let refusals = Refusals::default();
        let flood = |count| (0..count).filter_map(|_| refusals.turn(&ErrorCode::BAD_REQUEST)).collect::<Vec<_>>();
        assert_eq!(flood(10_000), [0; 10]);
        tokio::time::advance(WINDOW).await;
        assert_eq!(flood(3), [9_990, 0, 0]);
        tokio::time::advance(WINDOW).await;
        assert_eq!(flood(1), [0]);
        assert_eq!(flood(100), [0; 9]);
        assert_eq!(refusals.turn(&ErrorCode::URI_TOO_LONG), Some(0), "one code hides no other");
    }
}
