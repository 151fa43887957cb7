//! What only RabbitMQ's management HTTP API tells: which queues there are, their arguments and bindings.

mod error;
mod tls;

use std::{collections::BTreeMap, fmt, time::Duration};

use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;
use http::{Request, StatusCode, header};
use http_body_util::{BodyExt, Empty, Limited};
use hyper_rustls::HttpsConnector;
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use serde::{Deserialize, de::DeserializeOwned};
use url::Url;

pub use error::ManagementError;

use crate::{Argument, BindingSpec, ExchangeSpec, QueueSpec, TlsConfig, TopologySpec};

/// How long one answer may take.
const TIMEOUT: Duration = Duration::from_secs(30);
/// The largest answer that is read: some hundred thousand queues.
const MAX_BODY: usize = 64 << 20;

/// A client of the management HTTP API. Cheap to clone.
#[derive(Clone)]
pub struct Management {
    base: Url,
    authorization: String,
    client: Client<HttpsConnector<HttpConnector>, Empty<Bytes>>,
}

#[derive(Deserialize)]
struct Exchange {
    name: String,
    #[serde(rename = "type")]
    kind: String,
    durable: bool,
}

#[derive(Deserialize)]
struct Queue {
    name: String,
    durable: bool,
    #[serde(default)]
    exclusive: bool,
    auto_delete: bool,
    #[serde(default)]
    arguments: BTreeMap<String, serde_json::Value>,
}

#[derive(Deserialize)]
struct Binding {
    source: String,
    destination: String,
    destination_type: String,
    routing_key: String,
}

impl Management {
    /// A client of `http://user:password@host:15672`, or of `https://…:15671` with the machine's own authorities; nothing is
    /// asked yet.
    ///
    /// # Errors
    /// When it is no such URL.
    pub fn new(url: &str) -> Result<Self, ManagementError> {
        Self::with_tls(url, &TlsConfig::default())
    }

    /// Like [`Management::new`], with other authorities, or a certificate of ours, for `https`.
    ///
    /// # Errors
    /// When it is no such URL, or a file of `tls` cannot be read.
    pub fn with_tls(url: &str, tls: &TlsConfig) -> Result<Self, ManagementError> {
        let invalid = |reason: String| ManagementError::Url { reason };
        let mut base = Url::parse(url).map_err(|error| invalid(error.to_string()))?;
        match base.scheme() {
            "http" | "https" if base.host_str().is_some() => {}
            _ => return Err(invalid("expected http://user:password@host:15672".to_owned())),
        }
        let decode = |text: &str| percent_encoding::percent_decode_str(text).decode_utf8_lossy().into_owned();
        let user = if base.username().is_empty() { "guest".to_owned() } else { decode(base.username()) };
        let password = base.password().map_or_else(|| "guest".to_owned(), decode);
        let authorization = format!("Basic {}", BASE64_STANDARD.encode(format!("{user}:{password}")));
        // They travel in the header, and show nowhere else. Whatever has a host takes both.
        let _ = (base.set_username(""), base.set_password(None));
        let client = Client::builder(TokioExecutor::new()).build(tls::connector(tls)?);
        Ok(Self { base, authorization, client })
    }

