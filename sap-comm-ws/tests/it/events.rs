use sap_comm_core::{ApiError, Context, ErrorCode};
use sap_comm_ws::RealtimeOptions;
use serde_json::{Value, json};
use std::{sync::Arc, time::Duration};
use tokio::sync::Notify;

use crate::{
    harness::{Server, code, token},
    raw::RawClient,
};

#[tokio::test]
async fn a_handler_answers_with_its_value_and_knows_the_user() {
    let server = Server::with(|builder| {
        builder.on("whoami", |arguments: Vec<Value>| async move {
            let context = Context::current();
            let user = context.principal().map(|principal| principal.id.clone());
            Ok(json!({ "user": user, "arguments": arguments }))
        })
    })
    .await;
    let mut client = RawClient::connect(&server, &token("usr_1")).await;
    assert_eq!(client.call(&json!(["whoami", 1, "two"])).await, json!({"user": "usr_1", "arguments": [1, "two"]}));
}

#[tokio::test]
async fn an_invalid_notification_id_is_refused_and_not_reported() {
    let server = Server::start().await;
    let mut client = RawClient::connect(&server, &token("usr_1")).await;
    for arguments in
        [json!(["read-notification"]), json!(["read-notification", {"id": 1}]), json!(["read-notification", ""])]
    {
        assert_eq!(code(&client.call(&arguments).await), ErrorCode::INVALID_ARGUMENT);
    }
    assert_eq!(client.call(&json!(["read-notification", "ntf_1"])).await, json!({}));
    assert_eq!(server.report("read").await.id, "ntf_1");
}

#[tokio::test]
async fn what_breaks_inside_stays_inside() {
    let server = Server::start().await;
    let mut client = RawClient::connect(&server, &token("usr_1")).await;
    let answer = client.call(&json!(["read-notification", "broken"])).await;
    assert_eq!(code(&answer), ErrorCode::INTERNAL_ERROR);
    assert!(!answer.to_string().contains("hunter2"), "{answer}");
    assert!(answer["error"]["requestId"].as_str().unwrap().starts_with("req_"));
}

#[tokio::test]
async fn events_beyond_the_bound_are_refused_and_those_under_way_finish() {
    let (started, go) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let handler = {
        let (started, go) = (Arc::clone(&started), Arc::clone(&go));
        move |_: Vec<Value>| {
            let (started, go) = (Arc::clone(&started), Arc::clone(&go));
            async move {
                started.notify_one();
                go.notified().await;
                Ok::<_, ApiError>(json!("done"))
            }
        }
    };
    let server = Server::with(|builder| {
        builder.options(RealtimeOptions { max_in_flight: 1, ..Default::default() }).on("slow", handler)
    })
    .await;
    let mut client = RawClient::connect(&server, &token("usr_1")).await;
    client.emit(1, &json!(["slow"])).await;
    started.notified().await;
    assert_eq!(code(&client.call(&json!(["slow"])).await), ErrorCode::OVERLOADED);
    go.notify_one();
    assert_eq!(client.packet().await.unwrap(), r#"431["done"]"#);
}

#[tokio::test]
async fn a_handler_that_hangs_is_cut_off() {
    let server = Server::with(|builder| {
        builder
            .options(RealtimeOptions { handler_timeout: Duration::from_millis(50), ..Default::default() })
            .on("hang", |_: Vec<Value>| std::future::pending())
    })
    .await;
    let mut client = RawClient::connect(&server, &token("usr_1")).await;
    assert_eq!(code(&client.call(&json!(["hang"])).await), ErrorCode::DEADLINE_EXCEEDED);
}
