//! Unmodified `socket.io-client`.

use sap_comm_testkit::{NodeScript, RunningScript};
use sap_comm_ws::Notification;

use crate::harness::{Server, code, token, token_for};

fn client(server: &Server, token: &str, transports: &str) -> RunningScript {
    NodeScript::new("socketio_client.mjs")
        .arg(server.url())
        .arg(token)
        .env("SOCKET_TRANSPORTS", transports)
        .spawn()
        .unwrap()
}

async fn story(transports: &str) {
    let server = Server::start().await;
    let mut client = client(&server, &token("usr_1"), transports);
    assert_eq!(client.next_json().await.unwrap()["event"], "connect");
    assert_eq!(server.report("connected").await.user, "usr_1");

    let notification = Notification::new("content-published", "New content is available").field("contentId", "cnt_1");
    let delivery = server.gateway.notify("usr_1", &notification).await;
    assert_eq!((delivery.sockets, delivery.acknowledged, delivery.overflowed), (1, 1, 0));
    let seen = client.next_event("notification").await.unwrap();
    assert_eq!(seen["notification"]["id"], notification.id);
    assert_eq!(seen["notification"]["type"], "content-published");
    assert_eq!(seen["notification"]["message"], "New content is available");
    assert_eq!(seen["notification"]["timestamp"], notification.timestamp.to_string());
    assert_eq!(seen["notification"]["contentId"], "cnt_1");
    let acknowledged = server.report("acknowledged").await;
    assert_eq!((acknowledged.user.as_str(), &acknowledged.id), ("usr_1", &notification.id));

    client.send(format!("read {}", notification.id)).await.unwrap();
    let answer = client.next_event("read-ack").await.unwrap();
    assert_eq!(answer["reply"], serde_json::json!({}));
    let read = server.report("read").await;
    assert_eq!((read.user.as_str(), &read.id), ("usr_1", &notification.id));
    assert_eq!(read.principal.as_deref(), Some("usr_1"));
    assert_eq!(seen["notification"]["traceId"], acknowledged.trace);
    assert_eq!(acknowledged.trace, read.trace);

    client.send("read unknown").await.unwrap();
    let refused = client.next_event("read-ack").await.unwrap();
    assert_eq!(code(&refused["reply"]).as_str(), "NOTIFICATION_NOT_FOUND");

    client.send("disconnect").await.unwrap();
    assert_eq!(client.next_event("disconnect").await.unwrap()["reason"], "io client disconnect");
    assert_eq!(server.report("disconnected").await.user, "usr_1");
    client.finish().await.unwrap();
}

#[tokio::test]
async fn a_notification_is_acknowledged_and_read_over_websocket() {
    story("websocket").await;
}

#[tokio::test]
async fn a_notification_is_acknowledged_and_read_over_polling() {
    story("polling").await;
}

#[tokio::test]
async fn polling_upgrades_to_websocket() {
    story("polling,websocket").await;
}

#[tokio::test]
async fn a_refused_token_is_a_connect_error_with_the_envelope() {
    let server = Server::start().await;
    for (transports, token, expected) in [
        ("websocket", String::new(), "UNAUTHENTICATED"),
        ("polling", token_for("usr_1", -60), "TOKEN_EXPIRED"),
        ("websocket", "rubbish".into(), "INVALID_TOKEN"),
    ] {
        let mut client = client(&server, &token, transports);
        let refused = client.next_json().await.unwrap();
        assert_eq!(refused["event"], "connect_error", "{refused}");
        assert_eq!(refused["message"], expected);
        assert_eq!(code(&refused["data"]).as_str(), expected);
        client.finish().await.unwrap();
    }
    let stats = server.gateway.stats();
    assert_eq!((stats.refused, stats.connected), (3, 0));
}

#[tokio::test]
async fn a_killed_client_is_noticed() {
    let server = Server::start().await;
    let mut client = client(&server, &token("usr_1"), "websocket");
    client.next_event("connect").await.unwrap();
    client.kill().await.unwrap();
    assert_eq!(server.report("disconnected").await.user, "usr_1");
    let delivery = server.gateway.notify("usr_1", &Notification::new("test", "nobody is there")).await;
    assert_eq!(delivery.sockets, 0);
}
