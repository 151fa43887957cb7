use axum::{Router, http::StatusCode, response::IntoResponse, routing::any};
use sap_comm_resilience::CircuitBreakerConfig;
use sap_comm_rest::{
    gateway::Route,
    server::{KitConfig, kit},
};
use tokio::io::AsyncReadExt;

use super::support::{Running, Wire, canned, echo, get, send, serve, to, to_service, upstream, within};

#[tokio::test]
async fn what_belongs_to_one_connection_is_not_passed_on() {
    let upstream = upstream(echo()).await;
    let gateway = serve(to(&upstream).build().unwrap()).await;
    let headers = [
        ("Connection", "keep-alive, X-Secret-Hop"),
        ("X-Secret-Hop", "1"),
        ("Keep-Alive", "timeout=5"),
        ("TE", "trailers"),
        ("Proxy-Authorization", "Basic x"),
        ("Upgrade", "h2c"),
        ("HTTP2-Settings", "AAA"),
        ("X-Kept", "1"),
    ];
    let answer = send(&gateway, "GET", "/api", &headers, "").await;
    assert_eq!(answer.sent("x-kept").as_deref(), Some("1"));
    for name in ["connection", "x-secret-hop", "keep-alive", "te", "proxy-authorization", "upgrade", "http2-settings"] {
        assert_eq!(answer.sent(name), None, "{name}");
    }
}

#[tokio::test]
async fn what_belongs_to_the_upstreams_connection_stays_there() {
    let upstream = canned(
        b"HTTP/1.1 200 OK\r\nConnection: close, X-Inner\r\nX-Inner: 1\r\nKeep-Alive: timeout=5\r\nProxy-Authenticate: Basic\r\n\
          X-Outer: 1\r\nContent-Length: 2\r\n\r\nok",
    )
    .await;
    let gateway = serve(to(&upstream).build().unwrap()).await;
    let answer = get(&gateway, "/api").await;
    assert_eq!((answer.status, answer.body.as_slice(), answer.header("x-outer")), (200, &b"ok"[..], Some("1")));
    for name in ["connection", "x-inner", "keep-alive", "proxy-authenticate"] {
        assert_eq!(answer.header(name), None, "{name}");
    }
}

#[tokio::test]
async fn every_status_passes_through() {
    let router = Router::new().route(
        "/api/{status}",
        any(|axum::extract::Path(status): axum::extract::Path<u16>| async move {
            (StatusCode::from_u16(status).unwrap(), [("x-own", "1")]).into_response()
        }),
    );
    let upstream = upstream(router).await;
    let gateway = serve(to(&upstream).build().unwrap()).await;
    for status in [200, 201, 204, 301, 304, 400, 404, 409, 418, 422, 500, 501] {
        let answer = get(&gateway, &format!("/api/{status}")).await;
        assert_eq!((answer.status, answer.header("x-own")), (status, Some("1")));
    }
}

