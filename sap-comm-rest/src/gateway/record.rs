use std::{net::IpAddr, sync::Arc};

use http::{Method, StatusCode, Uri, request::Parts};
use sap_comm_core::{ApiError, Context, Principal, telemetry};
use tokio::time::Instant;

use super::rate_limit::Allowance;

/// What is known about a request; becomes its one line in the log, also when its client went away.
#[derive(Debug)]
pub(super) struct Record {
    service: Arc<str>,
    context: Context,
    method: Method,
    uri: Uri,
    started: Instant,
    written: bool,
    pub(super) route: Option<Arc<str>>,
    /// The endpoint that was asked last.
    pub(super) upstream: Option<String>,
    pub(super) attempts: u32,
    pub(super) principal: Option<Arc<Principal>>,
    pub(super) client: Option<IpAddr>,
    pub(super) allowance: Option<Allowance>,
}

impl Record {
    pub(super) fn begin(service: &Arc<str>, parts: &Parts, context: &Context) -> Self {
        Self {
            service: Arc::clone(service),
            context: context.clone(),
            method: parts.method.clone(),
            uri: parts.uri.clone(),
            started: Instant::now(),
            written: false,
            route: None,
            upstream: None,
            attempts: 0,
            principal: None,
            client: None,
            allowance: None,
        }
    }

    /// The response is about to be sent.
    pub(super) fn end(mut self, status: StatusCode, error: Option<&ApiError>) {
        self.write(Some(status), error);
    }

    fn write(&mut self, status: Option<StatusCode>, error: Option<&ApiError>) {
        self.written = true;
        if !tracing::enabled!(tracing::Level::INFO) {
            return;
        }
        tracing::info!(
            { telemetry::SERVICE_NAME } = &*self.service,
            { telemetry::HTTP_REQUEST_METHOD } = %self.method,
            { telemetry::URL_PATH } = self.uri.path(),
            { telemetry::HTTP_ROUTE } = self.route.as_deref(),
            { telemetry::HTTP_RESPONSE_STATUS_CODE } = status.map(|status| status.as_u16()),
            duration_ms = self.started.elapsed().as_secs_f64() * 1_000.0,
            upstream = self.upstream.as_deref(),
            attempts = self.attempts,
            { telemetry::USER_ID } = self.principal.as_ref().map(|principal| principal.id.as_str()),
            { telemetry::CLIENT_ADDRESS } = self.client.map(tracing::field::display),
            { telemetry::ERROR_TYPE } = error.map(|error| error.code().as_str()),
            cause = error.and_then(std::error::Error::source).map(tracing::field::display),
            { telemetry::TRACE_ID } = self.context.trace().trace_id(),
            { telemetry::REQUEST_ID } = self.context.request_id(),
            { telemetry::CORRELATION_ID } = self.context.correlation_id(),
            "{}",
            if status.is_some() { "request" } else { "request given up by its client" },
        );
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        if !self.written {
            self.write(None, None);
        }
    }
}
