//! Programs that are not ours: amqplib on Node, and whoever publishes rubbish.

use lapin::{
    BasicProperties,
    types::{AMQPValue, FieldArray, FieldTable},
};
use sap_comm_core::{Context, Event, RawEvent};
use sap_comm_events::{Broker, EventProcessingFailed, EventRouter, Subscription};
use sap_comm_testkit::NodeScript;
use serde_json::json;
use tokio::sync::mpsc;

use super::{config, foreign, numbers, publish_bytes, soon, vhost};
use crate::events::UserCreated;

#[tokio::test]
async fn amqplib_consumes_our_events() {
    let uri = vhost().await;
    let mut node =
        NodeScript::new("amqplib_consume.mjs").arg(&uri).arg("node.queue").arg("user.events").spawn().unwrap();
    node.next_event("ready").await.unwrap();
    let broker = Broker::connect(&uri, config()).await.unwrap();
    let context = Context::root().with_correlation_id("order-7");
    let event = context.clone().sync_scope(|| Event::new("auth-service", UserCreated::numbered(7)));
    context.clone().scope(broker.publish_event("user.events", &event)).await.unwrap();
    let message = node.next_event("message").await.unwrap();
    assert_eq!(message["content"], String::from_utf8(event.to_json().unwrap()).unwrap());
    assert_eq!(message["routingKey"], "user.created");
    assert_eq!(message["properties"]["messageId"], event.id.as_str());
    assert_eq!(message["properties"]["correlationId"], event.correlation_id.as_str());
    assert_eq!(message["properties"]["deliveryMode"], 2);
    assert_eq!(message["headers"]["kind"], "domain");
    assert_eq!(message["headers"]["x-request-id"], context.request_id());
    node.finish().await.unwrap();
}

#[tokio::test]
async fn we_consume_what_amqplib_publishes() {
    let uri = vhost().await;
    let broker = Broker::connect(&uri, config()).await.unwrap();
    let (sender, mut events) = mpsc::unbounded_channel();
    let router = EventRouter::new().otherwise(move |event: RawEvent| {
        let sent = sender.send((event, Context::current())).map_err(|error| error.to_string());
        async move { Ok(sent?) }
    });
    let _handle = broker.subscribe("user.events", router).await.unwrap();
    let mut node = NodeScript::new("amqplib_publish.mjs").arg(&uri).arg("user.events").arg("3").spawn().unwrap();
    for _ in 0..3 {
        let published = node.next_event("published").await.unwrap();
        let (event, context) = soon(events.recv()).await.unwrap();
        assert_eq!(published["id"], event.id.as_str());
        assert_eq!(published["body"], String::from_utf8(event.to_json().unwrap()).unwrap());
        assert_eq!((context.correlation_id(), context.attempt()), (event.correlation_id.as_str(), 1));
    }
    assert_eq!(node.next_event("done").await.unwrap()["count"], 3);
}

#[tokio::test]
async fn rubbish_on_the_exchange_becomes_dead_letters_and_the_consumer_goes_on() {
    let uri = vhost().await;
    let broker = Broker::connect(&uri, config().max_event_bytes(4_000)).await.unwrap();
    let (sender, mut failures) = mpsc::unbounded_channel();
    let router = EventRouter::new().on(move |event: Event<EventProcessingFailed>| {
        let sent = sender.send(event.data).map_err(|error| error.to_string());
        async move { Ok(sent?) }
    });
    let _watcher = broker.for_service("watcher").subscribe("error.events", router).await.unwrap();
    let (router, mut numbers) = numbers();
    let _handle = broker.subscribe("user.events", router).await.unwrap();
    let channel = foreign(&uri).await;
    let mut strange = FieldTable::default();
    strange.insert("x-sap-attempt".into(), AMQPValue::FieldArray(FieldArray::default()));
    strange.insert("traceparent".into(), AMQPValue::LongString([0xff_u8, 0].to_vec().into()));
    let properties = BasicProperties::default().with_headers(strange).with_content_type("text/plain".into());
    let large = "x".repeat(5_000);
    let cases: [(&[u8], serde_json::Value, &str); 5] = [
        (b"not json", json!("not json"), "MALFORMED_BODY"),
        (b"", json!(""), "MALFORMED_BODY"),
        (b"[1, 2]", json!([1, 2]), "MALFORMED_BODY"),
        (&[0xff, 0xfe], json!("//4="), "MALFORMED_BODY"),
        (large.as_bytes(), json!(large[..500]), "PAYLOAD_TOO_LARGE"),
    ];
    for (body, original, code) in &cases {
        publish_bytes(&channel, "user.events", "user.created", body, properties.clone()).await;
        let failure = soon(failures.recv()).await.unwrap();
        assert_eq!(serde_json::from_str::<serde_json::Value>(failure.original_event.get()).unwrap(), *original);
        assert_eq!(failure.error.code, *code, "{}", failure.error.message);
    }
    let letters = broker.dead_letters("user.events", "user-service").peek(10).await.unwrap();
    assert_eq!(letters.iter().map(|letter| letter.event.as_ref()).collect::<Vec<_>>(), cases.map(|(body, ..)| body));
    assert!(letters.iter().all(|letter| !letter.reason.is_empty()));
    // An event without any property or header of ours is as good as any.
    let event = Event::new("elsewhere", UserCreated::numbered(7)).to_json().unwrap();
    publish_bytes(&channel, "user.events", "user.created", &event, BasicProperties::default()).await;
    assert_eq!(soon(numbers.recv()).await, Some(7));
}