#[tokio::test]
async fn bodies_arrive_whole_with_a_length_and_in_chunks() {
    let upstream = upstream(echo()).await;
    let gateway = serve(to(&upstream).build().unwrap()).await;
    let answer = send(&gateway, "POST", "/api", &[], "hello").await;
    assert_eq!((answer.json()["body"].as_str(), answer.sent("content-length").as_deref()), (Some("hello"), Some("5")));
    for method in ["POST", "GET", "DELETE"] {
        let mut wire = Wire::open(&gateway).await;
        let head = format!("{method} /api HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
        wire.write(format!("{head}5\r\nhello\r\n6;ext=1\r\n world\r\n0\r\n\r\n")).await;
        let answer = wire.answer().await;
        assert_eq!(answer.json()["body"], "hello world", "{method}");
        assert_eq!(answer.sent("transfer-encoding").as_deref(), Some("chunked"));
    }
}

#[tokio::test]
async fn trailers_name_nothing_that_was_checked() {
    let upstream = upstream(echo()).await;
    let gateway = serve(to(&upstream).build().unwrap()).await;
    let mut wire = Wire::open(&gateway).await;
    wire.write(
        "POST /api HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nTrailer: authorization\r\nTransfer-Encoding: chunked\r\n\r\n\
         2\r\nok\r\n0\r\nAuthorization: Bearer x\r\nContent-Length: 5\r\nX-User-Id: root\r\n\r\n",
    )
    .await;
    let answer = wire.answer().await;
    assert_eq!((answer.status, answer.json()["body"].as_str()), (200, Some("ok")));
    for name in ["authorization", "x-user-id", "trailer", "content-length"] {
        assert_eq!(answer.sent(name), None, "{name}");
    }
    wire.write("GET /api HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!(wire.answer().await.status, 200);
}

#[tokio::test]
async fn a_client_that_expects_a_go_ahead_gets_it_only_when_its_body_is_wanted() {
    let upstream = upstream(echo()).await;
    let gateway = serve(to(&upstream).max_body(10).build().unwrap()).await;
    let head = |path: &str, length: u8| {
        format!("POST {path} HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: {length}\r\n\r\n")
    };
    let mut wire = Wire::open(&gateway).await;
    wire.write(head("/api", 5)).await;
    assert_eq!(wire.answer_to("HEAD").await.status, 100);
    wire.write("hello").await;
    let answer = wire.answer().await;
    assert_eq!((answer.json()["body"].as_str(), answer.sent("expect")), (Some("hello"), None));
    for (path, length, status) in [("/nothing", 5, 404), ("/api", 11, 413)] {
        let mut wire = Wire::open(&gateway).await;
        wire.write(head(path, length)).await;
        assert_eq!(wire.answer().await.status, status);
    }
    let mut breaker = CircuitBreakerConfig::default();
    breaker.consecutive_failures = Some(1);
    let gone = to_service(&Running::spawn(upstream.stop().await, async {})).breaker(breaker);
    let gateway = serve(gone.route(Route::new("/api").to("test").public()).build().unwrap()).await;
    assert_eq!(get(&gateway, "/api").await.code(), "SERVICE_UNAVAILABLE");
    for body in ["Content-Length: 5", "Transfer-Encoding: chunked"] {
        let mut wire = Wire::open(&gateway).await;
        wire.write(format!("POST /api HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n{body}\r\n\r\n")).await;
        assert_eq!(wire.answer().await.code(), "CIRCUIT_OPEN", "nobody invites what nobody takes");
    }
}

#[tokio::test]
async fn the_hosts_name_is_kept_where_a_route_says_so() {
    let upstream = upstream(echo()).await;
    let route = Route::new("/api").to("test").public().preserve_host();
    let gateway = serve(to_service(&upstream).route(route).build().unwrap()).await;
    assert_eq!(get(&gateway, "/api").await.sent("host").as_deref(), Some("gateway.example"));
}

#[tokio::test]
async fn connections_on_both_sides_are_kept() {
    let upstream = upstream(echo()).await;
    let gateway = serve(to(&upstream).build().unwrap()).await;
    let mut wire = Wire::open(&gateway).await;
    for number in 0..20 {
        wire.write(format!("POST /api/{number} HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx")).await;
        assert_eq!(wire.answer().await.json()["target"], format!("/api/{number}"));
    }
}

#[tokio::test]
async fn an_old_client_needs_no_host_and_gets_no_chunks() {
    let upstream = canned(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n").await;
    let gateway = serve(to(&upstream).build().unwrap()).await;
    for keep in ["", "Connection: keep-alive\r\n"] {
        let mut wire = Wire::open(&gateway).await;
        wire.write(format!("GET /api HTTP/1.0\r\n{keep}\r\n")).await;
        let mut all = String::new();
        within(wire.0.read_to_string(&mut all)).await.unwrap();
        assert!(all.starts_with("HTTP/1.0 200") && !all.contains("chunked") && all.ends_with("\r\n\r\nok"), "{all}");
        assert!(!all.contains("keep-alive"), "its end is the connection's: {all}");
    }
    for (rest, is_kept) in [("\r\n", true), ("Content-Length: +1\r\n\r\n", false)] {
        let mut wire = Wire::open(&gateway).await;
        wire.write(format!("GET /nothing HTTP/1.0\r\nConnection: keep-alive\r\n{rest}")).await;
        let answer = wire.answer().await;
        assert_eq!(answer.header("connection"), Some(if is_kept { "keep-alive" } else { "close" }), "{answer:?}");
    }
}

#[tokio::test]
async fn layers_around_the_gateway_leave_a_services_words_alone() {
    let upstream = canned(b"HTTP/1.1 404 Not Found\r\nContent-Type: text/plain\r\nContent-Length: 4\r\n\r\nmine").await;
    let gateway = to(&upstream).build().unwrap();
    let wrapped = super::support::upstream(kit(gateway.into_router(), KitConfig::default())).await;
    let answer = get(&wrapped, "/api").await;
    assert_eq!((answer.status, answer.body.as_slice()), (404, &b"mine"[..]));
    let answer = send(&wrapped, "GET", "/nothing", &[("X-Request-Id", "req_1")], "").await;
    assert_eq!((answer.code().as_str(), answer.header("x-request-id")), ("NOT_FOUND", Some("req_1")));
    let answer = get(&wrapped, "/nothing").await;
    assert_eq!(answer.code(), "NOT_FOUND");
}

#[tokio::test]
async fn a_target_that_begins_with_its_query_has_a_path() {
    let upstream = upstream(echo()).await;
    let gateway = serve(to_service(&upstream).route(Route::new("/").to("test").public()).build().unwrap()).await;
    let mut wire = Wire::open(&gateway).await;
    wire.write("GET http://gateway.example?a=b HTTP/1.1\r\nHost: gateway.example\r\n\r\n").await;
    let answer = wire.answer().await;
    assert_eq!((answer.status, answer.json()["target"].as_str()), (200, Some("/?a=b")));
}

#[tokio::test]
async fn ranges_are_the_upstreams_to_serve_or_not() {
    let asked = upstream(echo()).await;
    let gateway = serve(to(&asked).build().unwrap()).await;
    let ranges = format!("bytes={}", vec!["0-"; 1_000].join(","));
    let answer = send(&gateway, "GET", "/api", &[("Range", &ranges), ("If-Range", "\"v1\"")], "").await;
    assert_eq!((answer.sent("range"), answer.sent("if-range").as_deref()), (Some(ranges), Some("\"v1\"")));

    let part = canned(
        b"HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 2-3/10\r\nETag: \"v1\"\r\nAccept-Ranges: bytes\r\n\
          Content-Length: 2\r\n\r\n23",
    )
    .await;
    let gateway = serve(to(&part).build().unwrap()).await;
    let answer = send(&gateway, "GET", "/api", &[("Range", "bytes=2-3")], "").await;
    assert_eq!((answer.status, answer.body.as_slice()), (206, &b"23"[..]));
    for (name, value) in [("content-range", "bytes 2-3/10"), ("etag", "\"v1\""), ("accept-ranges", "bytes")] {
        assert_eq!(answer.header(name), Some(value));
    }
}

#[tokio::test]
async fn options_go_as_far_as_they_are_asked_to() {
    let upstream = upstream(echo()).await;
    let route = Route::new("/some").methods(["GET", "OPTIONS"]).to("test").public();
    let gateway = serve(to(&upstream).route(route).build().unwrap()).await;
    for (path, allow) in [("/api", "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"), ("/some", "GET, HEAD, OPTIONS")] {
        let answer = send(&gateway, "OPTIONS", path, &[("Max-Forwards", "0")], "").await;
        assert_eq!((answer.status, answer.header("allow")), (204, Some(allow)));
    }
    for (method, told, sent) in [("OPTIONS", "5", "4"), ("OPTIONS", "1", "0"), ("OPTIONS", "x", "x"), ("GET", "0", "0")]
    {
        let answer = send(&gateway, method, "/api", &[("Max-Forwards", told)], "").await;
        assert_eq!((answer.status, answer.sent("max-forwards").as_deref()), (200, Some(sent)), "{method} {told}");
    }
}
