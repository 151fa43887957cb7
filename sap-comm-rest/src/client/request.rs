use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use parking_lot::Mutex;
use sap_comm_core::Secret;
use serde::{Serialize, de::DeserializeOwned};

use super::{Client, ClientError, Response, path, payload::Payload};

/// The header that makes a call safe to repeat.
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// A call to be made. What was wrong while it was built is reported when it is sent.
#[derive(Debug)]
#[must_use = "nothing is sent before `send` or `fetch`"]
pub struct RequestBuilder {
    pub(crate) client: Client,
    pub(super) spec: Result<Spec, ClientError>,
}

/// A call, ready to be attempted as often as needed.
#[derive(Debug)]
pub(super) struct Spec {
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) query: String,
    pub(super) headers: HeaderMap,
    pub(super) payload: Payload,
    pub(super) timeout: Duration,
    pub(super) idempotent: bool,
}

impl RequestBuilder {
    pub(super) fn new(client: Client, method: Method, path: Result<String, ClientError>) -> Self {
        let timeout = client.0.attempt_timeout;
        let spec = path.map(|path| Spec {
            // RFC 9110, section 9.2.2.
            idempotent: method.is_idempotent(),
            method,
            path,
            query: String::new(),
            headers: HeaderMap::from_iter([(header::ACCEPT, HeaderValue::from_static("application/json"))]),
            payload: Payload::Empty,
            timeout,
        });
        Self { client, spec }
    }

    fn with(mut self, change: impl FnOnce(&mut Spec) -> Result<(), ClientError>) -> Self {
        self.spec = self.spec.and_then(|mut spec| change(&mut spec).map(|()| spec));
        self
    }

    /// Replaces the path; see [`Client::get`].
    pub(crate) fn with_path(self, template: &str, parameters: &[&str]) -> Self {
        self.with(|spec| {
            spec.path = path::fill(template, parameters)?;
            Ok(())
        })
    }

    /// Fails instead of being sent, unless something else was wrong before.
    pub(crate) fn failed(self, error: ClientError) -> Self {
        self.with(|_| Err(error))
    }

    /// Adds query parameters from a struct, a map, or pairs.
    pub fn query(self, parameters: &(impl Serialize + ?Sized)) -> Self {
        self.with(|spec| {
            let more = serde_urlencoded::to_string(parameters)
                .map_err(|error| ClientError::request(format!("the query cannot be written: {error}")))?;
            if !spec.query.is_empty() && !more.is_empty() {
                spec.query.push('&');
            }
            spec.query.push_str(&more);
            Ok(())
        })
    }

    /// Sends JSON.
    pub fn json(self, body: &(impl Serialize + ?Sized)) -> Self {
        self.with(|spec| {
            let bytes = serde_json::to_vec(body)
                .map_err(|error| ClientError::request(format!("the body cannot be written as JSON: {error}")))?;
            spec.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
            spec.payload = Payload::Bytes(bytes.into());
            Ok(())
        })
    }

    /// Sends bytes as they are.
    pub fn bytes(self, content_type: &str, body: impl Into<Bytes>) -> Self {
        self.header("content-type", content_type).with(|spec| {
            spec.payload = Payload::Bytes(body.into());
            Ok(())
        })
    }

    /// Sends a body as it arrives. Such a call is attempted once.
    pub fn stream(self, content_type: &str, body: Body) -> Self {
        self.header("content-type", content_type).with(|spec| {
            spec.payload = Payload::Stream(Mutex::new(Some(body)));
            Ok(())
        })
    }

    /// Sets a header.
    pub fn header(self, name: &str, value: &str) -> Self {
        self.with(|spec| {
            let name = HeaderName::try_from(name)
                .map_err(|_| ClientError::request(format!("{name:?} is no name of a header")))?;
            let value = HeaderValue::try_from(value)
                .map_err(|_| ClientError::request(format!("the header {name} cannot have this value")))?;
            spec.headers.insert(name, value);
            Ok(())
        })
    }

    /// Calls with a user's token, so that the service can verify it itself.
    pub fn bearer(self, token: &Secret<String>) -> Self {
        self.with(|spec| {
            let mut value = HeaderValue::try_from(format!("Bearer {}", token.expose()))
                .map_err(|_| ClientError::request("the token has characters that no header can have"))?;
            value.set_sensitive(true);
            spec.headers.insert(header::AUTHORIZATION, value);
            Ok(())
        })
    }

    /// Makes the call safe to repeat: the service carries out one of several with the same key.
    pub fn idempotency_key(self, key: &str) -> Self {
        self.header(IDEMPOTENCY_KEY.as_str(), key).with(|spec| {
            spec.idempotent = true;
            Ok(())
        })
    }

    /// How long one attempt of this call may take.
    pub fn timeout(self, timeout: Duration) -> Self {
        self.with(|spec| {
            spec.timeout = timeout;
            Ok(())
        })
    }

    /// Makes the call, and returns as soon as the response begins; its body may be read as it arrives.
    ///
    /// Dropping the future gives the call up; the service may have carried it out.
    ///
    /// # Errors
    /// When there is no response, or it is an error: the service's own as [`ClientError::Api`].
    pub async fn send(self) -> Result<Response, ClientError> {
        self.respond(false).await
    }

    /// Makes the call; a whole body is read within the attempt.
    pub(super) async fn respond(self, whole: bool) -> Result<Response, ClientError> {
        let spec = self.spec?;
        self.client.perform(&spec, whole).await
    }

    /// Makes the call, and reads its JSON. An empty body is read as `null`, which `()` and `Option` take.
    ///
    /// Dropping the future gives the call up; the service may have carried it out.
    ///
    /// # Errors
    /// As [`RequestBuilder::send`], and when the body is too large or not the JSON of a `T`.
    pub async fn fetch<T: DeserializeOwned>(self) -> Result<T, ClientError> {
        self.respond(true).await?.json().await
    }
}
