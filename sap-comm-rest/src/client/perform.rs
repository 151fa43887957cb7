use sap_comm_core::{Context, telemetry};
use sap_comm_resilience::Outcome;
use tracing::Instrument;

use super::{Client, ClientError, Response, request::Spec, retryable};

impl Client {
    /// Makes the attempts of one call, within the deadline of the call and of the context.
    pub(super) async fn perform(&self, spec: &Spec, whole: bool) -> Result<Response, ClientError> {
        let context = Context::current().with_timeout(self.0.deadline);
        let span = tracing::debug_span!(
            "call",
            { telemetry::SERVICE_PEER_NAME } = self.service(),
            { telemetry::HTTP_REQUEST_METHOD } = %spec.method,
            { telemetry::URL_PATH } = spec.path,
            { telemetry::TRACE_ID } = %context.trace().display_trace_id(),
            { telemetry::REQUEST_ID } = context.request_id(),
        );
        let attempts = async {
            match &self.0.retry {
                None => self.attempt(spec, whole).await,
                Some(retry) => {
                    let classify = |result: &Result<Response, ClientError>| match result {
                        Ok(_) => Outcome::Success,
                        Err(error) => retryable::outcome(error, spec),
                    };
                    retry.call_with(&classify, || self.attempt(spec, whole)).await
                }
            }
        };
        let result = context.scope(attempts).instrument(span.clone()).await;
        if let Err(error) = &result {
            span.in_scope(|| tracing::warn!(error = error as &dyn std::error::Error, "call failed"));
        }
        result
    }
}
