use std::net::SocketAddr;

use axum::{
    Json, Router,
    extract::{ConnectInfo, Request},
    routing::any,
};
use sap_comm_core::Context;
use sap_comm_rest::{
    gateway::{Gateway, Quota, Route},
    server::{KitConfig, kit},
};
use serde_json::json;
use tokio::io::AsyncReadExt;

use super::support::{Wire, bearer, canned, get, resolver, send, serve, to, verifier, within};

fn local() -> Router {
    Router::new()
        .route("/graphql", any(describe))
        .route("/docs/{page}", any(describe))
        .route("/panic", any(async || -> &'static str { panic!("oh no") }))
        .route(
            "/socket",
            any(async |mut request: Request| {
                let upgrade = hyper::upgrade::on(&mut request);
                tokio::spawn(async move {
                    let mut stream = hyper_util::rt::TokioIo::new(upgrade.await.unwrap());
                    tokio::io::AsyncWriteExt::write_all(&mut stream, b"hello").await.unwrap();
                });
                (http::StatusCode::SWITCHING_PROTOCOLS, [("connection", "upgrade"), ("upgrade", "websocket")])
            }),
        )
}

async fn describe(request: Request) -> Json<serde_json::Value> {
    let context = Context::current();
    Json(json!({
        "path": request.uri().path(),
        "peer": request.extensions().get::<ConnectInfo<SocketAddr>>().map(|ConnectInfo(peer)| peer.ip()),
        "requestId": context.request_id(),
        "principal": context.principal().map(|principal| principal.id.clone()),
        "userId": request.headers().get("x-user-id").map(|value| value.to_str().unwrap()),
    }))
}

fn gateway() -> Gateway {
    Gateway::builder()
        .authenticator(verifier())
        .route(Route::new("/graphql").local().authenticated().roles(["admin"]))
        .fallback(local())
        .build()
        .unwrap()
}

#[tokio::test]
async fn what_no_route_takes_is_served_in_this_process() {
    let gateway = serve(gateway()).await;
    let headers = [("X-Request-Id", "req_mine"), ("X-User-Id", "root")];
    let answer = send(&gateway, "GET", "/docs/%61", &headers, "").await;
    assert_eq!(answer.status, 200);
    assert_eq!(
        answer.json(),
        json!({
            "path": "/docs/a", "peer": "127.0.0.1", "requestId": "req_mine", "principal": null, "userId": null,
        })
    );
    assert_eq!(answer.header("x-request-id"), Some("req_mine"));
    assert_eq!(get(&gateway, "/docs/%2e%2e/graphql").await.status, 400);
}

#[tokio::test]
async fn a_local_route_is_guarded_like_any_other() {
    let gateway = serve(gateway()).await;
    assert_eq!(get(&gateway, "/graphql").await.status, 401);
    assert_eq!(send(&gateway, "GET", "/graphql", &[("Authorization", &bearer(&[]))], "").await.status, 403);
    let answer = send(&gateway, "GET", "/graphql", &[("Authorization", &bearer(&["admin"]))], "").await;
    assert_eq!(answer.json()["principal"], "usr_1");
}

#[tokio::test]
async fn a_panic_in_this_process_is_an_internal_error() {
    let gateway = serve(gateway()).await;
    let answer = get(&gateway, "/panic").await;
    assert_eq!((answer.status, answer.code().as_str()), (500, "INTERNAL_ERROR"));
    assert!(!String::from_utf8_lossy(&answer.body).contains("oh no"));
}

#[tokio::test]
async fn a_local_websocket_keeps_its_upgrade() {
    let gateway = serve(gateway()).await;
    let mut wire = Wire::open(&gateway).await;
    wire.write("GET /socket HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n").await;
    assert_eq!(wire.answer().await.status, 101);
    let mut hello = [0; 5];
    within(wire.0.read_exact(&mut hello)).await.unwrap();
    assert_eq!(&hello, b"hello");
}

#[tokio::test]
async fn unrouted_requests_are_limited_too() {
    let gateway = Gateway::builder()
        .rate_limit(Quota::per_hour(1))
        .route(Route::new("/health").local().public().unlimited())
        .fallback(local())
        .build();
    let gateway = serve(gateway.unwrap()).await;
    assert_eq!((get(&gateway, "/docs/a").await.status, get(&gateway, "/docs/a").await.status), (200, 429));
    assert_eq!(get(&gateway, "/health").await.status, 404);
}

#[tokio::test]
async fn refusals_of_what_no_route_takes_are_limited_too() {
    for (method, path, status) in [("GET", "/nothing", 404), ("POST", "/own", 405), ("GET", "/own/%2e%2e/a", 400)] {
        let gateway = Gateway::builder()
            .resolver(resolver(&[]))
            .rate_limit(Quota::per_hour(1))
            .route(Route::new("/own").methods(["GET"]).to("nowhere").public());
        let gateway = serve(gateway.build().unwrap()).await;
        for status in [status, 429] {
            assert_eq!(send(&gateway, method, path, &[], "").await.status, status, "{method} {path}");
        }
    }
}

#[tokio::test]
async fn a_kit_around_a_gateway_decides_conditions_of_its_own_router_alone() {
    let service = canned(b"HTTP/1.1 200 OK\r\nETag: \"v1\"\r\nContent-Length: 2\r\n\r\nok").await;
    let own = Router::new().route("/own", any(async || ([("etag", "\"v1\"")], "ok")));
    let router = to(&service).fallback(own).build().unwrap().into_router();
    let gateway = super::support::upstream(kit(router, KitConfig::default())).await;
    for (condition, tag, decided) in [("if-none-match", "\"v1\"", 304), ("if-match", "\"v2\"", 412)] {
        for (path, status) in [("/own", decided), ("/api", 200)] {
            let answer = send(&gateway, "GET", path, &[(condition, tag)], "").await;
            assert_eq!(answer.status, status, "{path} {condition}");
        }
    }
}

#[tokio::test]
async fn a_gateway_is_a_router_too() {
    let router = Router::new().route("/own", any(describe)).merge(gateway().into_router());
    let gateway = super::support::upstream(router).await;
    assert_eq!(get(&gateway, "/own").await.status, 200);
    assert_eq!(get(&gateway, "/graphql").await.status, 401);
    assert_eq!(get(&gateway, "/docs/b").await.json()["path"], "/docs/b");
}
