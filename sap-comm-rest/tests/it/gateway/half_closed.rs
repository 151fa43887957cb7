//! Clients that close their sending side once they have asked, and such as leave.

use std::{convert::Infallible, time::Duration};

use axum::{
    Router,
    body::{Body, Bytes},
    routing::{any, get, post},
};
use futures_util::{Stream, stream};
use sap_comm_rest::server::{KitConfig, Server, ServerConfig, kit};
use tokio::{io::AsyncWriteExt, sync::mpsc, time::Instant};
use tokio_util::sync::CancellationToken;

use super::support::{Running, Wire, serve_by, to, within};

/// Longer than an answer takes, shorter than the patience of a test.
const LINGER: Duration = Duration::from_millis(600);
const WORK: Duration = Duration::from_millis(50);
const LARGE: usize = 16 * 1024 * 1024;

/// Says when a handler is dropped before it has answered.
struct Working(mpsc::UnboundedSender<()>);

impl Drop for Working {
    fn drop(&mut self) {
        let _ = self.0.send(());
    }
}

fn router(given_up: mpsc::UnboundedSender<()>) -> Router {
    let late = async || tokio::time::sleep(WORK).await;
    let never = async move |_: Bytes| {
        let _working = Working(given_up);
        std::future::pending::<()>().await;
    };
    Router::new()
        .route("/api/late", get(async move || (late().await, "late").1))
        .route("/api/large", get(async move || (late().await, "x".repeat(LARGE)).1))
        .route("/api/echo", post(async move |body: Bytes| (late().await, body).1))
        .route("/api/pieces", get(async || Body::from_stream(pieces())))
        .route("/api/never", any(never))
}

/// An answer that takes longer than its peer is waited for, and does not stand still so long.
fn pieces() -> impl Stream<Item = Result<Bytes, Infallible>> {
    stream::unfold(0, async |number| {
        tokio::time::sleep(LINGER / 3).await;
        (number < 5).then(|| (Ok(Bytes::from_static(b"piece ")), number + 1))
    })
}

fn config() -> ServerConfig {
    let mut config = ServerConfig::default();
    config.linger = LINGER;
    config
}

/// A service, and a gateway in front of it; and a word for each request that was given up.
async fn servers() -> ([Running; 2], mpsc::UnboundedReceiver<()>) {
    let (tell, given_up) = mpsc::unbounded_channel();
    let server = Server::bind("127.0.0.1:0", config()).await.unwrap();
    let router = kit(router(tell), KitConfig::new("test"));
    let service = Running::spawn(server.local_addr(), async move {
        server.serve(router, CancellationToken::new()).await.unwrap();
    });
    let gateway = serve_by(to(&service).build().unwrap(), config()).await;
    ([service, gateway], given_up)
}

/// Asks, and says that this is all.
async fn asked(server: &Running, requests: &str) -> Wire {
    let mut wire = Wire::open(server).await;
    wire.write(requests).await;
    wire.0.shutdown().await.unwrap();
    wire
}

#[tokio::test]
async fn what_was_asked_is_answered() {
    let (servers, _given_up) = servers().await;
    for server in &servers {
        for (request, body) in [
            ("GET /api/late HTTP/1.1\r\nHost: a\r\n\r\n", "late"),
            ("GET /api/late HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", "late"),
            ("POST /api/echo HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody", "body"),
            ("POST /api/echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n", "body"),
        ] {
            let begun = Instant::now();
            let mut wire = asked(server, request).await;
            let answer = wire.answer().await;
            assert_eq!((answer.status, answer.body.as_slice()), (200, body.as_bytes()), "{request:?}");
            assert!(wire.is_closed().await);
            assert!(begun.elapsed() < LINGER, "closed as soon as the answer is written");
        }
        let mut wire = asked(server, "GET /nothing HTTP/1.1\r\nHost: a\r\n\r\n").await;
        assert_eq!(wire.answer().await.status, 404);
        assert!(wire.is_closed().await);
    }
}

#[tokio::test]
async fn all_that_was_asked_is_answered() {
    let (servers, _given_up) = servers().await;
    for server in &servers {
        let mut wire = asked(server, &"GET /api/late HTTP/1.1\r\nHost: a\r\n\r\n".repeat(3)).await;
        for _ in 0..3 {
            assert_eq!(wire.answer().await.body, b"late");
        }
        assert!(wire.is_closed().await);
    }
}

#[tokio::test]
async fn a_long_answer_comes_whole() {
    let (servers, _given_up) = servers().await;
    for server in &servers {
        let mut wire = asked(server, "GET /api/pieces HTTP/1.1\r\nHost: a\r\n\r\n").await;
        assert_eq!(wire.answer().await.body, "piece ".repeat(5).as_bytes());
        assert!(wire.is_closed().await);
    }
}

#[tokio::test]
async fn a_large_answer_comes_whole() {
    let (servers, _given_up) = servers().await;
    for server in &servers {
        let mut wire = asked(server, "GET /api/large HTTP/1.1\r\nHost: a\r\n\r\n").await;
        // More than the sockets hold is written while nobody reads.
        tokio::time::sleep(WORK * 3).await;
        assert_eq!(wire.answer().await.body.len(), LARGE);
        assert!(wire.is_closed().await);
    }
}

#[tokio::test]
async fn one_that_leaves_is_noticed() {
    let (servers, mut given_up) = servers().await;
    for server in &servers {
        let begun = Instant::now();
        drop(asked(server, "GET /api/never HTTP/1.1\r\nHost: a\r\n\r\n").await);
        within(given_up.recv()).await.unwrap();
        let elapsed = begun.elapsed();
        assert!(elapsed >= LINGER, "it may have closed its sending side only");
        assert!(elapsed < LINGER * 2, "a service learns of it as soon as its gateway");
    }
}

#[tokio::test]
async fn the_end_of_a_request_that_is_not_whole_is_no_secret() {
    let (servers, _given_up) = servers().await;
    for server in &servers {
        for request in [
            "POST /api/echo HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhalf",
            "POST /api/echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n",
            "GET /api/late HTTP/1.1\r\nHost:",
        ] {
            let begun = Instant::now();
            let mut wire = asked(server, request).await;
            wire.is_closed().await;
            assert!(begun.elapsed() < LINGER, "{request:?}");
        }
    }
}
