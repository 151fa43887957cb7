use http::StatusCode;
use sap_comm_core::{Context, ErrorCode};
use serde_json::json;

use crate::{
    harness::{Server, code, token},
    raw::{RawClient, request},
};

#[tokio::test]
async fn a_page_of_a_foreign_origin_is_refused_on_upgrade_and_on_polling() {
    let server = Server::with(|builder| builder.origin("https://admin.example.com")).await;
    let refused = RawClient::open(&server, &[("origin", "https://evil.example")]).await.unwrap_err();
    assert_eq!(refused.status, StatusCode::FORBIDDEN);
    assert_eq!(code(&refused.body), ErrorCode::FORBIDDEN);
    assert_eq!(refused.body["error"]["details"]["origin"], "https://evil.example");
    assert!(RawClient::open(&server, &[("origin", "https://admin.example.com")]).await.is_ok());
    let line = "GET /socket.io/?EIO=4&transport=polling HTTP/1.1";
    let polling = request(&server, line, "origin: https://evil.example\r\n", "").await;
    assert!(polling.starts_with("HTTP/1.1 403") && !polling.contains("access-control-allow-origin"), "{polling}");
    let polling = request(&server, line, "origin: https://admin.example.com\r\n", "").await;
    assert!(polling.contains("access-control-allow-origin: https://admin.example.com"), "{polling}");
    assert_eq!(server.gateway.stats().refused, 2);
}

#[tokio::test]
async fn the_token_may_come_in_the_authorization_header() {
    let server = Server::start().await;
    let header = format!("Bearer {}", token("usr_1"));
    let mut client = RawClient::open(&server, &[("authorization", &header)]).await.unwrap();
    assert!(client.handshake(&json!({})).await.starts_with("40{"));
    assert_eq!(server.report("connected").await.user, "usr_1");
}

#[tokio::test]
async fn auth_that_is_not_an_object_is_refused() {
    let server = Server::start().await;
    let mut client = RawClient::open(&server, &[]).await.unwrap();
    assert_eq!(client.refusal(&json!([1, 2])).await, "BAD_REQUEST");
}

#[tokio::test]
async fn a_connection_may_try_again_with_a_better_token_but_not_for_ever() {
    let server = Server::start().await;
    let mut client = RawClient::open(&server, &[]).await.unwrap();
    assert_eq!(client.refusal(&json!({"token": "rubbish"})).await, "INVALID_TOKEN");
    assert!(client.handshake(&json!({"token": token("usr_1")})).await.starts_with("40{"));

    let mut client = RawClient::open(&server, &[]).await.unwrap();
    for _ in 0..5 {
        assert_eq!(client.refusal(&json!({"token": "rubbish"})).await, "INVALID_TOKEN");
    }
    assert_eq!(client.refusal(&json!({"token": token("usr_1")})).await, "RATE_LIMITED");
}

#[tokio::test]
async fn the_connection_continues_the_trace_of_the_handshake() {
    let server = Server::start().await;
    let context = Context::root();
    let mut client = RawClient::open(&server, &[]).await.unwrap();
    let auth = json!({"token": token("usr_1"), "traceparent": context.trace().traceparent()});
    client.handshake(&auth).await;
    assert_eq!(server.report("connected").await.trace, context.trace().trace_id());
}

#[tokio::test]
async fn a_refusal_carries_the_envelope_with_the_client_s_request_id() {
    let server = Server::start().await;
    let mut client = RawClient::open(&server, &[]).await.unwrap();
    let answer = client.handshake(&json!({"token": "rubbish", "requestId": "req_mine"})).await;
    let error: serde_json::Value = serde_json::from_str(answer.strip_prefix("44").unwrap()).unwrap();
    assert_eq!(error["message"], "INVALID_TOKEN");
    assert_eq!(code(&error["data"]), ErrorCode::INVALID_TOKEN);
    assert_eq!(error["data"]["error"]["requestId"], "req_mine");
}
