use std::{sync::Arc, time::Duration};

use axum::{
    body::Body,
    extract::{FromRequest, Request},
    middleware::Next,
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use http::{HeaderName, HeaderValue, StatusCode, header, request::Parts};
use http_body_util::{BodyExt, Collected, Limited};
use sap_comm_core::{ApiError, BoxError, Context, ErrorCode, PrincipalKind};
use tokio::time::timeout;
use tracing::Instrument;

use super::{
    Claim, IdempotencyConfig, IdempotencyStore, KEY, KeptAnswer, MAX_KEY, REPLAYED, fingerprint::fingerprint,
    in_progress, reused,
};
use crate::server::extract::body_refusal;

/// How operations that take a key are carried out.
#[derive(Debug)]
pub(crate) struct Idempotency {
    pub(crate) store: Arc<dyn IdempotencyStore>,
    pub(crate) config: IdempotencyConfig,
}

/// Carries a request out once for its key; without a key as ever, unless one is required.
pub(crate) async fn carry_out(idempotency: Arc<Idempotency>, required: bool, request: Request, next: Next) -> Response {
    match idempotency.answer(required, request, next).await {
        Ok(response) => response,
        Err(refusal) => refusal.into_response(),
    }
}

impl Idempotency {
    async fn answer(self: Arc<Self>, required: bool, request: Request, next: Next) -> Result<Response, ApiError> {
        let Some(key) = key(&request)? else {
            if required {
                let message = "Send an Idempotency-Key, so that a repetition is carried out once";
                return Err(ApiError::new(ErrorCode::BAD_REQUEST, message).detail("header", KEY));
            }
            return Ok(next.run(request).await);
        };
        let (parts, body) = self.read(request).await?;
        let caller = caller();
        let fingerprint = fingerprint(&parts, &caller, &body);
        let claim = self.store.claim(&key, &fingerprint, &caller, self.config.lease).await.map_err(unavailable)?;
        let claim = match claim {
            Claim::Taken(claim) => claim,
            Claim::Done(answer) => return replay(answer),
            Claim::InProgress(left) => {
                let error = ApiError::new(in_progress(), "The request with this Idempotency-Key is being carried out");
                return Err(error.retry_after(left.min(Duration::from_secs(1))));
            }
            Claim::Reused => {
                let message = "The Idempotency-Key was used for another request, or by another caller";
                return Err(ApiError::new(reused(), message).detail("header", KEY));
            }
            Claim::TooMany { limit, retry_after } => {
                let message = format!("{limit} idempotency keys of this caller are kept, which is the most for one");
                let error = ApiError::new(ErrorCode::RATE_LIMITED, message).detail("limit", limit);
                return Err(error.retry_after(retry_after));
            }
        };
        self.run(key, claim, Request::from_parts(parts, Body::from(body)), next).await
    }

    /// Has the handler answer in a task of its own, so that a client that goes away gets the answer when it comes back. The
    /// task ends with the lease: then another may carry the request out.
    async fn run(
        self: Arc<Self>,
        key: String,
        claim: String,
        request: Request,
        next: Next,
    ) -> Result<Response, ApiError> {
        let (idempotency, held) = (Arc::clone(&self), (key.clone(), claim.clone()));
        let work = async move {
            let response = next.run(request).await;
            idempotency.settle(&held.0, &held.1, response).await
        };
        let work = Context::current().scope(timeout(self.config.lease, work)).in_current_span();
        match tokio::spawn(work).await {
            Ok(Ok(response)) => Ok(response),
            Ok(Err(_)) => Err(ApiError::new(ErrorCode::DEADLINE_EXCEEDED, "The request took too long")),
            Err(failed) => {
                self.release(&key, &claim).await;
                match failed.try_into_panic() {
                    // The kit answers it as that of any handler.
                    Ok(panic) => std::panic::resume_unwind(panic),
                    Err(cancelled) => Err(ApiError::internal(cancelled)),
                }
            }
        }
    }

    async fn release(&self, key: &str, claim: &str) {
        if let Err(error) = self.store.release(key, claim).await {
            tracing::warn!(error = &*error, "an idempotency key is held until its lease ends");
        }
    }

    /// The request with its body read.
    async fn read(&self, request: Request) -> Result<(Parts, Bytes), ApiError> {
        let (parts, body) = request.into_parts();
        let limited = Request::new(Body::new(Limited::new(body, self.config.max_body)));
        let body = Bytes::from_request(limited, &()).await.map_err(|rejection| body_refusal(&rejection))?;
        Ok((parts, body))
    }

    /// Keeps the answer, or gives the key back. A store that fails now costs a repetition, not the answer.
    async fn settle(&self, key: &str, claim: &str, response: Response) -> Response {
        let status = response.status();
        if !is_final(status) {
            self.release(key, claim).await;
            return response;
        }
        let (parts, body) = response.into_parts();
        let (kept, body) = self.collect(body).await;
        let text = |value: &HeaderValue| value.as_bytes().iter().copied().map(char::from).collect();
        let headers = parts.headers.iter().map(|(name, value)| (name.as_str().to_owned(), text(value)));
        let answer = KeptAnswer { status: status.as_u16(), headers: headers.collect(), body: kept };
        if let Err(error) = self.store.keep(key, claim, &answer, self.config.keep).await {
            tracing::warn!(error = &*error, "an answer could not be kept for its idempotency key");
        }
        Response::from_parts(parts, body)
    }

    /// The body to keep, and the one to send. A body that says that it is too large is sent as it comes.
    async fn collect(&self, body: Body) -> (Option<Bytes>, Body) {
        use http_body::Body as _;

        let limit = u64::try_from(self.config.max_answer).unwrap_or(u64::MAX);
        if body.size_hint().upper().is_none_or(|size| size > limit) {
            return (None, body);
        }
        match body.collect().await.map(Collected::to_bytes) {
            Ok(bytes) => (Some(bytes.clone()), Body::from(bytes)),
            Err(error) => {
                // What is sent breaks off where the handler's body did.
                let broken = futures_util::stream::once(async move { Err::<Bytes, BoxError>(error.into()) });
                (None, Body::from_stream(broken))
            }
        }
    }
}

/// Whose request it is; empty for somebody without a principal. A service and a user may have the same id.
pub(crate) fn caller() -> String {
    let context = Context::try_current();
    context.as_ref().and_then(Context::principal).map_or_else(String::new, |principal| {
        let kind = if principal.kind == PrincipalKind::User { "user" } else { "service" };
        format!("{kind}:{}", principal.id)
    })
}

fn key(request: &Request) -> Result<Option<String>, ApiError> {
    let mut values = request.headers().get_all(KEY).iter();
    let Some(value) = values.next() else { return Ok(None) };
    let text = value.to_str().unwrap_or_default().trim();
    let sound = (1..=MAX_KEY).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
    if !sound || values.next().is_some() {
        let message = format!("The Idempotency-Key must be 1 to {MAX_KEY} visible ASCII characters, sent once");
        return Err(ApiError::new(ErrorCode::BAD_REQUEST, message).detail("header", KEY));
    }
    Ok(Some(text.to_owned()))
}

/// Whether a repetition gets the same answer. The others say that the request was not carried out, or may be tried again.
fn is_final(status: StatusCode) -> bool {
    let again =
        [StatusCode::UNAUTHORIZED, StatusCode::FORBIDDEN, StatusCode::REQUEST_TIMEOUT, StatusCode::TOO_MANY_REQUESTS];
    !status.is_server_error() && !again.contains(&status)
}

fn replay(answer: KeptAnswer) -> Result<Response, ApiError> {
    let Some(body) = answer.body else {
        let message = "The request was carried out; its answer was too large to keep";
        return Err(ApiError::new(ErrorCode::GONE.of("answer"), message));
    };
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = StatusCode::from_u16(answer.status).map_err(ApiError::internal)?;
    for (name, value) in answer.headers {
        let name = HeaderName::try_from(name).map_err(ApiError::internal)?;
        // The length is that of the body, which hyper knows.
        if name != header::CONTENT_LENGTH {
            let bytes: Result<Vec<u8>, _> = value.chars().map(u8::try_from).collect();
            let value = HeaderValue::try_from(bytes.map_err(ApiError::internal)?).map_err(ApiError::internal)?;
            response.headers_mut().append(name, value);
        }
    }
    response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
    Ok(response)
}

fn unavailable(error: BoxError) -> ApiError {
    ApiError::new(ErrorCode::SERVICE_UNAVAILABLE, "Idempotency keys cannot be looked up now")
        .retry_after(Duration::from_secs(1))
        .caused_by(error)
}

#[cfg(test)]
mod tests {
    use axum::{Router, middleware::from_fn, routing::post};
    use tower::ServiceExt;

    use super::*;
    use crate::server::idempotency::MemoryIdempotencyStore;

    #[tokio::test]
    async fn a_replay_has_every_byte_of_every_header() {
        let name = HeaderValue::from_bytes("attachment; filename=\"é.pdf\"".as_bytes()).unwrap();
        let told = name.clone();
        let handler = async move || ([(header::CONTENT_DISPOSITION, told.clone())], "made");
        let store = Arc::new(MemoryIdempotencyStore::new(4).unwrap());
        let idempotency = Arc::new(Idempotency { store, config: IdempotencyConfig::default() });
        let carry = move |request, next| carry_out(Arc::clone(&idempotency), true, request, next);
        let router = Router::new().route("/", post(handler)).layer(from_fn(carry));
        for replayed in [false, true] {
            let request = Request::post("/").header(KEY, "a").body(Body::empty()).unwrap();
            let answer = router.clone().oneshot(request).await.unwrap();
            assert_eq!(answer.headers().contains_key(REPLAYED), replayed);
            assert_eq!(answer.headers()[header::CONTENT_DISPOSITION], name);
        }
    }
}
