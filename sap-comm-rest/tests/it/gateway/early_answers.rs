//! Services that answer before they have read the request.

use std::time::Duration;

use axum::{Router, routing::post};
use sap_comm_rest::server::{Json, KitConfig, Server, ServerConfig, kit};
use serde_json::Value;
use tokio::{io::AsyncWriteExt, time::Instant};
use tokio_util::sync::CancellationToken;

use super::support::{Running, Wire, raw_upstream, read_head, serve, serve_impatiently, to, within};
use crate::support::{halves, oversized};

async fn service() -> Running {
    let router = Router::new().route("/api", post(async |Json(value): Json<Value>| Json(value)));
    let router = kit(router, KitConfig::new("test"));
    let server = Server::bind("127.0.0.1:0", ServerConfig::default()).await.unwrap();
    Running::spawn(server.local_addr(), async move { server.serve(router, CancellationToken::new()).await.unwrap() })
}

/// Sends all of a request, as a simple client does, before it looks at the answer, which comes in the middle of it.
async fn refused(gateway: &Running, request: &[u8]) {
    for _ in 0..50 {
        let mut wire = Wire::open(gateway).await;
        let (begin, rest) = halves(request);
        wire.0.write_all(begin).await.unwrap();
        within(wire.0.readable()).await.unwrap();
        for piece in rest {
            wire.0.write_all(piece).await.unwrap();
        }
        let answer = wire.answer().await;
        let text = String::from_utf8_lossy(&answer.body);
        assert_eq!(answer.status, 413, "{text}");
        assert_eq!(answer.code(), "PAYLOAD_TOO_LARGE");
        // Closed, or ready for the next request; not stuck with the rest of this one.
        wire.write("GET /nothing HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await;
        wire.is_closed().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_services_refusal_of_a_body_is_passed_on() {
    let service = service().await;
    let gateway = serve(to(&service).build().unwrap()).await;
    for request in oversized("/api") {
        refused(&gateway, &request).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_is_passed_on_though_the_service_resets_the_connection_behind_it() {
    let service = raw_upstream(|mut stream, _| async move {
        let head = read_head(&mut stream).await;
        let line = head.split("\r\n").find(|line| line.to_ascii_lowercase().starts_with("x-request-id: ")).unwrap();
        let id = line.split(": ").nth(1).unwrap();
        let error = format!(
            r#"{{"error":{{"code":"PAYLOAD_TOO_LARGE","message":"no","details":{{}},"timestamp":"","requestId":"{id}"}}}}"#
        );
        let head = "HTTP/1.1 413 Payload Too Large\r\nConnection: close\r\n";
        let answer = format!("{head}Content-Length: {}\r\n\r\n{error}", error.len());
        stream.write_all(answer.as_bytes()).await.unwrap();
        // Dropped with most of the request unread.
    })
    .await;
    let gateway = serve(to(&service).build().unwrap()).await;
    for request in oversized("/api") {
        refused(&gateway, &request).await;
    }
}

#[tokio::test]
async fn a_connection_that_is_reset_without_an_answer_is_a_bad_gateway() {
    let service = raw_upstream(|mut stream, _| async move { drop(read_head(&mut stream).await) }).await;
    let gateway = serve(to(&service).build().unwrap()).await;
    for request in oversized("/api") {
        let mut wire = Wire::open(&gateway).await;
        wire.0.write_all(&request).await.unwrap();
        let answer = wire.answer().await;
        assert_eq!((answer.status, answer.code().as_str()), (502, "BAD_GATEWAY"));
    }
}

#[tokio::test]
async fn a_client_that_is_refused_and_falls_silent_is_let_go() {
    let service = service().await;
    let gateway = serve_impatiently(to(&service).build().unwrap()).await;
    let begun = Instant::now();
    let mut wire = Wire::open(&gateway).await;
    wire.write("POST /api HTTP/1.1\r\nHost: a\r\nContent-Type: text/plain\r\nContent-Length: 1000\r\n\r\nabc").await;
    let answer = wire.answer().await;
    assert_eq!((answer.status, answer.header("connection")), (415, Some("close")));
    assert!(wire.is_closed().await);
    assert!(begun.elapsed() < Duration::from_secs(5), "it is not waited for as if its body were wanted");
}
