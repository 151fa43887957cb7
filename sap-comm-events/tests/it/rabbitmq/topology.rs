//! What exists on the broker, and what happens when it differs.

use lapin::{
    ExchangeKind,
    options::{BasicGetOptions, ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions, QueueDeleteOptions},
    types::{AMQPValue, FieldTable},
};
use sap_comm_core::{Context, Event, EventPayload};
use sap_comm_events::{Broker, EventRouter, HandlerError, PublishError, SubscribeError, Subscription, header};
use sap_comm_testkit::RabbitNode;

use super::{config, foreign, numbers, soon, vhost};
use crate::{events::UserCreated, waiting::until};

#[tokio::test]
async fn a_queue_with_other_arguments_is_reported_with_the_argument() {
    let uri = vhost().await;
    let channel = foreign(&uri).await;
    let mut arguments = FieldTable::default();
    arguments.insert("x-message-ttl".into(), AMQPValue::LongInt(5));
    channel.queue_declare("user.events.audit".into(), QueueDeclareOptions::durable(), arguments).await.unwrap();
    let broker = Broker::connect(&uri, config()).await.unwrap();
    let (router, _numbers) = numbers();
    let error = broker.subscribe(Subscription::new("user.events").group("audit"), router).await.unwrap_err();
    let SubscribeError::Topology(difference) = &error else { panic!("{error:?}") };
    assert_eq!(difference.argument.as_deref(), Some("x-message-ttl"));
    assert_eq!((difference.expected.as_deref(), difference.found.as_deref()), (Some("none"), Some("5")));
    assert!(difference.object.contains("user.events.audit"), "{error}");
    // The connection is none the worse for it.
    let (router, _numbers) = numbers();
    let _handle = broker.subscribe(Subscription::new("user.events").group("other"), router).await.unwrap();
    broker.publish("user.events", UserCreated::numbered(1)).await.unwrap();
}

#[tokio::test]
async fn an_exchange_of_another_type_is_reported_to_publisher_and_subscriber() {
    let uri = vhost().await;
    let channel = foreign(&uri).await;
    let durable = ExchangeDeclareOptions { durable: true, ..Default::default() };
    channel.exchange_declare("user.events".into(), ExchangeKind::Fanout, durable, FieldTable::default()).await.unwrap();
    let broker = Broker::connect(&uri, config()).await.unwrap();
    let error = soon(broker.publish("user.events", UserCreated::numbered(1))).await.unwrap_err();
    let PublishError::Topology(difference) = &error else { panic!("{error:?}") };
    assert_eq!(difference.argument.as_deref(), Some("type"), "{error}");
    let (router, _numbers) = numbers();
    let error = broker.subscribe("user.events", router).await.unwrap_err();
    assert!(matches!(error, SubscribeError::Topology(_)), "{error}");
    // Other exchanges go on.
    let error = soon(broker.publish("order.events", UserCreated::numbered(1))).await.unwrap_err();
    assert!(matches!(error, PublishError::Unroutable { .. }), "{error}");
}

#[tokio::test]
async fn an_event_carries_the_documented_properties_and_headers() {
    let uri = vhost().await;
    let channel = foreign(&uri).await;
    let durable = ExchangeDeclareOptions { durable: true, ..Default::default() };
    channel.exchange_declare("user.events".into(), ExchangeKind::Topic, durable, FieldTable::default()).await.unwrap();
    channel.queue_declare("mine".into(), QueueDeclareOptions::durable(), FieldTable::default()).await.unwrap();
    let bind = QueueBindOptions::default();
    channel
        .queue_bind("mine".into(), "user.events".into(), "user.*".into(), bind, FieldTable::default())
        .await
        .unwrap();
    let broker = Broker::connect(&uri, config()).await.unwrap();
    let context = Context::root().with_correlation_id("order-7");
    let event = context.clone().sync_scope(|| Event::new("auth-service", UserCreated::numbered(1)));
    context.clone().scope(broker.publish_event("user.events", &event)).await.unwrap();
    let got = channel.basic_get("mine".into(), BasicGetOptions { no_ack: true }).await.unwrap().unwrap();
    assert_eq!(got.data, event.to_json().unwrap());
    assert_eq!((got.exchange.as_str(), got.routing_key.as_str()), ("user.events", UserCreated::TYPE));
    let properties = &got.properties;
    let text = |field: &Option<lapin::types::ShortString>| field.as_ref().map(ToString::to_string).unwrap_or_default();
    assert_eq!(text(properties.content_type()), "application/json");
    assert_eq!(text(properties.content_encoding()), "utf-8");
    assert_eq!(*properties.delivery_mode(), Some(2));
    assert_eq!(text(properties.message_id()), event.id);
    assert_eq!(text(properties.correlation_id()), event.correlation_id);
    assert_eq!(text(properties.kind()), "user.created");
    assert_eq!(text(properties.app_id()), "auth-service");
    assert_eq!(*properties.timestamp(), Some(event.timestamp.as_secs().try_into().unwrap()));
    let headers = properties.headers().as_ref().unwrap().inner();
    let header = |name: &str| match headers.get(name) {
        Some(AMQPValue::LongString(text)) => text.to_string(),
        other => panic!("{name}: {other:?}"),
    };
    assert_eq!(header(header::KIND), "domain");
    assert_eq!(header("x-request-id"), context.request_id());
    assert!(header("traceparent").contains(&context.trace().trace_id()));
}

