use http::StatusCode;
use sap_comm_core::ErrorCode;
use sap_comm_ws::{Notification, RealtimeGateway, RealtimeOptions};
use serde_json::json;
use std::time::Duration;

use crate::{
    harness::{Server, code, token},
    raw::{RawClient, request},
};

#[tokio::test]
async fn an_oversize_message_closes_the_websocket() {
    let server = Server::start().await;
    let mut client = RawClient::connect(&server, &token("usr_1")).await;
    client.send(format!("42[\"read-notification\",\"{}\"]", "x".repeat(1_100_000))).await;
    assert_eq!(client.packet().await, None);
    assert_eq!(server.report("disconnected").await.user, "usr_1");
}

#[tokio::test]
async fn an_oversize_polling_body_is_refused() {
    let server = Server::start().await;
    let open = request(&server, "GET /socket.io/?EIO=4&transport=polling HTTP/1.1", "", "").await;
    let sid = open.split("\"sid\":\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
    let line = format!("POST /socket.io/?EIO=4&transport=polling&sid={sid} HTTP/1.1");
    let answer = request(&server, &line, "", &"x".repeat(1_100_000)).await;
    assert!(answer.starts_with("HTTP/1.1 413"), "{}", answer.lines().next().unwrap_or_default());
    assert!(answer.contains(r#"{"error":{"code":"PAYLOAD_TOO_LARGE""#), "{answer}");
}

#[tokio::test]
async fn connections_beyond_the_bound_are_refused_until_one_ends() {
    let server =
        Server::with(|builder| builder.options(RealtimeOptions { max_connections: 1, ..Default::default() })).await;
    let first = RawClient::connect(&server, &token("usr_1")).await;
    let refused = RawClient::open(&server, &[]).await.unwrap_err();
    assert_eq!((refused.status, code(&refused.body)), (StatusCode::SERVICE_UNAVAILABLE, ErrorCode::OVERLOADED));
    assert_eq!(refused.headers["retry-after"], "5");
    drop(first);
    server.report("disconnected").await;
    while RawClient::open(&server, &[]).await.is_err() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_connection_without_a_token_is_closed() {
    let server = Server::with(|builder| {
        builder.options(RealtimeOptions { connect_timeout: Duration::from_millis(50), ..Default::default() })
    })
    .await;
    let mut client = RawClient::open(&server, &[]).await.unwrap();
    assert_eq!(client.packet().await, None);
}

#[tokio::test]
async fn what_waits_for_a_device_that_does_not_read_is_bounded() {
    let server = Server::with(|builder| {
        builder.options(RealtimeOptions {
            max_buffered: 4,
            ack_timeout: Duration::from_millis(100),
            ..Default::default()
        })
    })
    .await;
    let _reads_nothing = RawClient::connect(&server, &token("usr_1")).await;
    let large = Notification::new("test", "x".repeat(500_000));
    let mut overflowed = 0;
    for _ in 0..64 {
        overflowed += server.gateway.notify("usr_1", &large).await.overflowed;
        if overflowed > 0 {
            break;
        }
    }
    assert!(overflowed > 0);
    assert_eq!(server.gateway.stats().overflowed, overflowed as u64);
}

#[tokio::test]
async fn bytes_that_a_device_has_yet_to_acknowledge_are_bounded() {
    let server =
        Server::with(|builder| builder.options(RealtimeOptions { max_unacknowledged: 1_000, ..Default::default() }))
            .await;
    let mut client = RawClient::connect(&server, &token("usr_1")).await;
    let half = Notification::new("test", "x".repeat(600));
    let (first, second) = tokio::join!(server.gateway.notify("usr_1", &half), async {
        let (id, ..) = client.event().await;
        let second = server.gateway.notify("usr_1", &half).await;
        client.acknowledge(id.unwrap()).await;
        second
    });
    assert_eq!((first.acknowledged, second.acknowledged, second.overflowed), (1, 0, 1));
    let (third, ()) = tokio::join!(server.gateway.notify("usr_1", &half), async {
        let (id, ..) = client.event().await;
        client.acknowledge(id.unwrap()).await;
    });
    assert_eq!((third.acknowledged, third.overflowed), (1, 0));
}

#[tokio::test]
async fn a_device_that_does_not_read_is_given_up_and_its_place_is_free() {
    let server = Server::with(|builder| {
        builder.options(RealtimeOptions {
            max_connections: 1,
            write_timeout: Duration::from_millis(200),
            ack_timeout: Duration::from_millis(50),
            ..Default::default()
        })
    })
    .await;
    let _reads_nothing = RawClient::connect(&server, &token("usr_1")).await;
    let large = Notification::new("test", "x".repeat(900_000));
    for _ in 0..16 {
        server.gateway.notify("usr_1", &large).await;
    }
    assert_eq!(server.report("disconnected").await.user, "usr_1");
    while RawClient::open(&server, &[]).await.is_err() {
        tokio::task::yield_now().await;
    }
}

#[test]
fn a_value_out_of_bounds_is_named() {
    let error = |options| RealtimeGateway::builder().options(options).build().unwrap_err().to_string();
    assert!(error(RealtimeOptions { max_payload: 0, ..Default::default() }).contains("max_payload"));
    assert!(error(RealtimeOptions { ping_interval: Duration::ZERO, ..Default::default() }).contains("ping_interval"));
    assert!(error(RealtimeOptions { path: "socket.io".into(), ..Default::default() }).contains("path"));
    assert!(error(RealtimeOptions::default()).contains("authenticate"));
    let options: Result<RealtimeOptions, _> = serde_json::from_value(json!({"max_paylod": 1}));
    assert!(options.unwrap_err().to_string().contains("max_paylod"));
}
