use axum::{
    Router,
    extract::ConnectInfo,
    routing::{any, get},
};
use std::net::SocketAddr;

use sap_comm_rest::server::ServerConfig;

use crate::support::{Connection, ask, serve, serve_with};

fn router() -> Router {
    Router::new()
        .route("/", any(async |body: String| format!("body={body}")))
        .route("/peer", get(async |ConnectInfo(peer): ConnectInfo<SocketAddr>| peer.ip().to_string()))
}

#[tokio::test]
async fn a_request_that_can_be_read_in_two_ways_is_refused_and_the_connection_closed() {
    let server = serve(router()).await;
    for request in [
        "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        "GET / HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: a\r\nhost: a\r\n\r\n",
        "GET http://b/ HTTP/1.1\r\nhost: a\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: 127.0.0.1:abc\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: 127.0.0.1:-1\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: [::1]:a\r\n\r\n",
        "GET / HTTP/1.0\r\nhost: a:80:80\r\n\r\n",
        "GET /#a HTTP/1.1\r\nhost: a\r\n\r\n",
        "GET http://a/b?c#d HTTP/1.1\r\nhost: a\r\n\r\n",
        "CONNECT a:80 HTTP/1.1\r\nhost: a:80\r\n\r\n",
    ] {
        let mut connection = Connection::open(server.addr).await;
        connection.send(request.as_bytes()).await;
        let answer = connection.answer().await;
        assert!(matches!(answer.status, 400 | 405), "{request:?} {answer:?}");
        assert!(["BAD_REQUEST", "METHOD_NOT_ALLOWED"].contains(&answer.code().as_str()));
        assert_eq!(answer.header("connection"), Some("close"), "{request:?}");
        let methods = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS";
        assert_eq!(answer.header("allow"), (answer.status == 405).then_some(methods), "{request:?}");
        connection.closed().await;
    }
}

#[tokio::test]
async fn a_request_that_http_forbids_is_refused_and_the_connection_closed() {
    let server = serve(router()).await;
    for request in [
        "GET / HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab",
        "GET / HTTP/1.1\r\nhost: a\r\ncontent-length: 18446744073709551615\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: a\r\ncontent-length: 18446744073709551616\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: a\r\ncontent-length: +5\r\n\r\nabcde",
        "GET / HTTP/1.1\r\nhost: a\r\ncontent-length: 0x5\r\n\r\nabcde",
        "POST / HTTP/1.0\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked, gzip\r\n\r\n0\r\n\r\n",
        "GET / HTTP/1.1\r\nhost : a\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: a\r\nx: a\r\n b\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: a\r\nx: \0\r\n\r\n",
        "GET /\0 HTTP/1.1\r\nhost: a\r\n\r\n",
        "nonsense\r\n\r\n",
    ] {
        let mut connection = Connection::open(server.addr).await;
        connection.send(request.as_bytes()).await;
        let answer = connection.answer().await;
        assert_eq!((answer.status, answer.code().as_str()), (400, "BAD_REQUEST"), "{request:?} {answer:?}");
        connection.closed().await;
    }
}

#[tokio::test]
async fn what_is_no_http_is_refused_with_the_envelope_behind_other_answers_too() {
    let server = serve(router()).await;
    let peer = "GET /peer HTTP/1.1\r\nhost: a\r\n\r\n";
    for (head, status, code) in [
        ("G@T / HTTP/1.1\r\nhost: a\r\n\r\n".to_owned(), 400, "BAD_REQUEST"),
        (format!("GET / HTTP/1.1\r\nhost: a\r\n{}\r\n", "x: y\r\n".repeat(200)), 431, "HEADERS_TOO_LARGE"),
        (format!("GET / HTTP/1.1\r\nhost: a\r\nx: {}\r\n\r\n", "y".repeat(64 * 1024)), 431, "HEADERS_TOO_LARGE"),
    ] {
        let mut connection = Connection::open(server.addr).await;
        connection.send(format!("{peer}{peer}{head}").as_bytes()).await;
        for _ in 0..2 {
            assert_eq!(connection.answer().await.body, "127.0.0.1");
        }
        let answer = connection.answer().await;
        assert_eq!((answer.status, answer.code().as_str()), (status, code));
        assert!(answer.header("x-request-id").is_some_and(|id| id.starts_with("req_")), "{answer:?}");
        assert_eq!(answer.header("connection"), Some("close"));
        connection.closed().await;
    }
}

