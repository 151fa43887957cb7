//! A gateway and its surroundings, on free ports of the loopback interface.

use std::{future::Future, net::SocketAddr, sync::Arc, time::Duration};

use axum::{Json, Router, body::Bytes, extract::Request};
use sap_comm_core::{
    Endpoint, Secret, StaticResolver, Timestamp,
    auth::{Audience, Claims, JwtSigner, JwtVerifier, KeySet},
};
use sap_comm_rest::{
    gateway::{Gateway, GatewayBuilder, Route},
    server::{Server, ServerConfig},
};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;

/// No step of a test takes this long.
const LIMIT: Duration = Duration::from_secs(20);

/// A listener that ends with its owner.
pub(super) struct Running {
    pub(super) address: SocketAddr,
    task: JoinHandle<()>,
}

impl Running {
    pub(super) fn spawn(address: SocketAddr, serve: impl Future<Output = ()> + Send + 'static) -> Self {
        Self { address, task: tokio::spawn(serve) }
    }

    pub(super) fn endpoint(&self) -> Endpoint {
        Endpoint::parse(&format!("http://{}", self.address)).unwrap()
    }

    /// Ends it, and waits until its port is free.
    pub(super) async fn stop(self) -> SocketAddr {
        self.task.abort();
        let address = self.address;
        let mut running = self;
        let _ = (&mut running.task).await;
        address
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Serves `router`, on `address` or a free port.
pub(super) async fn upstream_at(address: SocketAddr, router: Router) -> Running {
    let listener = TcpListener::bind(address).await.unwrap();
    let address = listener.local_addr().unwrap();
    let task = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    Running { address, task }
}

pub(super) async fn upstream(router: Router) -> Running {
    upstream_at("127.0.0.1:0".parse().unwrap(), router).await
}

/// Answers with what it was asked.
pub(super) fn echo() -> Router {
    Router::new().fallback(async |request: Request| {
        let (parts, body) = request.into_parts();
        let body: Bytes = axum::body::to_bytes(body, usize::MAX).await.unwrap();
        let headers: Vec<_> =
            parts.headers.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap().to_owned())).collect();
        Json(json!({
            "method": parts.method.as_str(),
            "target": parts.uri.to_string(),
            "headers": headers,
            "body": String::from_utf8_lossy(&body),
        }))
    })
}

/// A listener that hands every connection to `serve`, with its number.
pub(super) async fn raw_upstream<F, Fut>(serve: F) -> Running
where
    F: Fn(TcpStream, usize) -> Fut + Send + 'static,
    Fut: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let task = tokio::spawn(async move {
        let mut connections = tokio::task::JoinSet::new();
        for number in 0.. {
            let (stream, _) = listener.accept().await.unwrap();
            connections.spawn(serve(stream, number));
        }
    });
    Running { address, task }
}

/// Answers the first request of every connection with these bytes, and closes.
pub(super) async fn canned(answer: &'static [u8]) -> Running {
    raw_upstream(move |mut stream, _| async move {
        read_head(&mut stream).await;
        let _ = stream.write_all(answer).await;
        let _ = stream.shutdown().await;
        // Unread bytes would turn the close into a reset, which may overtake the answer.
        let _ = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await;
    })
    .await
}

/// Reads up to and with an empty line.
pub(super) async fn read_head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => break,
        }
    }
    String::from_utf8_lossy(&head).into_owned()
}

pub(super) fn resolver(services: &[(&str, &[&Running])]) -> Arc<StaticResolver> {
    let resolver = StaticResolver::new();
    for (service, endpoints) in services {
        resolver.set(service, endpoints.iter().map(|running| running.endpoint()));
    }
    Arc::new(resolver)
}

/// Begins a gateway that leads `/api` to the service `test`.
pub(super) fn to(upstream: &Running) -> GatewayBuilder {
    to_service(upstream).route(Route::new("/api").to("test").public())
}

/// Begins a gateway that knows the service `test`.
pub(super) fn to_service(upstream: &Running) -> GatewayBuilder {
    Gateway::builder().resolver(resolver(&[("test", &[upstream])])).without_rate_limit()
}

pub(super) async fn serve(gateway: Gateway) -> Running {
    serve_by(gateway, ServerConfig::default()).await
}

/// Serves a gateway that soon gives up the requests of clients that have left.
pub(super) async fn serve_impatiently(gateway: Gateway) -> Running {
    let mut config = ServerConfig::default();
    config.linger = Duration::from_millis(100);
    serve_by(gateway, config).await
}

pub(super) async fn serve_by(gateway: Gateway, config: ServerConfig) -> Running {
    let server = Server::bind("127.0.0.1:0", config).await.unwrap();
    let address = server.local_addr();
    Running::spawn(address, async move { server.serve(gateway, CancellationToken::new()).await.unwrap() })
}

/// One response from the wire.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
}

impl Answer {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(own, _)| own.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    pub(super) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The error code of an envelope, which must be whole.
    pub(super) fn code(&self) -> String {
        let json = self.json();
        let error = &json["error"];
        assert_eq!(error["requestId"].as_str(), self.header("x-request-id"), "{json}");
        assert!(
            error["message"].is_string() && error["details"].is_object() && error["timestamp"].is_string(),
            "{json}"
        );
        error["code"].as_str().unwrap().to_owned()
    }

