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

/// The status, the head and the body of an answer.
fn parts(answer: &str) -> (u16, &str, serde_json::Value) {
    let (head, body) = answer.split_once("\r\n\r\n").expect(answer);
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, head, serde_json::from_str(body).expect(answer))
}

#[tokio::test]
async fn only_a_handshake_of_websocket_13_is_upgraded() {
    let server = Server::start().await;
    let (connection, upgrade) = ("connection: Upgrade\r\n", "upgrade: websocket\r\n");
    let (key, version) = ("sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n", "sec-websocket-version: 13\r\n");
    let whole = [connection, upgrade, key, version].concat();
    let line = "GET /socket.io/?EIO=4&transport=websocket HTTP/1.1";
    for (line, headers, expected, code) in [
        (line, [upgrade, key, version].concat(), 400, "BAD_REQUEST"),
        (line, [connection, key, version].concat(), 400, "BAD_REQUEST"),
        (line, [connection, upgrade, version].concat(), 400, "BAD_REQUEST"),
        (line, [connection, upgrade, version, "sec-websocket-key: abc\r\n"].concat(), 400, "BAD_REQUEST"),
        (
            line,
            [connection, upgrade, version, "sec-websocket-key: AAAAAAAAAAAAAAAAAAAAAAAA\r\n"].concat(),
            400,
            "BAD_REQUEST",
        ),
        (line, [connection, upgrade, key].concat(), 426, "UPGRADE_REQUIRED"),
        (line, [connection, upgrade, key, "sec-websocket-version: 8\r\n"].concat(), 426, "UPGRADE_REQUIRED"),
        ("GET /socket.io/?EIO=4&transport=websocket HTTP/1.0", whole.clone(), 400, "BAD_REQUEST"),
        ("GET /socket.io/?EIO=4=&transport=websocket= HTTP/1.1", [upgrade, key, version].concat(), 400, "BAD_REQUEST"),
    ] {
        let answer = request(&server, line, &headers, "").await;
        let (status, head, body) = parts(&answer);
        assert_eq!((status, &body["error"]["code"]), (expected, &json!(code)), "{line} {headers}");
        assert!(body["error"]["requestId"].is_string(), "{body}");
        assert_eq!(head.contains("sec-websocket-version: 13"), expected == 426, "{head}");
    }
    assert_eq!(server.gateway.stats().refused, 9);
}

#[tokio::test]
async fn only_a_session_that_polls_is_upgraded() {
    let server = Server::start().await;
    let headers = "connection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n\
                   sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    for sid in ["AAAAAAAAAAAAAAAA", "rubbish", ""] {
        let line = format!("GET /socket.io/?EIO=4&transport=websocket&sid={sid} HTTP/1.1");
        let answer = request(&server, &line, headers, "").await;
        let (status, _, body) = parts(&answer);
        assert_eq!((status, body), (400, json!({"code": 1, "message": "Session ID unknown"})), "{sid:?}");
    }
}

#[tokio::test]
async fn what_engine_io_refuses_without_a_word_gets_an_envelope() {
    let server = Server::start().await;
    let open = request(&server, "GET /socket.io/?EIO=4&transport=polling HTTP/1.1", "", "").await;
    let sid = open.split("\"sid\":\"").nth(1).unwrap().split('"').next().unwrap();
    let post = format!("POST /socket.io/?EIO=4&transport=polling&sid={sid} HTTP/1.1");
    let answer = request(&server, &post, "x-request-id: req_mine\r\n", "rubbish").await;
    let (status, _, body) = parts(&answer);
    assert_eq!((status, code(&body)), (400, ErrorCode::BAD_REQUEST));
    assert_eq!(body["error"]["requestId"], "req_mine");

    let answer = request(&server, "GET /socket.io/?EIO=3&transport=polling HTTP/1.1", "", "").await;
    let (status, _, body) = parts(&answer);
    assert_eq!((status, body), (400, json!({"code": 5, "message": "Unsupported protocol version"})));
}
