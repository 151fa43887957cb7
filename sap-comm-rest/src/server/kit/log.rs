use std::error::Error as _;

use axum::response::Response;
use sap_comm_core::{ApiError, telemetry};
use tokio::time::Instant;
use tracing::Span;

/// The one line that a request leaves in the log, also when its client went away.
#[derive(Debug)]
pub(super) struct Line {
    span: Span,
    started: Instant,
    written: bool,
}

impl Line {
    pub(super) fn begin(span: Span) -> Self {
        Self { span, started: Instant::now(), written: false }
    }

    pub(super) fn end(mut self, response: &Response) {
        self.written = true;
        let _entered = self.span.enter();
        let status = response.status();
        let duration_ms = self.duration_ms();
        let error = response.extensions().get::<ApiError>();
        let code = error.map(|error| error.code().as_str());
        if status.is_server_error() {
            let cause = error.and_then(|error| error.source()).map(tracing::field::display);
            tracing::error!(
                { telemetry::HTTP_RESPONSE_STATUS_CODE } = status.as_u16(),
                duration_ms,
                { telemetry::ERROR_TYPE } = code,
                cause,
                "request failed"
            );
        } else {
            tracing::info!(
                { telemetry::HTTP_RESPONSE_STATUS_CODE } = status.as_u16(),
                duration_ms,
                { telemetry::ERROR_TYPE } = code,
                "request"
            );
        }
    }

    fn duration_ms(&self) -> f64 {
        self.started.elapsed().as_secs_f64() * 1_000.0
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        if !self.written {
            let _entered = self.span.enter();
            tracing::info!(duration_ms = self.duration_ms(), "request given up unanswered");
        }
    }
}
