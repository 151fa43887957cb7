//! What must not come through, byte for byte.

use super::support::{Running, Wire, echo, serve, to, upstream};

/// Sends bytes on a connection of its own; returns the status and whether the connection was closed behind it.
async fn attack(gateway: &Running, wire_bytes: &[u8]) -> (u16, bool) {
    let mut wire = Wire::open(gateway).await;
    wire.write(wire_bytes).await;
    let status = wire.answer().await.status;
    // A connection that goes on answers one more request; one that does not says nothing more.
    wire.write(b"GET /api/probe HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await;
    (status, wire.is_closed().await)
}

#[tokio::test]
async fn framing_that_two_readers_could_read_in_two_ways_is_refused_and_the_connection_closed() {
    let upstream = upstream(echo()).await;
    let gateway = serve(to(&upstream).build().unwrap()).await;
    let smuggled = "GET /api/smuggled HTTP/1.1\r\nHost: a\r\n\r\n";
    for (name, status, headers, body) in [
        ("CL.TE", 400, "Content-Length: 4\r\nTransfer-Encoding: chunked", "0\r\n\r\n"),
        ("TE.CL", 400, "Transfer-Encoding: chunked\r\nContent-Length: 4", "0\r\n\r\n"),
        ("two lengths that differ", 400, "Content-Length: 5\r\nContent-Length: 6", "hello"),
        ("two lengths alike", 400, "Content-Length: 5\r\nContent-Length: 5", "hello"),
        ("list of lengths", 400, "Content-Length: 5, 5", "hello"),
        ("signed length", 400, "Content-Length: +5", "hello"),
        ("negative length", 400, "Content-Length: -5", "hello"),
        ("hexadecimal length", 400, "Content-Length: 0x5", "hello"),
        ("length over 64 bits", 400, "Content-Length: 18446744073709551617", "h"),
        ("tab before the coding", 400, "Transfer-Encoding:\tchunked", "0\r\n\r\n"),
        ("vertical tab before the coding", 400, "Transfer-Encoding: \x0bchunked", "0\r\n\r\n"),
        ("coding before chunked", 400, "Transfer-Encoding: gzip, chunked", "0\r\n\r\n"),
        ("chunked twice", 400, "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", "0\r\n\r\n"),
        ("coding behind chunked", 400, "Transfer-Encoding: chunked, identity", "0\r\n\r\n"),
        ("unknown coding", 400, "Transfer-Encoding: xchunked", "0\r\n\r\n"),
        ("coding in quotes", 400, "Transfer-Encoding: \"chunked\"", "0\r\n\r\n"),
        ("folded header", 400, "X-A: b\r\n c", ""),
        ("space before the colon", 400, "Content-Length : 5", "hello"),
        ("space before the name", 400, " Content-Length: 5", "hello"),
        ("NUL in a header", 400, "X-A: \0", ""),
        ("NUL in a name", 400, "X\0A: b", ""),
        ("bare return in a header", 400, "X-A: b\rContent-Length: 5", "hello"),
        ("bare line feed", 400, "X-A: b\nContent-Length: 5", "hello"),
        ("no host", 400, "X-Drop-Host: 1", ""),
        ("host twice", 400, "Host: b", ""),
        ("chunk size over 64 bits", 400, "Transfer-Encoding: chunked", "fffffffffffffffff\r\n"),
        ("signed chunk size", 400, "Transfer-Encoding: chunked", "+5\r\nhello\r\n0\r\n\r\n"),
        ("hexadecimal prefix in a chunk size", 400, "Transfer-Encoding: chunked", "0x5\r\nhello\r\n0\r\n\r\n"),
        ("chunk longer than it says", 400, "Transfer-Encoding: chunked", "3\r\nhello\r\n0\r\n\r\n"),
        ("line feed alone behind a chunk size", 400, "Transfer-Encoding: chunked", "5\nhello\n0\n\n"),
    ] {
        let host = if name == "no host" { "" } else { "Host: a\r\n" };
        let bytes = format!("POST /api HTTP/1.1\r\n{host}{headers}\r\n\r\n{body}{smuggled}");
        assert_eq!(attack(&gateway, bytes.as_bytes()).await, (status, true), "{name}");
    }
    let extension = "x".repeat(16 * 1024 + 1);
    let bytes = format!(
        "POST /api HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5;{extension}\r\nhello\r\n0\r\n\r\n"
    );
    assert_eq!(attack(&gateway, bytes.as_bytes()).await, (400, true), "16 KiB of chunk extensions");
}

#[tokio::test]
async fn requests_that_are_none_are_refused() {
    let upstream = upstream(echo()).await;
    let gateway = serve(to(&upstream).build().unwrap()).await;
    for (name, status, bytes) in [
        (
            "chunks on HTTP/1.0",
            400,
            &b"POST /api HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"[..],
        ),
        ("host unlike the target", 400, b"GET http://b/api HTTP/1.1\r\nHost: a\r\n\r\n"),
        ("host that is none", 400, b"GET /api HTTP/1.1\r\nHost: a/b\r\n\r\n"),
        ("host with credentials", 400, b"GET /api HTTP/1.1\r\nHost: a@b\r\n\r\n"),
        ("empty host", 400, b"GET /api HTTP/1.1\r\nHost:\r\n\r\n"),
        ("NUL in the path", 400, b"GET /api\0 HTTP/1.1\r\nHost: a\r\n\r\n"),
        ("no version", 400, b"GET /api\r\nHost: a\r\n\r\n"),
        ("unknown version", 400, b"GET /api HTTP/3.7\r\nHost: a\r\n\r\n"),
        ("method that is none", 400, b"G@T /api HTTP/1.1\r\nHost: a\r\n\r\n"),
        ("tunnel", 405, b"CONNECT internal:22 HTTP/1.1\r\nHost: internal:22\r\n\r\n"),
        ("trace", 501, b"TRACE /api HTTP/1.1\r\nHost: a\r\n\r\n"),
    ] {
        assert_eq!(attack(&gateway, bytes).await, (status, true), "{name}");
    }
}

#[tokio::test]
async fn the_bytes_behind_an_empty_body_are_the_next_request() {
    let upstream = upstream(echo()).await;
    let gateway = serve(to(&upstream).build().unwrap()).await;
    let mut wire = Wire::open(&gateway).await;
    wire.write(
        "POST /api/1 HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\nGET /api/2 HTTP/1.1\r\nHost: a\r\n\r\n\
         GET /nothing HTTP/1.1\r\nHost: a\r\n\r\nGET /api/3 HTTP/1.1\r\nHost: a\r\n\r\n",
    )
    .await;
    assert_eq!(wire.answer().await.json()["target"], "/api/1");
    assert_eq!(wire.answer().await.json()["target"], "/api/2");
    assert_eq!(wire.answer().await.status, 404);
    assert_eq!(wire.answer().await.json()["target"], "/api/3");
}

#[tokio::test]
async fn an_upgrade_without_connection_is_an_ordinary_request() {
    let upstream = upstream(echo()).await;
    let gateway = serve(to(&upstream).build().unwrap()).await;
    let mut wire = Wire::open(&gateway).await;
    for head in
        ["Upgrade: websocket", "Upgrade: h2c\r\nConnection: upgrade", "Upgrade: websocket, h2c\r\nConnection: upgrade"]
    {
        wire.write(format!("GET /api HTTP/1.1\r\nHost: a\r\n{head}\r\n\r\n")).await;
        let answer = wire.answer().await;
        assert_eq!((answer.status, answer.sent("upgrade"), answer.sent("connection")), (200, None, None));
    }
}

#[tokio::test]
async fn headers_and_targets_have_their_limits() {
    let upstream = upstream(echo()).await;
    let gateway = serve(to(&upstream).build().unwrap()).await;
    let lines = |count: usize| (0..count).map(|number| format!("X-{number}: 1\r\n")).collect::<String>();
    for (name, status, bytes) in [
        ("90 headers", 200, format!("GET /api HTTP/1.1\r\nHost: a\r\n{}\r\n", lines(89))),
        ("101 headers", 431, format!("GET /api HTTP/1.1\r\nHost: a\r\n{}\r\n", lines(100))),
        ("64 KiB of headers", 431, format!("GET /api HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "x".repeat(65_536))),
        ("16 KiB of target", 414, format!("GET /api/{} HTTP/1.1\r\nHost: a\r\n\r\n", "x".repeat(16_384))),
    ] {
        assert_eq!(attack(&gateway, bytes.as_bytes()).await.0, status, "{name}");
    }
}

#[tokio::test]
async fn refusals_are_problem_details_for_those_who_ask() {
    let upstream = upstream(echo()).await;
    let gateway = serve(to(&upstream).build().unwrap()).await;
    let accept = [("Accept", "application/problem+json")];
    let answer = super::support::send(&gateway, "GET", "/nothing", &accept, "").await;
    assert_eq!((answer.status, answer.header("content-type")), (404, Some("application/problem+json")));
    assert_eq!(answer.json()["requestId"].as_str(), answer.header("x-request-id"));
}
