use async_compression::tokio::write::{BrotliEncoder, GzipEncoder};
use axum::{
    Router,
    http::header::{CACHE_CONTROL, CONTENT_ENCODING, ETAG},
    routing::{get, post},
};
use bytes::Bytes;
use sap_comm_core::ApiError;
use sap_comm_rest::{
    conditional::{EntityTag, Preconditions},
    server::{Json, KitConfig, ServerConfig, kit},
};
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

/// Long enough to be compressed.
fn text() -> String {
    "all the same ".repeat(100)
}

async fn compressing(router: Router) -> Running {
    let mut config = KitConfig::default();
    config.compress_responses = true;
    serve_with(kit(router, config), "127.0.0.1:0", ServerConfig::default()).await
}

/// The head of an answer to a request with these further headers.
async fn head(server: &Running, method: &str, path: &str, headers: &str) -> Answer {
    let mut connection = Connection::open(server.addr).await;
    connection
        .send(format!("{method} {path} HTTP/1.1\r\nhost: a\r\n{headers}connection: close\r\n\r\n").as_bytes())
        .await;
    connection.answer().await
}

const BR: &str = "accept-encoding: br, gzip\r\n";

#[tokio::test]
async fn responses_are_compressed_where_that_was_asked_for() {
    let router = || {
        Router::new()
            .route("/", get(async || text()))
            .route("/kept", get(async || ([(CACHE_CONTROL, "public, no-transform")], text())))
    };
    let encoding = async |server: &Running, path: &str| {
        head(server, "HEAD", path, BR).await.header("content-encoding").map(str::to_owned)
    };
    let server = compressing(router()).await;
    assert_eq!(encoding(&server, "/").await.as_deref(), Some("br"));
    assert_eq!(encoding(&server, "/kept").await, None);
    let plain = ask(server.addr, "GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await;
    assert_eq!((plain.header("content-encoding"), plain.body.as_str()), (None, text().as_str()));
    let default = serve(router()).await;
    assert_eq!(encoding(&default, "/").await, None, "nobody asked for it");
}

/// Answers with tags of every kind, and takes a change of version 1.
fn tagged() -> Router {
    let change = async |preconditions: Preconditions| {
        preconditions.check(Some(&EntityTag::strong("1").unwrap()))?;
        Ok::<_, ApiError>("changed")
    };
    Router::new()
        .route("/strong", get(async || ([(ETAG, "\"1\"")], text())).put(change))
        .route("/weak", get(async || ([(ETAG, "W/\"1\"")], text())))
        .route("/short", get(async || ([(ETAG, "\"1\"")], "1")))
        .route("/encoded", get(async || ([(ETAG, "\"1\""), (CONTENT_ENCODING, "gzip")], gzip(text().as_bytes()).await)))
        .route("/odd", get(async || ([(ETAG, "\"1--gzip\"")], text())))
}

#[tokio::test]
async fn a_compressed_version_has_an_etag_of_its_own() {
    let server = compressing(tagged()).await;
    for (path, accepted, coding, tag) in [
        ("/strong", "", None, "\"1\""),
        ("/strong", BR, Some("br"), "\"1--br\""),
        ("/strong", "accept-encoding: gzip\r\n", Some("gzip"), "\"1--gzip\""),
        ("/strong", "accept-encoding: identity\r\n", None, "\"1\""),
        ("/weak", BR, Some("br"), "W/\"1\""),
        ("/short", BR, None, "\"1\""),
        ("/encoded", BR, Some("gzip"), "\"1\""),
    ] {
        let answer = head(&server, "HEAD", path, accepted).await;
        assert_eq!(
            (answer.header("content-encoding"), answer.header("etag")),
            (coding, Some(tag)),
            "{path} {accepted}"
        );
    }
}

#[tokio::test]
async fn a_compressed_version_that_a_caller_has_is_not_sent_again() {
    let server = compressing(tagged()).await;
    for (path, known, tag) in [
        ("/strong", "\"1--br\"", "\"1--br\""),
        ("/strong", "\"1--gzip\"", "\"1--gzip\""),
        ("/strong", "\"1\"", "\"1\""),
        ("/strong", "W/\"1--br\"", "W/\"1--br\""),
        ("/strong", "\"0--br\", \"1--br\"", "\"1--br\""),
        ("/strong", "*", "\"1\""),
        ("/weak", "W/\"1\"", "W/\"1\""),
        ("/odd", "\"1--gzip\"", "\"1--gzip\""),
        ("/odd", "\"1--gzip--br\"", "\"1--gzip--br\""),
    ] {
        for method in ["GET", "HEAD"] {
            let answer = head(&server, method, path, &format!("{BR}if-none-match: {known}\r\n")).await;
            assert_eq!((answer.status, answer.header("etag")), (304, Some(tag)), "{path} {known}");
            assert_eq!((answer.header("content-encoding"), answer.header("vary")), (None, Some("accept-encoding")));
        }
    }
    for (path, known) in [("/strong", "\"2--br\""), ("/strong", "\"1-br\""), ("/odd", "\"1\"")] {
        let answer = head(&server, "HEAD", path, &format!("{BR}if-none-match: {known}\r\n")).await;
        assert_eq!((answer.status, answer.header("content-encoding")), (200, Some("br")), "{path} {known}");
    }
    // A cache asks about a version of somebody else's: who asks now could not read it.
    for accepted in ["", "accept-encoding: identity\r\n", "accept-encoding: br;q=0, gzip\r\n"] {
        let answer = head(&server, "HEAD", "/strong", &format!("{accepted}if-none-match: \"1--br\"\r\n")).await;
        assert_eq!(answer.status, 200, "{accepted}");
    }
    let odd = head(&server, "GET", "/strong", "if-none-match: 1--br\r\n").await;
    assert_eq!((odd.status, odd.code().as_str()), (400, "INVALID_ARGUMENT"));
}

#[tokio::test]
async fn a_change_may_name_the_compressed_version_that_was_seen() {
    let server = compressing(tagged()).await;
    for (seen, status) in
        [("\"1--br\"", 200), ("\"1--gzip\"", 200), ("\"1\"", 200), ("\"2--br\"", 412), ("W/\"1--br\"", 412)]
    {
        let answer = head(&server, "PUT", "/strong", &format!("if-match: {seen}\r\ncontent-length: 0\r\n")).await;
        assert_eq!(answer.status, status, "{seen}");
    }
}
