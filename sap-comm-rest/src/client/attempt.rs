use axum::body::Body;
use http::{HeaderName, HeaderValue, Request, Uri, header};
use sap_comm_core::{Context, header as names};
use sap_comm_discovery::{Outcome as Answer, Picked};
use sap_comm_resilience::{HttpStatus, Outcome};
use tokio::time::{Instant, timeout_at};

use super::{Client, ClientError, Response, request::Spec, response};

impl Client {
    /// One attempt: through the breaker, to one endpoint, within its timeout.
    pub(super) async fn attempt(&self, spec: &Spec, whole: bool) -> Result<Response, ClientError> {
        let balancer = self.balancer();
        balancer.ready().await?;
        let permit = self.0.breaker.as_ref().map(|breaker| breaker.try_acquire()).transpose()?;
        let picked = balancer.pick()?;

        let own_limit = Instant::now() + spec.timeout;
        let context = Context::current().child().with_deadline(own_limit);
        let limit = context.deadline().unwrap_or(own_limit);
        let request = self.request_to(&picked, spec, &context)?;
        let exchange = self.exchange(request, &picked, whole, limit);
        let (result, outcome) = match timeout_at(limit, exchange).await {
            Ok(ended) => ended,
            // A caller that has no time left says nothing about the service.
            Err(_) if limit < own_limit => (Err(self.timed_out(spec)), Outcome::Ignored),
            Err(_) => (Err(self.timed_out(spec)), Outcome::Failure),
        };
        if let Some(permit) = permit {
            permit.settle(outcome);
        }
        match outcome {
            Outcome::Success => picked.report(Answer::Success(picked.elapsed())),
            Outcome::Failure | Outcome::Throttled(_) => picked.report(Answer::Failure),
            Outcome::Ignored | Outcome::Rejected => {}
        }
        // In flight until its body has been read.
        result.map(|response| response.from(picked))
    }

    /// Sends a request; reads an error, and a whole body if that is wanted.
    async fn exchange(
        &self,
        request: Request<Body>,
        picked: &Picked,
        whole: bool,
        limit: Instant,
    ) -> (Result<Response, ClientError>, Outcome) {
        let endpoint = picked.endpoint();
        let head = match self.0.transport.request(request).await {
            Ok(head) => head,
            Err(error) => return (Err(ClientError::from_transport(endpoint, error)), Outcome::Failure),
        };
        let outcome = HttpStatus::outcome(head.status(), head.headers());
        let limit_of_call = Context::current().deadline().unwrap_or(limit);
        let (max_response, stream_idle) = (self.0.max_response, self.0.stream_idle);
        let response = Response::new(head, self.service(), endpoint.clone(), max_response, limit_of_call, stream_idle);
        if response.status().is_client_error() || response.status().is_server_error() {
            return (Err(ClientError::Api(response::error(response).await)), outcome);
        }
        if !whole {
            return (Ok(response), outcome);
        }
        match response.into_whole().await {
            Ok(response) => (Ok(response), outcome),
            Err(error @ ClientError::TooLarge { .. }) => (Err(error), Outcome::Ignored),
            Err(error) => (Err(error), Outcome::Failure),
        }
    }

    fn request_to(&self, picked: &Picked, spec: &Spec, context: &Context) -> Result<Request<Body>, ClientError> {
        let endpoint = picked.endpoint();
        let mark = if spec.query.is_empty() { "" } else { "?" };
        let uri = format!("{endpoint}{}{mark}{}", spec.path, spec.query);
        let uri = Uri::try_from(uri).map_err(|error| ClientError::request(format!("not a URI: {error}")))?;
        let mut request = Request::new(spec.payload.body());
        *request.method_mut() = spec.method.clone();
        *request.uri_mut() = uri;
        *request.headers_mut() = spec.headers.clone();
        let headers = request.headers_mut();
        headers.entry(header::USER_AGENT).or_insert(HeaderValue::from_static("sap-comm-rest"));
        let is_peer = self.0.api_key.is_some() || (self.0.shows_certificate && endpoint.scheme() == "https");
        context.inject(|name, value| {
            // What only a peer may say does not leave an outsider; that we ask for nobody gives nothing away.
            if !is_peer && names::TRUSTED_ONLY.contains(&name) && value != names::NOBODY {
                return;
            }
            if let Ok(value) = HeaderValue::try_from(value) {
                headers.insert(HeaderName::from_static(name), value);
            }
        });
        if let Some(key) = &self.0.api_key {
            headers.insert(HeaderName::from_static(names::API_KEY), key.clone());
        }
        Ok(request)
    }

    fn timed_out(&self, spec: &Spec) -> ClientError {
        ClientError::Timeout { service: self.service().to_owned(), after: spec.timeout }
    }
}