    /// Everything that is declared in a virtual host, whoever declared it.
    ///
    /// # Errors
    /// When the API cannot be reached, refuses the user, or knows no such virtual host.
    pub async fn topology(&self, vhost: &str) -> Result<TopologySpec, ManagementError> {
        let mut spec = TopologySpec::default();
        for exchange in self.get::<Vec<Exchange>>("exchanges", vhost, "name,type,durable").await? {
            spec.exchanges.push(ExchangeSpec { name: exchange.name, kind: exchange.kind, durable: exchange.durable });
        }
        let columns = "name,durable,exclusive,auto_delete,arguments";
        for queue in self.get::<Vec<Queue>>("queues", vhost, columns).await? {
            spec.queues.push(QueueSpec {
                name: queue.name,
                durable: queue.durable,
                exclusive: queue.exclusive,
                auto_delete: queue.auto_delete,
                arguments: queue.arguments.into_iter().map(|(name, value)| (name, argument(value))).collect(),
            });
        }
        let columns = "source,destination,destination_type,routing_key";
        for binding in self.get::<Vec<Binding>>("bindings", vhost, columns).await? {
            // A queue's binding to the default exchange is not one that anybody makes.
            if binding.destination_type == "queue" && !binding.source.is_empty() {
                let (exchange, queue, key) = (binding.source, binding.destination, binding.routing_key);
                spec.bindings.push(BindingSpec { exchange, queue, key });
            }
        }
        spec.sort();
        Ok(spec)
    }

    async fn get<T: DeserializeOwned>(&self, what: &str, vhost: &str, columns: &str) -> Result<T, ManagementError> {
        let mut url = self.base.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(["api", what, vhost]);
        }
        url.set_query(Some(&format!("columns={columns}")));
        match tokio::time::timeout(TIMEOUT, self.ask(&url)).await {
            Ok(answer) => {
                let body = answer.map_err(|error| error.of_vhost(vhost))?;
                serde_json::from_slice(&body).map_err(|error| self.unavailable(format!("its answer is none: {error}")))
            }
            Err(_) => Err(self.unavailable(format!("no answer within {TIMEOUT:?}"))),
        }
    }

    async fn ask(&self, url: &Url) -> Result<Bytes, ManagementError> {
        let request = Request::get(url.as_str())
            .header(header::AUTHORIZATION, &self.authorization)
            .header(header::ACCEPT, "application/json")
            .body(Empty::new())
            .map_err(|error| self.unavailable(error.to_string()))?;
        let answer = self.client.request(request).await.map_err(|error| match tls::cause(&error) {
            Some(reason) => ManagementError::Tls { address: self.base.as_str().to_owned(), reason },
            None => self.unavailable(causes(&error)),
        })?;
        match answer.status() {
            StatusCode::OK => {}
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => return Err(ManagementError::Forbidden),
            StatusCode::NOT_FOUND => return Err(ManagementError::NoVhost { vhost: String::new() }),
            status => return Err(self.unavailable(format!("it answered {status}"))),
        }
        let body = Limited::new(answer.into_body(), MAX_BODY).collect().await;
        body.map(http_body_util::Collected::to_bytes).map_err(|error| self.unavailable(error.to_string()))
    }

    fn unavailable(&self, reason: String) -> ManagementError {
        ManagementError::Unavailable { address: self.base.as_str().to_owned(), reason }
    }
}

/// What went wrong, down to what the operating system said.
fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

fn argument(value: serde_json::Value) -> Argument {
    match value {
        serde_json::Value::Bool(flag) => Argument::Flag(flag),
        serde_json::Value::String(text) => Argument::Text(text),
        serde_json::Value::Number(number) if number.is_i64() => Argument::Number(number.as_i64().unwrap_or_default()),
        other => Argument::Text(other.to_string()),
    }
}

impl fmt::Debug for Management {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Management").field("base", &self.base.as_str()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_does_not_show() {
        let management = Management::new("http://ops:s%40cret@rabbit:15672/").unwrap();
        assert_eq!(management.authorization, format!("Basic {}", BASE64_STANDARD.encode("ops:s@cret")));
        let shown = format!("{management:?} {}", management.unavailable("x".to_owned()));
        assert!(shown.contains("http://rabbit:15672/") && !shown.contains("cret"), "{shown}");
    }

    #[test]
    fn a_url_that_cannot_be_is_refused() {
        for url in ["rabbit:15672", "amqp://rabbit", "http:", "https:"] {
            let error = Management::new(url).unwrap_err().to_string();
            assert!(error.starts_with("invalid management URL: "), "{error}");
        }
    }
}
