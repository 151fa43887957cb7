//! An HTTP client that knows nothing of sap-comm.

use std::net::SocketAddr;

use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use serde_json::Value;

use crate::deps::StartError;

/// A client of one address.
#[derive(Debug, Clone)]
pub struct Http {
    address: SocketAddr,
    client: Client<HttpConnector, Full<Bytes>>,
}

/// What came back.
#[derive(Debug)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body, as a JSON text where it is no JSON.
    pub body: Value,
}

/// A request to be sent.
#[must_use]
#[derive(Debug)]
pub struct Call<'a> {
    http: &'a Http,
    request: http::request::Builder,
    body: Bytes,
}

impl Http {
    /// A client of `address`.
    pub fn new(address: SocketAddr) -> Self {
        Self { address, client: Client::builder(TokioExecutor::new()).build_http() }
    }

    /// Begins a GET.
    pub fn get(&self, path: &str) -> Call<'_> {
        self.call("GET", path)
    }

    /// Begins a POST of JSON.
    pub fn post(&self, path: &str, body: &Value) -> Call<'_> {
        self.call("POST", path).body(body.to_string())
    }

    /// Begins a call.
    pub fn call(&self, method: &str, path: &str) -> Call<'_> {
        let request = Request::builder().method(method).uri(format!("http://{}{path}", self.address));
        Call { http: self, request, body: Bytes::new() }
    }
}

impl Call<'_> {
    /// With a bearer token.
    pub fn token(self, token: &str) -> Self {
        self.header("authorization", &format!("Bearer {token}"))
    }

    /// With a header.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.request = self.request.header(name, value);
        self
    }

    /// A JSON body, or what claims to be one.
    pub fn body(mut self, text: impl Into<Bytes>) -> Self {
        self.body = text.into();
        self.header("content-type", "application/json")
    }

    /// Sends.
    ///
    /// # Errors
    /// When no answer comes.
    pub async fn send(self) -> Result<Answer, StartError> {
        let response = self.http.client.request(self.request.body(Full::new(self.body))?).await?;
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await?.to_bytes();
        let body = serde_json::from_slice(&bytes)
            .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(&bytes).into_owned()));
        Ok(Answer { status: parts.status, headers: parts.headers, body })
    }

    /// Sends, and fails unless the answer has this status.
    ///
    /// # Errors
    /// When no answer comes, or another.
    pub async fn expect(self, status: u16) -> Result<Answer, StartError> {
        let what = format!("{:?} {:?}", self.request.method_ref(), self.request.uri_ref());
        let answer = self.send().await?;
        if answer.status.as_u16() == status {
            return Ok(answer);
        }
        Err(format!("{what}: expected status {status}, got {} with {}", answer.status, answer.body).into())
    }

    /// Sends, and fails unless the answer is an error envelope of this status and code.
    ///
    /// # Errors
    /// When no answer comes, or another.
    pub async fn refused(self, status: u16, code: &str) -> Result<Answer, StartError> {
        let answer = self.expect(status).await?;
        let error = &answer.body["error"];
        let request_id = answer.headers.get("x-request-id").and_then(|id| id.to_str().ok());
        let complete = error["message"].is_string() && error["details"].is_object() && error["timestamp"].is_string();
        if error["code"] != code || error["requestId"].as_str() != request_id || !complete {
            return Err(
                format!("expected the envelope of {code} with requestId {request_id:?}, got {}", answer.body).into()
            );
        }
        Ok(answer)
    }
}

impl Answer {
    /// A header of the answer, or nothing.
    pub fn header(&self, name: impl header::AsHeaderName) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// A text of the body, by JSON pointer.
    ///
    /// # Errors
    /// When there is none.
    pub fn text(&self, pointer: &str) -> Result<String, StartError> {
        match self.body.pointer(pointer).and_then(Value::as_str) {
            Some(text) => Ok(text.to_owned()),
            None => Err(format!("expected a text at {pointer}, got {}", self.body).into()),
        }
    }
}