#[tokio::test]
async fn a_consumer_whose_queue_is_deleted_consumes_again() {
    let uri = vhost().await;
    let broker = Broker::connect(&uri, config()).await.unwrap();
    let (router, mut numbers) = numbers();
    let _handle = broker.subscribe("user.events", router).await.unwrap();
    let channel = foreign(&uri).await;
    channel.queue_delete("user.events.user-service".into(), QueueDeleteOptions::default()).await.unwrap();
    // Unroutable until the queue is declared again.
    soon(until(async || broker.publish("user.events", UserCreated::numbered(1)).await.is_ok())).await;
    assert_eq!(soon(numbers.recv()).await, Some(1));
}

#[tokio::test]
async fn a_publisher_whose_exchange_is_deleted_declares_it_again() {
    let uri = vhost().await;
    let broker = Broker::connect(&uri, config()).await.unwrap();
    let (router, mut numbers) = numbers();
    let _handle = broker.subscribe("user.events", router).await.unwrap();
    broker.publish("user.events", UserCreated::numbered(0)).await.unwrap();
    let channel = foreign(&uri).await;
    channel.exchange_delete("user.events".into(), Default::default()).await.unwrap();
    // The exchange comes back with the publish, its binding with the consumer.
    let error = soon(broker.publish("user.events", UserCreated::numbered(1))).await.unwrap_err();
    assert!(matches!(error, PublishError::Unroutable { .. }), "{error}");
    let node = RabbitNode::shared().await.unwrap();
    assert_eq!(node.close_connections_of(&uri).await.unwrap(), 3);
    soon(until(async || broker.publish("user.events", UserCreated::numbered(2)).await.is_ok())).await;
    assert_eq!((soon(numbers.recv()).await, soon(numbers.recv()).await), (Some(0), Some(2)));
}

#[tokio::test]
async fn a_deleted_dead_letter_queue_is_declared_again() {
    let uri = vhost().await;
    let broker = Broker::connect(&uri, config()).await.unwrap();
    let router = EventRouter::new().on(|_: Event<UserCreated>| async { Err(HandlerError::permanent("broken")) });
    let _handle = broker.subscribe("user.events", router).await.unwrap();
    let channel = foreign(&uri).await;
    let dead = "user.events.user-service.dead";
    channel.queue_delete(dead.into(), QueueDeleteOptions::default()).await.unwrap();
    broker.publish("user.events", UserCreated::numbered(1)).await.unwrap();
    let letters = broker.dead_letters("user.events", "user-service");
    soon(until(async || matches!(letters.count().await, Ok(1)))).await;
}

#[tokio::test]
async fn a_quorum_queue_is_consumed_when_asked_for() {
    let uri = vhost().await;
    let broker = Broker::connect(&uri, config()).await.unwrap();
    let (router, mut numbers) = numbers();
    let _handle = broker.subscribe(Subscription::new("user.events").quorum(), router.clone()).await.unwrap();
    broker.publish("user.events", UserCreated::numbered(1)).await.unwrap();
    assert_eq!(soon(numbers.recv()).await, Some(1));
    let error = broker.subscribe("user.events", router).await.unwrap_err();
    let SubscribeError::Topology(difference) = &error else { panic!("{error:?}") };
    assert_eq!(difference.argument.as_deref(), Some("x-queue-type"), "{error}");
}