#[tokio::test]
async fn an_event_that_nobody_asked_for_is_a_dead_letter_and_the_consumer_goes_on() {
    let uri = vhost().await;
    let broker = Broker::connect(&uri, config()).await.unwrap();
    let (router, mut numbers) = numbers();
    let handle = broker.subscribe(Subscription::new("user.events").prefetch(1), router).await.unwrap();
    let channel = foreign(&uri).await;
    // Straight into the queue, past its bindings.
    let body = Event::new("elsewhere", crate::events::UserDeleted { user_id: "usr_1".into() }).to_json().unwrap();
    publish_bytes(&channel, "", "user.events.user-service", &body, BasicProperties::default()).await;
    broker.publish("user.events", UserCreated::numbered(1)).await.unwrap();
    assert_eq!(soon(numbers.recv()).await, Some(1));
    handle.stop().await;
    let letters = broker.dead_letters("user.events", "user-service").peek(10).await.unwrap();
    let codes: Vec<_> = letters.iter().map(|letter| letter.code.as_str()).collect();
    assert_eq!(codes, ["EVENT_TYPE_UNKNOWN"]);
}

#[tokio::test]
async fn cloud_events_of_others_are_consumed_in_either_mode() {
    let uri = vhost().await;
    let broker = Broker::connect(&uri, config()).await.unwrap();
    let (router, mut numbers) = numbers();
    let _handle = broker.subscribe("user.events", router).await.unwrap();
    let channel = foreign(&uri).await;
    let data = |number: u32| serde_json::to_value(UserCreated::numbered(number)).unwrap();
    let structured = json!({
        "specversion": "1.0", "id": "1", "source": "/elsewhere", "type": "user.created", "data": data(1),
    });
    let properties = BasicProperties::default().with_content_type("application/cloudevents+json; charset=UTF-8".into());
    publish_bytes(&channel, "user.events", "user.created", structured.to_string().as_bytes(), properties).await;
    assert_eq!(soon(numbers.recv()).await, Some(1));
    let mut headers = FieldTable::default();
    for (name, value) in [("specversion", "1.0"), ("id", "2"), ("source", "/elsewhere"), ("type", "user.created")] {
        headers.insert(format!("cloudEvents_{name}").into(), AMQPValue::LongString(value.into()));
    }
    let properties = BasicProperties::default().with_content_type("application/json".into()).with_headers(headers);
    publish_bytes(&channel, "user.events", "user.created", data(2).to_string().as_bytes(), properties).await;
    assert_eq!(soon(numbers.recv()).await, Some(2));
}

#[tokio::test]
async fn a_wrong_content_type_is_a_dead_letter_that_names_and_keeps_it() {
    let uri = vhost().await;
    let broker = Broker::connect(&uri, config()).await.unwrap();
    let (router, mut numbers) = numbers();
    let handle = broker.subscribe("user.events", router).await.unwrap();
    let channel = foreign(&uri).await;
    let body = Event::new("elsewhere", UserCreated::numbered(7)).to_json().unwrap();
    let xml = BasicProperties::default().with_content_type("text/xml".into());
    let gzip = BasicProperties::default().with_content_encoding("gzip".into());
    for properties in [xml, gzip, BasicProperties::default()] {
        publish_bytes(&channel, "user.events", "user.created", &body, properties).await;
    }
    assert_eq!(soon(numbers.recv()).await, Some(7));
    handle.stop().await;
    let letters = broker.dead_letters("user.events", "user-service").peek(10).await.unwrap();
    assert!(letters[0].reason.contains("text/xml") && letters[1].reason.contains("gzip"), "{letters:?}");
    let get = lapin::options::BasicGetOptions { no_ack: true };
    let dead = channel.basic_get("user.events.user-service.dead".into(), get).await.unwrap().unwrap();
    assert_eq!(dead.properties.content_type().as_ref().map(|name| name.as_str()), Some("text/xml"));
}
