//! etcd's JSON gateway.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;
use http::{Method, Request, header::CONTENT_TYPE};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use serde::{Deserialize, Deserializer, de::DeserializeOwned};
use serde_json::{Value, json};
use tokio::time::timeout;

/// How long one call to one member may take.
const CALL: Duration = Duration::from_secs(3);
/// The longest answer: thousands of instances.
const MAX_ANSWER: usize = 16 << 20;
/// A watch that only says that something changed needs no more.
const MAX_LINE: usize = 1 << 20;

#[derive(Debug)]
pub(super) struct Api {
    client: Client<HttpConnector, Full<Bytes>>,
    servers: Vec<String>,
    /// The member that answered last.
    current: AtomicUsize,
}

/// The values under a prefix at one revision.
#[derive(Debug)]
pub(super) struct Range {
    pub(super) revision: i64,
    pub(super) values: Vec<Vec<u8>>,
}

#[derive(Deserialize)]
struct RangeAnswer {
    header: Header,
    #[serde(default)]
    kvs: Vec<KeyValue>,
}

#[derive(Deserialize)]
struct Header {
    #[serde(deserialize_with = "number")]
    revision: i64,
}

#[derive(Deserialize)]
struct KeyValue {
    #[serde(default)]
    value: String,
}

#[derive(Deserialize)]
struct LeaseAnswer {
    #[serde(rename = "ID", deserialize_with = "number")]
    id: i64,
}

#[derive(Deserialize)]
struct KeepAliveAnswer {
    result: KeepAlive,
}

#[derive(Deserialize)]
struct KeepAlive {
    #[serde(rename = "TTL", default, deserialize_with = "number")]
    ttl: i64,
}

/// The gateway writes 64-bit numbers as text.
fn number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
    String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
}