#[tokio::test]
async fn a_name_that_does_not_fit_is_refused() {
    let broker = super::in_a_vhost_of_its_own(config()).await;
    let error = broker.dead_commands("user.events", &"x".repeat(300)).count().await.unwrap_err();
    assert!(error.to_string().contains("no queue"), "{error}");
    let router = EventRouter::new().otherwise(|_| async { Ok(()) });
    let error = broker.subscribe(Subscription::new("x".repeat(101)), router).await.unwrap_err();
    assert!(matches!(error, SubscribeError::Name { .. }), "{error}");
}

/// Every property that a queue of ours may differ in: declared by somebody else, found at start by its name and values.
#[tokio::test]
async fn a_subscription_names_the_argument_that_differs() {
    let uri = vhost().await;
    let channel = foreign(&uri).await;
    let broker = Broker::connect(&uri, config()).await.unwrap();
    let text = |text: &str| AMQPValue::LongString(text.into());
    let durable = QueueDeclareOptions::durable();
    let cases = [
        ("g1", "x-queue-type", text("quorum"), durable, "classic", "quorum"),
        ("g2", "x-dead-letter-exchange", text("other"), durable, "none", "other"),
        ("g3", "x-max-length", AMQPValue::LongInt(9), durable, "none", "9"),
        ("g4", "x-message-ttl", AMQPValue::LongInt(5), durable, "none", "5"),
        ("g5", "durable", AMQPValue::Void, QueueDeclareOptions::default(), "true", "false"),
        ("g6", "auto_delete", AMQPValue::Void, QueueDeclareOptions { auto_delete: true, ..durable }, "false", "true"),
    ];
    for (group, argument, value, options, expected, found) in cases {
        let mut arguments = FieldTable::default();
        if value != AMQPValue::Void {
            arguments.insert(argument.into(), value);
        }
        channel.queue_declare(format!("user.events.{group}").as_str().into(), options, arguments).await.unwrap();
        let (router, _numbers) = numbers();
        let error = broker.subscribe(Subscription::new("user.events").group(group), router).await.unwrap_err();
        let SubscribeError::Topology(difference) = &error else { panic!("{error:?}") };
        assert_eq!(difference.argument.as_deref(), Some(argument), "{error}");
        assert_eq!(difference.found.as_deref(), Some(found), "{error}");
        // What is not given is the broker's to say.
        assert!([expected, "none"].contains(&difference.expected.as_deref().unwrap()), "{error}");
    }
}

#[tokio::test]
async fn looking_for_differences_names_what_differs_and_makes_nothing() {
    let uri = vhost().await;
    let channel = foreign(&uri).await;
    let exclusive = QueueDeclareOptions { exclusive: true, ..Default::default() };
    channel.queue_declare("user.events.user-service".into(), exclusive, FieldTable::default()).await.unwrap();
    channel
        .exchange_declare("user.events".into(), ExchangeKind::Direct, Default::default(), FieldTable::default())
        .await
        .unwrap();
    let broker = Broker::connect(&uri, config()).await.unwrap();
    let (router, _numbers) = numbers();
    let spec = Subscription::new("user.events").topology(&config(), &router).unwrap();
    for _ in 0..2 {
        let differences = broker.topology_differences(&spec).await.unwrap();
        let shown: Vec<_> = differences.iter().map(ToString::to_string).collect();
        assert_eq!(
            shown,
            [
                r#"exchange "user.events" differs in type: expected topic, found direct"#,
                r#"queue "user.events.user-service" differs in exclusive: expected false, found true"#,
                r#"queue "user.events.user-service.dead" is missing"#,
                r#"queue "user.events.user-service.retry.20" is missing"#,
                r#"queue "user.events.user-service.retry.50" is missing"#,
            ]
        );
    }
    let error = broker.tail("nothing.events", &["#"]).await.unwrap_err();
    assert!(matches!(&error, SubscribeError::NoExchange { exchange } if exchange == "nothing.events"), "{error}");
}
