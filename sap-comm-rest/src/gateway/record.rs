use std::{
    borrow::Cow,
    net::IpAddr,
    ops::{Deref, DerefMut},
    sync::Arc,
    time::Duration,
};

use http::{HeaderName, HeaderValue, Method, StatusCode, Uri, request::Parts};
use sap_comm_core::{ApiError, Context, Endpoint, Name, Principal, telemetry};
use tokio::time::Instant;

use super::{client::Client, entry, outbound::request_id, rate_limit::Allowance, service::Inner};

/// What is known about a request; becomes its one line in the log, also when its client went away.
pub(super) struct Record<'a> {
    gateway: &'a Inner,
    /// `None` where there is no line, or it was put.
    asked: Option<Asked>,
    known: Known,
    pub(super) route: Option<&'a Arc<entry::Entry>>,
    pub(super) request_id: HeaderValue,
    pub(super) allowance: Option<Allowance>,
}

/// What is known of a request from its beginning.
struct Asked {
    began: Instant,
    method: Method,
    uri: Uri,
    context: Context,
}

/// What comes to be known while a request is served.
#[derive(Debug, Default)]
pub(super) struct Known {
    /// The endpoint that was asked last.
    pub(super) endpoint: Option<Endpoint>,
    pub(super) attempts: u32,
    /// When it answered.
    pub(super) answered: Option<Instant>,
    pub(super) principal: Option<Arc<Principal>>,
    pub(super) client: Option<IpAddr>,
    pub(super) client_text: Option<HeaderValue>,
}

/// One line of the request log. It waits for a while, and holds nothing of what the request came in.
#[derive(Debug)]
pub(super) struct Entry {
    method: Method,
    path: Name,
    request_id: Name,
    correlation_id: Name,
    trace_id: [u8; 32],
    route: Option<Arc<entry::Entry>>,
    known: Known,
    took: Duration,
    status: Option<StatusCode>,
    error: Option<ApiError>,
}

impl<'a> Record<'a> {
    pub(super) fn begin(gateway: &'a Inner, parts: &Parts, context: &Context) -> Self {
        let asked = || Asked {
            began: Instant::now(),
            method: parts.method.clone(),
            uri: parts.uri.clone(),
            context: context.clone(),
        };
        Self {
            gateway,
            asked: tracing::enabled!(tracing::Level::INFO).then(asked),
            known: Known::default(),
            route: None,
            request_id: request_id(&parts.headers, context),
            allowance: None,
        }
    }

    /// Whose request it is.
    pub(super) fn is_of(&mut self, client: &Client) {
        self.client = client.address;
        if self.asked.is_some() {
            self.client_text.clone_from(&client.address_text);
        }
    }

    /// The response is about to be sent.
    pub(super) fn end(mut self, status: StatusCode, error: Option<&ApiError>) {
        self.put(Some(status), error);
    }

    /// What is said on the answer of a route that is deprecated.
    pub(super) fn deprecation(&self) -> Option<&'a [(HeaderName, HeaderValue)]> {
        self.route?.deprecation.as_deref()
    }

    /// The context, for whoever was found to ask.
    pub(super) fn within(&self, context: &Context) -> Context {
        match &self.principal {
            Some(principal) => context.with_shared_principal(Arc::clone(principal)),
            None => context.clone(),
        }
    }

    fn put(&mut self, status: Option<StatusCode>, error: Option<&ApiError>) {
        let Some(Asked { began, method, uri, context }) = self.asked.take() else { return };
        let kept = status.is_none_or(|status| status.is_server_error());
        if !kept && !self.gateway.log.samples() {
            return;
        }
        let ended = self.answered.unwrap_or_else(Instant::now);
        self.gateway.log.put(Entry {
            method,
            path: uri.path().into(),
            request_id: context.request_id().into(),
            correlation_id: context.correlation_id().into(),
            trace_id: context.trace().trace_id_bytes(),
            route: self.route.cloned(),
            known: std::mem::take(&mut self.known),
            took: ended.saturating_duration_since(began),
            status,
            error: error.cloned(),
        });
    }
}

impl Entry {
    /// Neither the query nor a header is in it: they may hold secrets.
    pub(super) fn write(self, gateway: &str) {
        let Self { method, path, request_id, correlation_id, trace_id, route, known, took, status, error } = self;
        let written = known.client_text.as_ref().and_then(|text| text.to_str().ok()).map(Cow::Borrowed);
        let client = written.or_else(|| known.client.map(|address| address.to_string().into()));
        tracing::info!(
            message = if status.is_some() { "request" } else { "request given up unanswered" },
            { telemetry::SERVICE_NAME } = gateway,
            { telemetry::HTTP_REQUEST_METHOD } = method.as_str(),
            { telemetry::URL_PATH } = path.as_str(),
            { telemetry::HTTP_ROUTE } = route.as_ref().map(|route| route.pattern.as_str()),
            { telemetry::HTTP_RESPONSE_STATUS_CODE } = status.map(|status| status.as_u16()),
            duration_ms = took.as_secs_f64() * 1_000.0,
            upstream = route.as_ref().and_then(|route| asked(route, known.endpoint.as_ref()?)),
            attempts = known.attempts,
            { telemetry::USER_ID } = known.principal.as_ref().map(|principal| principal.id.as_str()),
            { telemetry::CLIENT_ADDRESS } = client.as_deref(),
            { telemetry::ERROR_TYPE } = error.as_ref().map(|error| error.code().as_str()),
            cause = error.as_ref().and_then(std::error::Error::source).map(tracing::field::display),
            { telemetry::TRACE_ID } = str::from_utf8(&trace_id).unwrap_or_default(),
            { telemetry::REQUEST_ID } = request_id.as_str(),
            { telemetry::CORRELATION_ID } = correlation_id.as_str(),
        );
    }
}

fn asked(route: &entry::Entry, endpoint: &Endpoint) -> Option<String> {
    Some([route.service()?, " ", endpoint.scheme(), "://", endpoint.authority()].concat())
}

impl Deref for Record<'_> {
    type Target = Known;

    fn deref(&self) -> &Known {
        &self.known
    }
}

impl DerefMut for Record<'_> {
    fn deref_mut(&mut self) -> &mut Known {
        &mut self.known
    }
}

impl Drop for Record<'_> {
    fn drop(&mut self) {
        self.put(None, None);
    }
}
