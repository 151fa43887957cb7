use sap_comm_core::Context;
use sap_comm_ws::Notification;
use serde_json::json;

use crate::{
    harness::{Server, code, token},
    raw::RawClient,
};

#[tokio::test]
async fn every_device_of_a_user_gets_a_notification_and_counts_on_its_own() {
    let server = Server::with(|builder| {
        builder.options(sap_comm_ws::RealtimeOptions {
            ack_timeout: std::time::Duration::from_millis(300),
            ..Default::default()
        })
    })
    .await;
    let mut phone = RawClient::connect(&server, &token("usr_1")).await;
    let mut laptop = RawClient::connect(&server, &token("usr_1")).await;
    let notification = Notification::new("test", "hello");
    let (delivery, ()) = tokio::join!(server.gateway.notify("usr_1", &notification), async {
        let (id, name, payload) = phone.event().await;
        assert_eq!((name.as_str(), &payload["id"]), ("notification", &json!(notification.id)));
        phone.acknowledge(id.unwrap()).await;
        assert_eq!(laptop.event().await.2["id"], notification.id);
    });
    assert_eq!((delivery.sockets, delivery.acknowledged), (2, 1));
    let stats = server.gateway.stats();
    assert_eq!((stats.sockets, stats.pushed, stats.acknowledged), (2, 2, 1));
}

#[tokio::test]
async fn a_user_sees_only_their_own_notifications() {
    let server = Server::start().await;
    let mut other = RawClient::connect(&server, &token("usr_2")).await;
    let mut one = RawClient::connect(&server, &token("usr_1")).await;
    let notification = Notification::new("test", "for one only");
    let (delivery, ()) = tokio::join!(server.gateway.notify("usr_1", &notification), async {
        let (id, ..) = one.event().await;
        one.acknowledge(id.unwrap()).await;
    });
    assert_eq!((delivery.sockets, delivery.acknowledged), (1, 1));
    // Whatever had been pushed to this socket would come before the answer.
    let answer = other.call(&json!(["read-notification", "ntf_1"])).await;
    assert_eq!(answer, json!({}));
    assert_eq!(server.report("read").await.user, "usr_2");
}

#[tokio::test]
async fn clients_cannot_join_rooms() {
    let server = Server::start().await;
    let mut client = RawClient::connect(&server, &token("usr_2")).await;
    for event in ["join", "subscribe", "room"] {
        assert_eq!(code(&client.call(&json!([event, "user:usr_1"])).await).as_str(), "EVENT_NOT_FOUND");
    }
    assert_eq!(server.gateway.notify("usr_1", &Notification::new("test", "hello")).await.sockets, 0);
}

#[tokio::test]
async fn a_push_carries_the_trace_of_its_cause_to_the_device_and_back() {
    let server = Server::start().await;
    let mut client = RawClient::connect(&server, &token("usr_1")).await;
    let cause = Context::root();
    let notification = Notification::new("test", "hello");
    let push = cause.clone().scope(server.gateway.notify("usr_1", &notification));
    let (_, payload) = tokio::join!(push, async {
        let (id, _, payload) = client.event().await;
        client.acknowledge(id.unwrap()).await;
        payload
    });
    assert_eq!(payload["traceId"], cause.trace().trace_id());
    assert_eq!(payload["correlationId"], cause.correlation_id());
    assert_eq!(server.report("acknowledged").await.trace, cause.trace().trace_id());
    client.call(&json!(["read-notification", notification.id])).await;
    assert_eq!(server.report("read").await.trace, cause.trace().trace_id());
}
