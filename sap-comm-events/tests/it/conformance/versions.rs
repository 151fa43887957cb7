//! Old payloads, and new ones.

use sap_comm_core::EventPayload;

use super::*;

/// The specification's example, whatever the version of its data.
fn of_the_specification(version: &str, data: &str) -> RawEvent {
    let json = format!(
        r#"{{"id":"evt_123456789","type":"user.created","source":"auth-service","timestamp":"2025-05-19T18:30:00.000Z","correlationId":"req_abcdef123","data":{data},"metadata":{{"version":"{version}","userId":"usr_admin123"}}}}"#
    );
    RawEvent::from_json(json.as_bytes()).unwrap()
}

const DATA_1: &str = r#"{"userId":"usr_987654321","email":"user@example.com","roles":["user"]}"#;
const DATA_2: &str = r#"{"userId":"usr_987654321","emails":["user@example.com"],"roles":["user"]}"#;
const DATA_3: &str = r#"{"userId":"usr_987654321","contacts":{"email":["user@example.com"]},"roles":["user"]}"#;

#[derive(Debug, serde::Serialize, serde::Deserialize, EventPayload)]
#[event(type = "user.created", version = "1.0")]
#[serde(rename_all = "camelCase")]
struct V1 {
    user_id: String,
    email: String,
    roles: Vec<String>,
}

#[derive(Debug, serde::Serialize, serde::Deserialize, EventPayload)]
#[event(type = "user.created", version = "2.1")]
#[serde(rename_all = "camelCase")]
struct V2 {
    user_id: String,
    emails: Vec<String>,
    roles: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize, EventPayload)]
#[event(type = "user.created", version = "3.0")]
#[serde(rename_all = "camelCase")]
struct V3 {
    user_id: String,
    contacts: std::collections::BTreeMap<String, Vec<String>>,
    roles: Vec<String>,
}

fn to_2(V1 { user_id, email, roles }: V1) -> V2 {
    V2 { user_id, emails: vec![email], roles }
}

fn to_3(V2 { user_id, emails, roles }: V2) -> V3 {
    V3 { user_id, contacts: [("email".to_owned(), emails)].into(), roles }
}

/// Sends every event of version 3.
fn third() -> (EventRouter, mpsc::UnboundedReceiver<Event<V3>>) {
    let (sender, receiver) = mpsc::unbounded_channel();
    let router = EventRouter::new().on(move |event: Event<V3>| {
        let sent = sender.send(event).map_err(|error| error.to_string());
        async move { Ok(sent?) }
    });
    (router, receiver)
}

pub(crate) async fn old_versions_are_made_new_step_by_step<F: Future<Output = Broker>>(
    broker: impl Fn(BrokerConfig) -> F,
) {
    let broker = broker(config()).await;
    let (router, mut events) = third();
    let _handle = broker.subscribe("user.events", router.upcast(to_3).upcast(to_2)).await.unwrap();
    for (version, data) in [("1.0", DATA_1), ("1.7", DATA_1), ("2.0", DATA_2), ("3.4", DATA_3)] {
        broker.publish_raw("user.events", of_the_specification(version, data), EventKind::Domain).await.unwrap();
        let event = soon(events.recv()).await.unwrap();
        assert_eq!(event.data, serde_json::from_str(DATA_3).unwrap(), "{version}");
        assert_eq!(event.metadata.version, if version == "3.4" { "3.4" } else { "3.0" });
        assert_eq!((event.id.as_str(), event.metadata.user_id.as_deref()), ("evt_123456789", Some("usr_admin123")));
    }
}

pub(crate) async fn old_versions_are_made_new_in_batches<F: Future<Output = Broker>>(
    broker: impl Fn(BrokerConfig) -> F,
) {
    let broker = broker(config()).await;
    let (sender, mut batches) = mpsc::unbounded_channel();
    let batching = sap_comm_events::Batching::of(2).linger(Duration::from_secs(3_600));
    let router = EventRouter::new().upcast(to_2).upcast(to_3).on_batch(batching, move |events: Vec<Event<V3>>| {
        let sent = sender.send(events.into_iter().map(|event| event.data).collect::<Vec<_>>());
        async move { Ok(sent.map_err(|error| error.to_string())?) }
    });
    let _handle = broker.subscribe("user.events", router).await.unwrap();
    for (version, data) in [("1.0", DATA_1), ("3.0", DATA_3)] {
        broker.publish_raw("user.events", of_the_specification(version, data), EventKind::Domain).await.unwrap();
    }
    let expected: V3 = serde_json::from_str(DATA_3).unwrap();
    assert_eq!(soon(batches.recv()).await, Some(vec![expected.clone(), expected]));
}

pub(crate) async fn a_version_that_nobody_reads_is_a_dead_letter<F: Future<Output = Broker>>(
    broker: impl Fn(BrokerConfig) -> F,
) {
    let broker = broker(config()).await;
    let (_watcher, mut failures) = failures(&broker).await;
    let (router, _events) = third();
    // Newer than the handler; older than any step; no version at all.
    let _handle = broker.subscribe("user.events", router.upcast(to_3)).await.unwrap();
    for version in ["4.0", "1.0", "latest", ""] {
        broker.publish_raw("user.events", of_the_specification(version, DATA_3), EventKind::Domain).await.unwrap();
        let failure = soon(failures.recv()).await.unwrap().data.error;
        assert_eq!(failure.code, "EVENT_VERSION_UNSUPPORTED", "{version}");
        assert!(failure.message.contains(&format!("{version:?}")), "{}", failure.message);
    }
    let letters = broker.dead_letters("user.events", "user-service").peek(1).await.unwrap();
    assert_eq!(letters[0].code, "EVENT_VERSION_UNSUPPORTED");
}

pub(crate) async fn a_lenient_router_reads_what_it_can_of_any_version<F: Future<Output = Broker>>(
    broker: impl Fn(BrokerConfig) -> F,
) {
    let broker = broker(config()).await;
    let (_watcher, mut failures) = failures(&broker).await;
    let (router, mut events) = third();
    let _handle = broker.subscribe("user.events", router.upcast(to_2).upcast(to_3).lenient_versions()).await.unwrap();
    for (version, data) in [("4.0", DATA_3), ("1.0", DATA_1)] {
        broker.publish_raw("user.events", of_the_specification(version, data), EventKind::Domain).await.unwrap();
        let event = soon(events.recv()).await.unwrap();
        assert_eq!(event.metadata.version, if version == "4.0" { "4.0" } else { "3.0" });
    }
    broker.publish_raw("user.events", of_the_specification("4.0", DATA_1), EventKind::Domain).await.unwrap();
    assert_eq!(soon(failures.recv()).await.unwrap().data.error.code, "MALFORMED_BODY");
}
