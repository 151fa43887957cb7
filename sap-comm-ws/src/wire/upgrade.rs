use std::time::Duration;

use axum::{
    body::Body,
    extract::{Request, State},
    middleware::Next,
    response::Response,
};
use http::{HeaderValue, Method, StatusCode, header};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tower_service::Service;

use super::{guarded::Guarded, polling};

/// What a connection becomes once it is upgraded.
type Connection = (Guarded<TokioIo<Upgraded>>, http::Request<()>);

/// Serves upgraded connections with the Socket.IO service.
#[derive(Clone)]
pub(crate) struct Upgrade<S> {
    service: S,
    write_timeout: Duration,
}

impl<S> Upgrade<S> {
    pub(crate) fn new(service: S, write_timeout: Duration) -> Self {
        Self { service, write_timeout }
    }
}

/// Answers a WebSocket upgrade itself, so that the connection is ours to guard; rewrites what polling answers.
pub(crate) async fn serve<S>(State(upgrade): State<Upgrade<S>>, request: Request, next: Next) -> Response
where
    S: Service<Connection, Response = ()> + Clone + Send + Sync + 'static,
    S::Future: Send,
{
    match accept_key(&request) {
        Some(key) => accept(upgrade, &key, request),
        None if *request.method() == Method::GET => polling::rewrite(next.run(request).await).await,
        None => next.run(request).await,
    }
}

/// The answer to the key of a request that the service would upgrade.
fn accept_key(request: &Request) -> Option<HeaderValue> {
    let asks = |name: &str, value: &str| {
        let query = request.uri().query().unwrap_or_default();
        query.split('&').filter_map(|pair| pair.split_once('=')).any(|pair| pair == (name, value))
    };
    let upgrades = request.headers().get(header::UPGRADE)?.as_bytes().eq_ignore_ascii_case(b"websocket");
    let key = request.headers().get(header::SEC_WEBSOCKET_KEY)?;
    let accepted = *request.method() == Method::GET && upgrades && asks("transport", "websocket") && asks("EIO", "4");
    HeaderValue::from_str(&derive_accept_key(key.as_bytes())).ok().filter(|_| accepted)
}

fn accept<S>(mut upgrade: Upgrade<S>, key: &HeaderValue, request: Request) -> Response
where
    S: Service<Connection, Response = ()> + Send + 'static,
    S::Future: Send,
{
    let (parts, _) = request.into_parts();
    let head = http::Request::from_parts(parts.clone(), ());
    let connection = hyper::upgrade::on(http::Request::from_parts(parts, ()));
    // Ends with the upgrade, which comes or fails at once; the connection belongs to the service from then on.
    tokio::spawn(async move {
        match connection.await {
            Ok(upgraded) => {
                let guarded = Guarded::new(TokioIo::new(upgraded), upgrade.write_timeout);
                if upgrade.service.call((guarded, head)).await.is_err() {
                    tracing::debug!("the service refused the connection");
                }
            }
            Err(error) => tracing::debug!(%error, "the connection was not upgraded"),
        }
    });
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(header::SEC_WEBSOCKET_ACCEPT, key.clone());
    response
}
