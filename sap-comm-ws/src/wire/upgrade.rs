use std::time::Duration;

use axum::{
    body::Body,
    extract::{Request, State},
    middleware::Next,
    response::Response,
};
use http::{HeaderValue, Method, StatusCode, Uri, header};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_util::sync::CancellationToken;
use tower_service::Service;

use super::{guarded::Guarded, polling};
use crate::edge::{asks_for_websocket, parameter};

/// What a connection becomes once it is upgraded.
type Connection = (Guarded<TokioIo<Upgraded>>, http::Request<()>);

/// Serves upgraded connections with the Socket.IO service.
#[derive(Clone)]
pub(crate) struct Upgrade<S> {
    service: S,
    write_timeout: Duration,
    ended: CancellationToken,
}

impl<S> Upgrade<S> {
    /// Connections end with `ended`, at the latest.
    pub(crate) fn new(service: S, write_timeout: Duration, ended: CancellationToken) -> Self {
        Self { service, write_timeout, ended }
    }
}

/// Answers a WebSocket upgrade itself, so that the connection is ours to guard; rewrites what polling answers.
pub(crate) async fn serve<S>(State(upgrade): State<Upgrade<S>>, request: Request, next: Next) -> Response
where
    S: Service<Connection, Response = ()> + Clone + Send + Sync + 'static,
    S::Future: Send,
{
    match accept_key(&request) {
        Some(key) => match refusal(request.uri().clone(), next).await {
            Some(refusal) => refusal,
            None => accept(upgrade, &key, request),
        },
        None if *request.method() == Method::GET => tokio::select! {
            biased;
            response = next.run(request) => polling::rewrite(response).await,
            () = upgrade.ended.cancelled() => polling::close(),
        },
        None => next.run(request).await,
    }
}

/// The answer to the key of a request that the service would upgrade.
fn accept_key(request: &Request) -> Option<HeaderValue> {
    let accepted = asks_for_websocket(request) && parameter(request.uri(), "EIO") == Some("4");
    let key = request.headers().get(header::SEC_WEBSOCKET_KEY).filter(|_| accepted)?;
    HeaderValue::from_str(&derive_accept_key(key.as_bytes())).ok()
}

/// What the service has against upgrading the session that the request names.
///
/// It tells only those who post: nothing is posted to the session here, which does no more than look for it.
async fn refusal(uri: Uri, next: Next) -> Option<Response> {
    let sid = uri.query().unwrap_or_default().split('&').find(|pair| pair.starts_with("sid="))?;
    let post = http::Request::post(format!("{}?EIO=4&transport=polling&{sid}", uri.path()));
    let answer = next.run(post.body(Body::empty()).ok()?).await;
    (!answer.status().is_success()).then_some(answer)
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
                let guarded = Guarded::new(TokioIo::new(upgraded), upgrade.write_timeout, &upgrade.ended);
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