impl Api {
    pub(super) fn new(servers: Vec<String>) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_connect_timeout(Some(CALL));
        connector.set_nodelay(true);
        let client = Client::builder(TokioExecutor::new()).build(connector);
        Self { client, servers, current: AtomicUsize::new(0) }
    }

    pub(super) async fn range(&self, prefix: &str) -> Result<Range, String> {
        let request = json!({ "key": encode(prefix.as_bytes()), "range_end": encode(&end_of(prefix)) });
        let answer: RangeAnswer = self.call("/v3/kv/range", &request).await?;
        let values =
            answer.kvs.into_iter().map(|kv| BASE64_STANDARD.decode(kv.value).map_err(|error| error.to_string()));
        Ok(Range { revision: answer.header.revision, values: values.collect::<Result<_, _>>()? })
    }

    /// Returns once something under `prefix` has changed since `revision`, or the watch was lost.
    pub(super) async fn changed(&self, prefix: &str, revision: i64) -> Result<(), String> {
        let request = json!({ "create_request": {
            "key": encode(prefix.as_bytes()), "range_end": encode(&end_of(prefix)),
            "start_revision": revision.saturating_add(1).to_string(),
        } });
        let mut body = self.open("/v3/watch", &request).await?;
        let mut line = Vec::new();
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| format!("the watch was lost: {error}"))?;
            let Ok(data) = frame.into_data() else { continue };
            for byte in data {
                if byte == b'\n' {
                    if tells_change(&line)? {
                        return Ok(());
                    }
                    line.clear();
                } else if line.len() < MAX_LINE {
                    line.push(byte);
                } else {
                    // So much can only be events.
                    return Ok(());
                }
            }
        }
        Err("the watch ended".into())
    }

    pub(super) async fn grant(&self, ttl: Duration) -> Result<i64, String> {
        let answer: LeaseAnswer = self.call("/v3/lease/grant", &json!({ "TTL": ttl.as_secs().to_string() })).await?;
        Ok(answer.id)
    }

    pub(super) async fn put(&self, key: &str, value: &[u8], lease: i64) -> Result<(), String> {
        let request = json!({ "key": encode(key.as_bytes()), "value": encode(value), "lease": lease.to_string() });
        self.call::<Value>("/v3/kv/put", &request).await.map(drop)
    }

    /// Renews a lease; whether it still lives.
    pub(super) async fn keep_alive(&self, lease: i64) -> Result<bool, String> {
        let answer: KeepAliveAnswer = self.call("/v3/lease/keepalive", &json!({ "ID": lease.to_string() })).await?;
        Ok(answer.result.ttl > 0)
    }

    pub(super) async fn exists(&self, key: &str) -> Result<bool, String> {
        let answer: RangeAnswer = self.call("/v3/kv/range", &json!({ "key": encode(key.as_bytes()) })).await?;
        Ok(!answer.kvs.is_empty())
    }

    pub(super) async fn revoke(&self, lease: i64) -> Result<(), String> {
        self.call::<Value>("/v3/lease/revoke", &json!({ "ID": lease.to_string() })).await.map(drop)
    }

    async fn call<T: DeserializeOwned>(&self, path: &str, request: &Value) -> Result<T, String> {
        let body = self.open(path, request).await?;
        let bytes = timeout(CALL, Limited::new(body, MAX_ANSWER).collect()).await;
        let bytes =
            bytes.map_err(|_| format!("{path}: no answer within {CALL:?}"))?.map_err(|error| error.to_string())?;
        serde_json::from_slice(&bytes.to_bytes()).map_err(|error| format!("{path}: {error}"))
    }

    /// Sends a request to the members in turn, until one accepts it.
    async fn open(&self, path: &str, request: &Value) -> Result<Incoming, String> {
        let start = self.current.load(Ordering::Relaxed);
        let mut failure = String::new();
        for step in 0..self.servers.len() {
            let place = (start + step) % self.servers.len();
            match self.send(&self.servers[place], path, request).await {
                Ok(body) => {
                    self.current.store(place, Ordering::Relaxed);
                    return Ok(body);
                }
                Err(error) => failure = error,
            }
        }
        // The next call begins with another member.
        self.current.store((start + 1) % self.servers.len(), Ordering::Relaxed);
        Err(failure)
    }

    async fn send(&self, server: &str, path: &str, request: &Value) -> Result<Incoming, String> {
        let request = Request::builder()
            .method(Method::POST)
            .uri(format!("http://{server}{path}"))
            .header(CONTENT_TYPE, "application/json")
            .body(Full::from(request.to_string()))
            .map_err(|error| error.to_string())?;
        let response = timeout(CALL, self.client.request(request)).await;
        let response = response
            .map_err(|_| format!("{server}{path}: no answer within {CALL:?}"))?
            .map_err(|error| format!("{server}{path}: {error}"))?;
        let status = response.status();
        if status.is_success() {
            return Ok(response.into_body());
        }
        let body = timeout(CALL, Limited::new(response.into_body(), 4_096).collect()).await;
        let text = body.ok().and_then(Result::ok).map(|body| String::from_utf8_lossy(&body.to_bytes()).into_owned());
        Err(format!("{server}{path}: {status}: {}", text.unwrap_or_default().trim()))
    }
}

/// Whether a line of a watch is more than the word that it was created.
fn tells_change(line: &[u8]) -> Result<bool, String> {
    let line: Value = serde_json::from_slice(line).map_err(|error| format!("the watch was lost: {error}"))?;
    let result = &line["result"];
    if result["canceled"] == true || line.get("error").is_some() {
        // Compacted, or refused: whoever reads anew finds out.
        return Err("the watch was cancelled".into());
    }
    Ok(result["events"].as_array().is_some_and(|events| !events.is_empty()))
}

fn encode(bytes: &[u8]) -> String {
    BASE64_STANDARD.encode(bytes)
}

/// The first key after all that begin with `prefix`, which ends in a slash.
fn end_of(prefix: &str) -> Vec<u8> {
    let mut end = prefix.as_bytes().to_vec();
    if let Some(last) = end.last_mut() {
        *last = last.saturating_add(1);
    }
    end
}
