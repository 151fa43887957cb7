use std::time::Duration;

use http::StatusCode;
use sap_comm_core::ErrorCode;
use serde_json::json;

use crate::{
    harness::{Server, code, token, token_for},
    raw::{RawClient, request},
};

#[tokio::test]
async fn a_socket_is_disconnected_when_its_token_ends() {
    let server = Server::start().await;
    let mut client = RawClient::connect(&server, &token_for("usr_1", 2)).await;
    let (_, name, payload) = client.event().await;
    assert_eq!((name.as_str(), code(&payload)), ("error", ErrorCode::TOKEN_EXPIRED));
    assert_eq!(client.packet().await.unwrap(), "41");
    server.report("disconnected").await;
    let stats = server.gateway.stats();
    assert_eq!((stats.expired, stats.sockets), (1, 0));
    assert!(client.handshake(&json!({"token": token("usr_1")})).await.starts_with("40{"), "a new token is welcome");
}

#[tokio::test]
async fn a_drain_closes_connections_and_takes_no_more() {
    let server = Server::start().await;
    let mut client = RawClient::connect(&server, &token("usr_1")).await;
    let mut nobody = RawClient::open(&server, &[]).await.unwrap();
    server.gateway.drain(Duration::from_secs(5)).await.unwrap();
    assert_eq!((client.packet().await, nobody.packet().await), (None, None));
    let refused = RawClient::open(&server, &[]).await.unwrap_err();
    assert_eq!(
        (refused.status, code(&refused.body)),
        (StatusCode::SERVICE_UNAVAILABLE, ErrorCode::SERVICE_UNAVAILABLE)
    );
    assert_eq!(server.gateway.notify("usr_1", &sap_comm_ws::Notification::new("test", "late")).await.sockets, 0);
}

#[tokio::test]
async fn a_drain_ends_polling_of_a_session_without_sockets() {
    let server = Server::start().await;
    let open = request(&server, "GET /socket.io/?EIO=4&transport=polling HTTP/1.1", "", "").await;
    let sid = open.split("\"sid\":\"").nth(1).and_then(|rest| rest.split('"').next()).unwrap();
    let line = format!("GET /socket.io/?EIO=4&transport=polling&sid={sid} HTTP/1.1");
    let polled = request(&server, &line, "", "").await;
    assert!(polled.ends_with("\r\n\r\n2"), "the first ping comes at once: {polled}");
    let (polled, drained) = tokio::join!(request(&server, &line, "", ""), server.gateway.drain(Duration::from_secs(5)));
    drained.unwrap();
    assert!(polled.ends_with("\r\n\r\n1"), "{polled}");
}

#[tokio::test]
async fn a_drain_lets_an_event_under_way_finish() {
    let server = Server::with(|builder| {
        builder.on("slow", |_| async {
            tokio::task::yield_now().await;
            Ok(json!("done"))
        })
    })
    .await;
    let mut client = RawClient::connect(&server, &token("usr_1")).await;
    client.emit(1, &json!(["slow"])).await;
    assert_eq!(client.packet().await.unwrap(), r#"431["done"]"#);
    server.gateway.drain(Duration::from_secs(5)).await.unwrap();
}

#[tokio::test]
async fn a_drain_that_cannot_end_says_what_is_left() {
    let server = Server::with(|builder| builder.on("hang", |_| std::future::pending())).await;
    let mut client = RawClient::connect(&server, &token("usr_1")).await;
    client.emit(1, &json!(["hang"])).await;
    // The second event is answered after the first began.
    client.call(&json!(["read-notification", "ntf_1"])).await;
    let error = server.gateway.drain(Duration::from_millis(200)).await.unwrap_err();
    assert_eq!(error.calls, 1);
    assert_eq!(client.packet().await, None);
}