#[tokio::test]
async fn a_refusal_of_the_service_stays_as_it_is() {
    let refuse = any(async || http::StatusCode::BAD_REQUEST);
    let server = serve_with(Router::new().route("/", refuse), "127.0.0.1:0", ServerConfig::default()).await;
    let answer = ask(server.addr, "GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await;
    assert_eq!((answer.status, answer.body.as_str()), (400, ""));
}

#[tokio::test]
async fn a_uri_over_the_limit_is_refused() {
    let server = serve(router()).await;
    let request = format!("GET /{} HTTP/1.1\r\nhost: a\r\n\r\n", "x".repeat(8 * 1024));
    let answer = ask(server.addr, &request).await;
    assert_eq!((answer.status, answer.code().as_str()), (414, "URI_TOO_LONG"));
}

#[tokio::test]
async fn a_uri_that_does_not_even_fit_is_refused_as_one() {
    let roomy = serve(router()).await;
    let mut config = ServerConfig::default();
    config.max_uri = config.max_header_bytes;
    let narrow = serve_with(router(), "127.0.0.1:0", config).await;
    let first = "GET /peer HTTP/1.1\r\nhost: a\r\n\r\n";
    for (name, server, head) in [
        ("64 KiB", &roomy, format!("GET /{} HTTP/1.1\r\nhost: a\r\n\r\n", "x".repeat(64 * 1024))),
        ("endless", &roomy, format!("GET /{}", "x".repeat(64 * 1024))),
        ("before much else", &roomy, {
            let (long, longer) = ("x".repeat(16 * 1024), "x".repeat(64 * 1024));
            format!("GET /{long} HTTP/1.1\r\nhost: a\r\nx: {longer}\r\n\r\n")
        }),
        ("all that is read", &narrow, format!("GET /{} HTTP/1.1\r\nhost: a\r\n\r\n", "x".repeat(64 * 1024))),
    ] {
        let mut connection = Connection::open(server.addr).await;
        connection.send(first.as_bytes()).await;
        assert_eq!(connection.answer().await.body, "127.0.0.1");
        connection.try_send(head.as_bytes()).await;
        let answer = connection.answer().await;
        assert_eq!((answer.status, answer.code().as_str()), (414, "URI_TOO_LONG"), "{name}");
        connection.closed().await;
    }
}

#[tokio::test]
async fn too_many_or_too_large_headers_are_refused() {
    let server = serve(router()).await;
    let many: String = (0..101).map(|number| format!("x-{number}: a\r\n")).collect();
    let large = format!("x: {}\r\n", "a".repeat(64 * 1024));
    for headers in [many, large] {
        let mut connection = Connection::open(server.addr).await;
        connection.try_send(format!("GET / HTTP/1.1\r\nhost: a\r\n{headers}\r\n").as_bytes()).await;
        assert_eq!(connection.answer().await.status, 431);
    }
}

#[tokio::test]
async fn a_head_over_the_limit_is_refused_however_it_comes() {
    let server = serve(router()).await;
    let limit = ServerConfig::default().max_header_bytes;
    let head = |size: usize| {
        let start = "GET /peer HTTP/1.1\r\nhost: a\r\nx: ";
        format!("{start}{}\r\n\r\n", "y".repeat(size - start.len() - 4))
    };
    // One before it leaves the reader another buffer.
    for (before, size) in [(None, limit + 8_000), (Some(40), limit + 8_000), (Some(40), limit + 1), (Some(40), limit)] {
        let mut connection = Connection::open(server.addr).await;
        if let Some(before) = before {
            connection.send(head(before).as_bytes()).await;
            assert_eq!(connection.answer().await.status, 200);
        }
        connection.send(head(size).as_bytes()).await;
        let answer = connection.answer().await;
        if size == limit {
            assert_eq!(answer.status, 200);
            continue;
        }
        assert_eq!((answer.status, answer.code().as_str()), (431, "HEADERS_TOO_LARGE"), "{size} behind {before:?}");
        assert_eq!(connection.closed().await, "");
    }
    let mut connection = Connection::open(server.addr).await;
    connection.send(head(40).as_bytes()).await;
    assert_eq!(connection.answer().await.status, 200);
    let many_and_long = head(limit + 8_000).replace("yyyyyyyy", "y\r\nx: yyy");
    connection.send(many_and_long.as_bytes()).await;
    assert_eq!(connection.answer().await.code(), "HEADERS_TOO_LARGE");
}

#[tokio::test]
async fn handlers_see_the_address_of_their_peer() {
    let server = serve(router()).await;
    let answer = ask(server.addr, "GET /peer HTTP/1.1\r\nhost: a\r\n\r\n").await;
    assert_eq!(answer.body, "127.0.0.1");
}

#[tokio::test]
async fn a_connection_serves_several_requests() {
    let server = serve(router()).await;
    let mut connection = Connection::open(server.addr).await;
    for _ in 0..3 {
        connection.send(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
        assert_eq!(connection.answer().await.status, 200);
    }
}

#[tokio::test]
async fn a_host_may_have_a_port() {
    let server = serve(router()).await;
    for host in ["a", "a:80", "a:", "[::1]", "[::1]:80", "127.0.0.1:65535"] {
        let answer = ask(server.addr, &format!("GET /peer HTTP/1.1\r\nhost: {host}\r\n\r\n")).await;
        assert_eq!(answer.status, 200, "{host}");
    }
}

#[tokio::test]
async fn what_the_server_takes_it_says_itself() {
    let server = serve(router()).await;
    let mut connection = Connection::open(server.addr).await;
    for _ in 0..2 {
        connection.send(b"OPTIONS * HTTP/1.1\r\nhost: a\r\n\r\n").await;
        let answer = connection.answer().await;
        assert_eq!(
            (answer.status, answer.header("allow")),
            (204, Some("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"))
        );
        assert_eq!(answer.header("connection"), None);
        assert!(answer.header("x-request-id").is_some());
    }
    let other = ask(server.addr, "GET * HTTP/1.1\r\nhost: a\r\n\r\n").await;
    assert!((400..500).contains(&other.status), "{other:?}");
}

#[tokio::test]
async fn a_refusal_of_head_has_no_content() {
    let mut config = ServerConfig::default();
    config.header_timeout = std::time::Duration::from_millis(150);
    let server = serve_with(router(), "127.0.0.1:0", config).await;
    let peer = "GET /peer HTTP/1.1\r\nhost: a\r\n\r\n";
    for (request, status) in [
        ("HEAD / HTTP/1.1\r\nhost : a\r\n\r\n".to_owned(), 400),
        ("HEAD / HTTP/1.1\r\nhost: a\r\ncontent-length: +5\r\n\r\n".to_owned(), 400),
        ("HEAD / HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n".to_owned(), 400),
        (format!("HEAD /{}", "x".repeat(64 * 1024)), 414),
        (format!("HEAD / HTTP/1.1\r\n{}\r\n", "x: y\r\n".repeat(200)), 431),
        ("HEAD / HTTP/1.1\r\n".to_owned(), 408),
    ] {
        let mut connection = Connection::open(server.addr).await;
        connection.send(peer.as_bytes()).await;
        assert_eq!(connection.answer().await.status, 200);
        connection.try_send(request.as_bytes()).await;
        let all = connection.closed().await;
        let (head, content) = all.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{request:?} {all:?}");
        assert_eq!(content, "", "{request:?}");
    }
}
