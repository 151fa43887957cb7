//! Pages of other origins.

use sap_comm_rest::{
    gateway::{Quota, Route},
    server::CorsConfig,
};

use super::support::{canned, echo, send, serve, to, upstream};

const PAGE: &str = "https://app.example.com";

#[tokio::test]
async fn a_browser_is_told_which_pages_may_call_before_anybody_is_authenticated() {
    let upstream = upstream(echo()).await;
    let gateway = serve(to(&upstream).cors(CorsConfig::new([PAGE]).unwrap()).build().unwrap()).await;
    let ask = async |origin: &str| {
        let headers = [
            ("Origin", origin),
            ("Access-Control-Request-Method", "PUT"),
            ("Access-Control-Request-Headers", "authorization"),
        ];
        send(&gateway, "OPTIONS", "/api/x", &headers, "").await
    };
    let answer = ask(PAGE).await;
    assert_eq!((answer.status, answer.header("access-control-allow-origin")), (200, Some(PAGE)));
    assert!(answer.header("x-request-id").is_some_and(|id| id.starts_with("req_")), "{answer:?}");
    assert!(answer.header("access-control-allow-methods").is_some_and(|methods| methods.contains("PUT")));
    assert!(answer.header("access-control-allow-headers").is_some_and(|names| names.contains("authorization")));
    for origin in ["https://evil.example.com", "null", "https://app.example.com.evil.example"] {
        let answer = ask(origin).await;
        assert_eq!(answer.header("access-control-allow-origin"), None, "{origin}");
    }
}

#[tokio::test]
async fn who_may_read_an_answer_is_said_by_the_gateway_alone() {
    let upstream = canned(
        b"HTTP/1.1 200 OK\r\nAccess-Control-Allow-Origin: *\r\nAccess-Control-Allow-Credentials: true\r\nVary: accept\r\n\
          Content-Length: 2\r\n\r\nok",
    )
    .await;
    let gateway = serve(to(&upstream).cors(CorsConfig::new([PAGE]).unwrap()).build().unwrap()).await;
    for (origin, allowed) in [(PAGE, Some(PAGE)), ("https://evil.example.com", None)] {
        let answer = send(&gateway, "GET", "/api", &[("Origin", origin)], "").await;
        assert_eq!((answer.status, answer.body.as_slice()), (200, &b"ok"[..]));
        assert_eq!(answer.header("access-control-allow-origin"), allowed);
        assert_eq!(answer.header("access-control-allow-credentials"), None);
        let vary: Vec<_> =
            answer.headers.iter().filter(|(name, _)| name == "vary").map(|(_, value)| value.as_str()).collect();
        assert!(vary.contains(&"accept") && vary.iter().any(|names| names.contains("origin")), "{vary:?}");
    }
    // A refusal too: a page is to read why.
    let answer = send(&gateway, "GET", "/other", &[("Origin", PAGE)], "").await;
    assert_eq!((answer.status, answer.header("access-control-allow-origin")), (404, Some(PAGE)));
    assert!(answer.header("access-control-expose-headers").is_some_and(|names| names.contains("x-request-id")));
}

#[tokio::test]
async fn options_that_ask_nothing_of_a_browser_are_routed() {
    let upstream = upstream(echo()).await;
    let gateway = to(&upstream).route(Route::new("/read").methods(["GET"]).to("test").public());
    let gateway = serve(gateway.cors(CorsConfig::new([PAGE]).unwrap()).build().unwrap()).await;
    let (page, asks) = (("Origin", PAGE), ("Access-Control-Request-Method", "PUT"));
    for (path, headers, status, origin) in [
        ("/api", &[][..], 200, None),
        ("/api", &[asks], 200, None),
        ("/api", &[page], 200, Some(PAGE)),
        ("/read", &[page], 405, Some(PAGE)),
        ("/nothing", &[page], 404, Some(PAGE)),
    ] {
        let answer = send(&gateway, "OPTIONS", path, headers, "").await;
        assert_eq!(
            (answer.status, answer.header("access-control-allow-origin")),
            (status, origin),
            "{path} {headers:?}"
        );
        assert!(answer.header("access-control-expose-headers").is_some() && answer.header("x-request-id").is_some());
        assert_eq!(answer.header("access-control-allow-methods"), None);
        if status == 200 {
            assert!(String::from_utf8_lossy(&answer.body).contains("\"method\":\"OPTIONS\""), "{answer:?}");
        }
    }
}

#[tokio::test]
async fn a_question_uses_no_quota_up() {
    let upstream = upstream(echo()).await;
    let gateway = to(&upstream).cors(CorsConfig::new([PAGE]).unwrap()).rate_limit(Quota::per_hour(1));
    let gateway = serve(gateway.build().unwrap()).await;
    let asks = [("Origin", PAGE), ("Access-Control-Request-Method", "PUT")];
    for _ in 0..3 {
        assert_eq!(send(&gateway, "OPTIONS", "/api", &asks, "").await.status, 200);
    }
    assert_eq!(send(&gateway, "PUT", "/api", &asks[..1], "").await.status, 200);
}
