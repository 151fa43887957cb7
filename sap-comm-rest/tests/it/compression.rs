use async_compression::tokio::write::{BrotliEncoder, GzipEncoder};
use axum::{
    Router,
    http::header::{CACHE_CONTROL, ETAG},
    routing::{get, post},
};
use bytes::Bytes;
use sap_comm_rest::server::{Json, KitConfig, ServerConfig, kit};
use tokio::io::AsyncWriteExt;

use crate::support::{Answer, Connection, Running, ask, serve, serve_with};

fn router() -> Router {
    let length = async |Json(items): Json<Vec<u64>>| items.len().to_string();
    Router::new().route("/json", post(length)).route("/bytes", post(async |body: Bytes| body.len().to_string()))
}

async fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzipEncoder::new(Vec::new());
    encoder.write_all(bytes).await.unwrap();
    encoder.shutdown().await.unwrap();
    encoder.into_inner()
}

async fn brotli(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = BrotliEncoder::new(Vec::new());
    encoder.write_all(bytes).await.unwrap();
    encoder.shutdown().await.unwrap();
    encoder.into_inner()
}

async fn send(server: &Running, path: &str, encoding: &str, body: &[u8]) -> Answer {
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ncontent-encoding: {encoding}\r\n\
         content-length: {}\r\n\r\n",
        body.len()
    );
    let mut connection = Connection::open(server.addr).await;
    connection.try_send(&[head.as_bytes(), body].concat()).await;
    connection.answer().await
}

#[tokio::test]
async fn a_compressed_request_is_read() {
    let server = serve(router()).await;
    let numbers = serde_json::to_vec(&(0..10_000).collect::<Vec<u64>>()).unwrap();
    for (encoding, body) in
        [("gzip", gzip(&numbers).await), ("br", brotli(&numbers).await), ("identity", numbers.clone())]
    {
        let answer = send(&server, "/json", encoding, &body).await;
        assert_eq!((answer.status, answer.body.as_str()), (200, "10000"), "{encoding}");
    }
}

#[tokio::test]
async fn a_bomb_is_refused_by_the_size_of_what_it_becomes() {
    let server = serve(router()).await;
    // Some 16 KiB: a body under every limit by itself.
    let spaces = vec![b' '; 16 * 1024 * 1024];
    for (encoding, body) in [("gzip", gzip(&spaces).await), ("br", brotli(&spaces).await)] {
        assert!(body.len() < 1024 * 1024, "{encoding} {}", body.len());
        let answer = send(&server, "/json", encoding, &body).await;
        assert_eq!((answer.status, answer.code().as_str()), (413, "PAYLOAD_TOO_LARGE"), "{encoding}");
        assert_eq!(send(&server, "/bytes", encoding, &body).await.status, 413, "{encoding}");
    }
}

#[tokio::test]
async fn a_body_that_becomes_nothing_is_refused_by_its_own_size() {
    let server = serve(router()).await;
    let nothing = gzip(b"").await.repeat(100_000);
    assert!(nothing.len() > 1024 * 1024);
    assert_eq!(send(&server, "/json", "gzip", &nothing).await.status, 413);
}

#[tokio::test]
async fn a_body_that_is_not_what_it_says_is_refused() {
    let server = serve(router()).await;
    let good = gzip(b"[1]").await;
    for (encoding, body, status) in [
        ("gzip", b"[1]".to_vec(), 400),
        ("gzip", good[..good.len() - 6].to_vec(), 400),
        ("br", b"\xff\xff\xff\xff".to_vec(), 400),
        ("gzip, gzip", gzip(&good).await, 415),
        ("deflate", good.clone(), 415),
        ("zstd", good.clone(), 415),
        ("x", good.clone(), 415),
    ] {
        let answer = send(&server, "/json", encoding, &body).await;
        assert_eq!(answer.status, status, "{encoding} {answer:?}");
        answer.error();
    }
}

#[tokio::test]
async fn responses_are_compressed_where_that_was_asked_for() {
    let text = || "all the same ".repeat(100);
    let router = || {
        Router::new()
            .route("/", get(async move || text()))
            .route("/tagged", get(async move || ([(ETAG, "\"1\"")], text())))
            .route("/kept", get(async move || ([(CACHE_CONTROL, "public, no-transform")], text())))
    };
    let mut config = KitConfig::default();
    config.compress_responses = true;
    let server = serve_with(kit(router(), config), "127.0.0.1:0", ServerConfig::default()).await;
    let encoding = async |server: &Running, path: &str| {
        let mut connection = Connection::open(server.addr).await;
        let request =
            format!("HEAD {path} HTTP/1.1\r\nhost: a\r\naccept-encoding: br, gzip\r\nconnection: close\r\n\r\n");
        connection.send(request.as_bytes()).await;
        connection.answer().await.header("content-encoding").map(str::to_owned)
    };
    assert_eq!(encoding(&server, "/").await.as_deref(), Some("br"));
    assert_eq!(encoding(&server, "/tagged").await, None, "its ETag names these bytes");
    assert_eq!(encoding(&server, "/kept").await, None);
    let plain = ask(server.addr, "GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await;
    assert_eq!((plain.header("content-encoding"), plain.body.as_str()), (None, text().as_str()));
    let default = serve(router()).await;
    assert_eq!(encoding(&default, "/").await, None, "nobody asked for it");
}
