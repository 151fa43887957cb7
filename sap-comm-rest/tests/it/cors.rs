use std::{sync::Arc, time::Duration};

use axum::{Router, routing::get};
use http::Method;
use sap_comm_core::{Endpoint, StaticResolver};
use sap_comm_rest::{
    gateway::{Gateway, Route},
    server::{CorsConfig, KitConfig, ServerConfig, auth::authenticate, kit},
};

use crate::support::{Answer, Issuer, Running, ask, serve_with};

const APP: &str = "https://app.example.com";

fn router() -> Router {
    Router::new().route("/", get(async || "secret")).layer(authenticate(Issuer::new().verifier()))
}

async fn serve(cors: CorsConfig) -> Running {
    let mut config = KitConfig::default();
    config.cors = Some(cors);
    serve_with(kit(router(), config), "127.0.0.1:0", ServerConfig::default()).await
}

async fn from(server: &Running, method: &str, origin: &str) -> Answer {
    let asks = if method == "OPTIONS" {
        "access-control-request-method: PUT\r\naccess-control-request-headers: authorization\r\n"
    } else {
        ""
    };
    ask(server.addr, &format!("{method} / HTTP/1.1\r\nhost: a\r\norigin: {origin}\r\n{asks}\r\n")).await
}

#[tokio::test]
async fn a_page_of_a_named_origin_may_call_and_read_refusals() {
    let server = serve(CorsConfig::new([APP, "http://localhost:5173"]).unwrap().credentials().unwrap()).await;
    let preflight = from(&server, "OPTIONS", APP).await;
    assert_eq!(preflight.status, 200, "before anybody is authenticated: {preflight:?}");
    assert_eq!(preflight.header("access-control-allow-origin"), Some(APP));
    assert_eq!(preflight.header("access-control-allow-credentials"), Some("true"));
    assert!(preflight.header("access-control-allow-methods").is_some_and(|methods| methods.contains("PUT")));
    assert!(preflight.header("access-control-allow-headers").is_some_and(|names| names.contains("authorization")));
    let refused = from(&server, "GET", APP).await;
    assert_eq!((refused.status, refused.code().as_str()), (401, "UNAUTHENTICATED"));
    assert_eq!(refused.header("access-control-allow-origin"), Some(APP));
    let exposed = refused.header("access-control-expose-headers").unwrap();
    for name in ["x-request-id", "ratelimit-remaining", "retry-after", "etag", "deprecation", "idempotency-replayed"] {
        assert!(exposed.split(',').any(|own| own.trim() == name), "{name}: {exposed}");
    }
    assert!(refused.header("vary").is_some_and(|vary| vary.contains("origin")), "{refused:?}");
}

#[tokio::test]
async fn what_a_page_may_read_and_for_how_long_is_said() {
    let cors = CorsConfig::new([APP]).unwrap().exposed_headers(["x-total"]).unwrap();
    let server = serve(cors.max_age(Duration::from_secs(5)).unwrap()).await;
    assert_eq!(from(&server, "GET", APP).await.header("access-control-expose-headers"), Some("x-total"));
    assert_eq!(from(&server, "OPTIONS", APP).await.header("access-control-max-age"), Some("5"));
    let any = || CorsConfig::any_origin().unwrap();
    assert_eq!(any().exposed_headers(["a b"]).unwrap_err().field(), "exposed_headers");
    assert_eq!(any().max_age(Duration::MAX).unwrap_err().field(), "max_age");
}

#[tokio::test]
async fn options_that_ask_nothing_of_a_browser_are_routed() {
    let router = Router::new().route("/", get(async || "ok").options(async |method: Method| format!("own {method}")));
    let router = router.route("/read", get(async || "ok"));
    let mut config = KitConfig::default();
    config.cors = Some(CorsConfig::new([APP]).unwrap());
    let server = serve_with(kit(router, config), "127.0.0.1:0", ServerConfig::default()).await;
    let asks = "access-control-request-method: PUT\r\n";
    for (path, headers, status, origin) in [
        ("/", "", 200, None),
        ("/", asks, 200, None),
        ("/", &format!("origin: {APP}\r\n"), 200, Some(APP)),
        ("/read", &format!("origin: {APP}\r\n"), 405, Some(APP)),
        ("/nothing", &format!("origin: {APP}\r\n"), 404, Some(APP)),
        ("/nothing", "origin: https://evil.example\r\n", 404, None),
    ] {
        let answer = ask(server.addr, &format!("OPTIONS {path} HTTP/1.1\r\nhost: a\r\n{headers}\r\n")).await;
        assert_eq!((answer.status, answer.header("access-control-allow-origin")), (status, origin), "{path} {headers}");
        assert_eq!(answer.header("access-control-allow-methods"), None);
        assert!(answer.header("access-control-expose-headers").is_some_and(|names| names.contains("x-request-id")));
        if status == 200 {
            assert_eq!(answer.body, "own OPTIONS");
        }
    }
    let preflight = ask(server.addr, &format!("OPTIONS / HTTP/1.1\r\nhost: a\r\norigin: {APP}\r\n{asks}\r\n")).await;
    assert_eq!((preflight.status, preflight.body.as_str()), (200, ""));
    assert!(preflight.header("x-request-id").is_some() && preflight.header("access-control-allow-methods").is_some());
}

#[tokio::test]
async fn no_other_origin_is_told_that_it_may() {
    let server = serve(CorsConfig::new([APP]).unwrap().credentials().unwrap()).await;
    for origin in [
        "null",
        "https://evil.example",
        "https://app.example.com.evil.example",
        "https://evil-app.example.com",
        "http://app.example.com",
        "https://app.example.com:8443",
        "HTTPS://APP.EXAMPLE.COM",
        "*",
        "https://app.example.com, https://evil.example",
    ] {
        for method in ["OPTIONS", "GET"] {
            let answer = from(&server, method, origin).await;
            assert_eq!(answer.header("access-control-allow-origin"), None, "{method} {origin}");
        }
    }
}

#[tokio::test]
async fn any_origin_comes_without_credentials_and_none_without_a_configuration() {
    let server = serve(CorsConfig::any_origin().unwrap()).await;
    for origin in [APP, "null"] {
        let answer = from(&server, "OPTIONS", origin).await;
        assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
        assert_eq!(answer.header("access-control-allow-credentials"), None);
    }
    let server = crate::support::serve(router()).await;
    assert_eq!(from(&server, "OPTIONS", APP).await.header("access-control-allow-origin"), None);
}

#[tokio::test]
async fn a_gateway_answers_browsers_by_the_same_layer() {
    let resolver = StaticResolver::new();
    resolver.set("user-service", [Endpoint::parse("http://127.0.0.1:9").unwrap()]);
    let gateway = Gateway::builder()
        .resolver(Arc::new(resolver))
        .authenticator(Issuer::new().verifier())
        .route(Route::new("/").to("user-service").authenticated())
        .build()
        .unwrap();
    let router = gateway.into_router().layer(CorsConfig::new([APP]).unwrap().layer());
    let server = serve_with(router, "127.0.0.1:0", ServerConfig::default()).await;
    let preflight = from(&server, "OPTIONS", APP).await;
    assert_eq!((preflight.status, preflight.header("access-control-allow-origin")), (200, Some(APP)));
    let refused = from(&server, "GET", APP).await;
    assert_eq!((refused.status, refused.header("access-control-allow-origin")), (401, Some(APP)));
    assert_eq!(from(&server, "GET", "null").await.header("access-control-allow-origin"), None);
}
