use std::time::Duration;

use sap_comm_testkit::{NodeScript, RabbitNode, TestkitError};
use serde_json::{Value, json};

#[tokio::test]
async fn events_are_made_as_the_specification_makes_them() {
    let mut script = NodeScript::new("event_from_node.mjs").arg("2").spawn().unwrap();
    let line = script.next_line().await.unwrap();
    let keys = ["id", "type", "source", "timestamp", "correlationId", "data", "metadata"];
    let places: Vec<_> = keys.iter().map(|key| line.find(&format!("\"{key}\":")).unwrap()).collect();
    assert!(places.is_sorted(), "{line}");
    let event = script.next_json().await.unwrap();
    assert_eq!(event["metadata"], json!({ "version": "1.0" }), "a userId of undefined is left out");
    assert_eq!(event["id"].as_str().unwrap().len(), 36);
    assert_eq!(event["timestamp"].as_str().unwrap().len(), "2025-05-19T18:30:00.000Z".len());
    assert!(script.finish().await.unwrap().is_empty());
}

#[tokio::test]
async fn amqplib_consumes_what_amqplib_publishes() {
    let uri = RabbitNode::shared().await.unwrap().new_vhost().await.unwrap();
    let mut consumer = NodeScript::new("amqplib_consume.mjs").arg(&uri).arg("profiles").spawn().unwrap();
    consumer.next_event("ready").await.unwrap();

    let mut counted = NodeScript::new("amqplib_publish.mjs").arg(&uri).arg("user.events").arg("3").spawn().unwrap();
    assert_eq!(counted.next_event("done").await.unwrap()["count"], 3);
    counted.finish().await.unwrap();
    for _ in 0..3 {
        let message = consumer.next_event("message").await.unwrap();
        assert_eq!(message["routingKey"], "user.created");
        assert_eq!(message["exchange"], "user.events");
        assert_eq!(message["properties"]["contentType"], "application/json");
        assert_eq!(message["properties"]["deliveryMode"], 2);
    }

    let mut given = NodeScript::new("amqplib_publish.mjs").arg(&uri).arg("user.events").spawn().unwrap();
    given.next_event("ready").await.unwrap();
    let event = json!({ "id": "evt_1", "type": "content.published", "data": { "title": "Ünïcode" } });
    given.send_json(&event).await.unwrap();
    assert_eq!(given.next_event("published").await.unwrap()["id"], "evt_1");
    given.finish().await.unwrap();
    let message = consumer.next_event("message").await.unwrap();
    assert_eq!(message["routingKey"], "content.published");
    let content: Value = serde_json::from_str(message["content"].as_str().unwrap()).unwrap();
    assert_eq!(content, event);
    consumer.finish().await.unwrap();
}

#[tokio::test]
async fn an_unroutable_event_is_reported_by_the_publisher() {
    let uri = RabbitNode::shared().await.unwrap().new_vhost().await.unwrap();
    let mut publisher = NodeScript::new("amqplib_publish.mjs").arg(&uri).arg("nobody").arg("1").spawn().unwrap();
    publisher.next_event("returned").await.unwrap();
    publisher.finish().await.unwrap();
}

#[tokio::test]
async fn a_socket_gets_a_notification_acknowledges_it_and_marks_it_read() {
    let mut server = NodeScript::new("socketio_server.mjs").spawn().unwrap();
    let url = format!("http://127.0.0.1:{}", server.next_event("listening").await.unwrap()["port"]);
    let mut client = NodeScript::new("socketio_client.mjs").arg(&url).arg("usr_1").spawn().unwrap();
    client.next_event("connect").await.unwrap();
    assert_eq!(server.next_event("connected").await.unwrap()["user"], "usr_1");

    let notification = json!({ "id": "ntf_1", "type": "content-published", "message": "New content is available" });
    server.send_json(&json!({ "user": "usr_1", "notification": notification })).await.unwrap();
    let received = client.next_event("notification").await.unwrap();
    assert_eq!(received["notification"], notification);
    assert_eq!(server.next_event("acked").await.unwrap()["reply"], json!([{ "received": "ntf_1" }]));

    client.send("read ntf_1").await.unwrap();
    assert_eq!(client.next_event("read-ack").await.unwrap()["reply"], json!({ "ok": true, "id": "ntf_1" }));
    client.finish().await.unwrap();
    server.next_event("disconnected").await.unwrap();
    server.finish().await.unwrap();
}

#[tokio::test]
async fn a_refused_socket_prints_the_servers_error_data() {
    let mut server = NodeScript::new("socketio_server.mjs").spawn().unwrap();
    let url = format!("http://127.0.0.1:{}", server.next_event("listening").await.unwrap()["port"]);
    let mut client = NodeScript::new("socketio_client.mjs")
        .arg(&url)
        .arg("refused")
        .env("SOCKET_TRANSPORTS", "websocket")
        .spawn()
        .unwrap();
    let refused = client.next_event("connect_error").await.unwrap();
    assert_eq!(refused["data"]["error"]["code"], "UNAUTHORIZED");
}

#[tokio::test]
async fn the_audits_pass_against_their_own_server() {
    let mut server = NodeScript::new("graphql_http_server.mjs").spawn().unwrap();
    let url = format!("http://127.0.0.1:{}/graphql", server.next_event("listening").await.unwrap()["port"]);
    let mut audit = NodeScript::new("graphql_http_audit.mjs").arg(&url).spawn().unwrap();
    let done = audit.next_event("done").await.unwrap();
    assert_eq!((&done["error"], &done["warn"]), (&json!(0), &json!(0)));
    assert!(done["ok"].as_u64().unwrap() > 50);
    audit.finish().await.unwrap();
}

#[tokio::test]
async fn a_script_that_fails_shows_its_stderr() {
    let mut script = NodeScript::new("amqplib_consume.mjs").spawn().unwrap();
    let error = script.next_json().await.unwrap_err();
    assert!(matches!(&error, TestkitError::ScriptEnded { stderr, .. } if stderr.contains("usage:")), "{error}");
}

#[tokio::test]
async fn a_script_that_says_nothing_is_given_up_and_loses_no_line() {
    let mut server = NodeScript::new("socketio_server.mjs").spawn().unwrap();
    server.next_event("listening").await.unwrap();
    let error = server.next_json_within(Duration::from_millis(100)).await.unwrap_err();
    assert!(matches!(error, TestkitError::ScriptSilent { .. }), "{error}");
    server.send_json(&json!({ "user": "nobody", "notification": {} })).await.unwrap();
    assert_eq!(server.next_event("acked").await.unwrap()["reply"], json!([]));
}