    /// A header that the echoing upstream got; several are joined.
    pub(super) fn sent(&self, name: &str) -> Option<String> {
        let json = self.json();
        let values = json["headers"].as_array().unwrap().iter().filter(|pair| pair[0] == name);
        let values: Vec<_> = values.map(|pair| pair[1].as_str().unwrap().to_owned()).collect();
        (!values.is_empty()).then(|| values.join(" | "))
    }

    fn parse_head(head: &str) -> Self {
        let mut lines = head.split("\r\n");
        let status_line = lines.next().unwrap();
        let status = status_line.split(' ').nth(1).and_then(|text| text.parse().ok());
        let headers = lines.filter_map(|line| line.split_once(": ")).map(|(n, v)| (n.to_owned(), v.to_owned()));
        Self { status: status.unwrap_or_else(|| panic!("{head:?}")), headers: headers.collect(), body: Vec::new() }
    }
}

/// A client's connection.
pub(super) struct Wire(pub(super) TcpStream);

impl Wire {
    pub(super) async fn open(running: &Running) -> Self {
        Self(TcpStream::connect(running.address).await.unwrap())
    }

    /// Writes as much as the other side takes: it may refuse before it has read everything.
    pub(super) async fn write(&mut self, bytes: impl AsRef<[u8]>) {
        let _ = within(self.0.write_all(bytes.as_ref())).await;
    }

    pub(super) async fn answer(&mut self) -> Answer {
        self.answer_to("GET").await
    }

    pub(super) async fn answer_to(&mut self, method: &str) -> Answer {
        within(async {
            let head = read_head(&mut self.0).await;
            let mut answer = Answer::parse_head(&head);
            if method == "HEAD" || matches!(answer.status, 101 | 204 | 304) {
                return answer;
            }
            if answer.header("transfer-encoding") == Some("chunked") {
                while let Some(chunk) = self.chunk().await {
                    answer.body.extend(chunk);
                }
            } else {
                let length = answer.header("content-length").map_or(0, |text| text.parse().unwrap());
                answer.body.resize(length, 0);
                self.0.read_exact(&mut answer.body).await.unwrap();
            }
            answer
        })
        .await
    }

    /// The next chunk; `None` after the last.
    pub(super) async fn chunk(&mut self) -> Option<Vec<u8>> {
        within(async {
            let mut line = String::new();
            while !line.ends_with("\r\n") {
                line.push(char::from(self.0.read_u8().await.unwrap()));
            }
            let length = usize::from_str_radix(line.trim_end(), 16).unwrap();
            let mut chunk = vec![0; length + 2];
            self.0.read_exact(&mut chunk).await.unwrap();
            chunk.truncate(length);
            (length > 0).then_some(chunk)
        })
        .await
    }

    /// Whether the other side has closed, or closes now, without a further byte.
    pub(super) async fn is_closed(&mut self) -> bool {
        let mut rest = Vec::new();
        let _ = within(self.0.read_to_end(&mut rest)).await;
        rest.is_empty()
    }
}

/// Fails the test instead of waiting for ever.
pub(super) async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(LIMIT, future).await.expect("it should not take this long")
}

/// Returns once it holds, of which nothing tells.
pub(super) async fn until(mut holds: impl FnMut() -> bool) {
    let becomes = async {
        while !holds() {
            tokio::task::yield_now().await;
        }
    };
    within(becomes).await;
}

/// One request on a connection of its own.
pub(super) async fn send(running: &Running, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
    let mut wire = Wire::open(running).await;
    let mut head = format!("{method} {path} HTTP/1.1\r\nHost: gateway.example\r\n");
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    if !body.is_empty() {
        head.push_str(&format!("Content-Length: {}\r\n", body.len()));
    }
    wire.write(format!("{head}\r\n{body}")).await;
    wire.answer_to(method).await
}

pub(super) async fn get(running: &Running, path: &str) -> Answer {
    send(running, "GET", path, &[], "").await
}

const SECRET: &str = "a secret of at least thirty-two bytes";

pub(super) fn verifier() -> JwtVerifier {
    let keys = KeySet::hs256(&Secret::new(SECRET.to_owned())).unwrap();
    JwtVerifier::builder("auth-service", "sap").keys(keys).build().unwrap()
}

/// A token for `id`, as the value of `Authorization`; a negative `ttl` is over already.
pub(super) fn bearer_for(id: &str, roles: &[&str], ttl: i64) -> String {
    let now = Timestamp::now().as_secs();
    let claims = Claims {
        iss: "auth-service".into(),
        sub: id.into(),
        aud: Audience::One("sap".into()),
        exp: u64::try_from(now + ttl).unwrap(),
        iat: u64::try_from(now).ok(),
        nbf: None,
        jti: None,
        roles: roles.iter().map(|&role| role.to_owned()).collect(),
        scope: "users:read".into(),
    };
    let signer = JwtSigner::hs256(&Secret::new(SECRET.to_owned())).unwrap();
    format!("Bearer {}", signer.sign(&claims).unwrap())
}

pub(super) fn bearer(roles: &[&str]) -> String {
    bearer_for("usr_1", roles, 600)
}
