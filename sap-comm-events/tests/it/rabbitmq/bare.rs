//! Messages whose properties say little, or something else than their events.

use std::sync::Arc;

use lapin::{
    BasicProperties,
    options::{BasicConsumeOptions, BasicGetOptions, QueueBindOptions, QueueDeclareOptions, QueuePurgeOptions},
    types::{AMQPValue, FieldTable},
};
use sap_comm_core::{ApiError, Event};
use sap_comm_events::{Broker, EventRouter, Filter, HandlerError, OrderingKey, Round, Subscription, header};
use tokio::sync::mpsc;

use super::{config, foreign, publish_bytes, soon, vhost};
use crate::{
    conformance::held_back,
    events::{ReportRequested, UserCreated},
    waiting::until,
};

fn event(number: u32) -> Event<UserCreated> {
    Event::new("elsewhere", UserCreated::numbered(number))
}

fn table(headers: impl IntoIterator<Item = (&'static str, AMQPValue)>) -> BasicProperties {
    let mut table = FieldTable::default();
    for (name, value) in headers {
        table.insert(name.into(), value);
    }
    BasicProperties::default().with_headers(table)
}

fn failing() -> EventRouter {
    EventRouter::new().on(|_: Event<UserCreated>| async { Err(HandlerError::permanent("broken")) })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_has_no_id_keeps_its_place_and_is_not_counted_when_its_consumer_pauses() {
    let uri = vhost().await;
    let broker = Broker::connect(&uri, config().max_redeliveries(1)).await.unwrap();
    let (router, mut begun, release) = held_back();
    let handle = Arc::new(broker.subscribe("user.events", router).await.unwrap());
    let channel = foreign(&uri).await;
    for number in 0..4 {
        let body = event(number).to_json().unwrap();
        publish_bytes(&channel, "user.events", "user.created", &body, BasicProperties::default()).await;
    }
    assert_eq!(soon(begun.recv()).await, Some(0));
    for next in 1..4 {
        soon(until(async || broker.lag("user.events", "user-service").await.unwrap() == Some(0))).await;
        // The one that has begun is finished; the others go back.
        soon(async { tokio::join!(handle.pause(), async { release.add_permits(1) }) }).await;
        soon(handle.resume()).await;
        assert_eq!(soon(begun.recv()).await, Some(next));
    }
    release.add_permits(1);
    soon(handle.pause()).await;
    assert_eq!(broker.dead_letters("user.events", "user-service").count().await.unwrap(), 0);
}

#[tokio::test]
async fn a_dead_letter_is_found_by_what_its_event_says() {
    let uri = vhost().await;
    let broker = Broker::connect(&uri, config()).await.unwrap();
    let handle = broker.subscribe("user.events", failing()).await.unwrap();
    let channel = foreign(&uri).await;
    let events = [event(0), event(1)];
    // The second comes straight into the queue, under the name of that.
    for (event, (exchange, key)) in
        events.iter().zip([("user.events", "user.created"), ("", "user.events.user-service")])
    {
        publish_bytes(&channel, exchange, key, &event.to_json().unwrap(), BasicProperties::default()).await;
    }
    let letters = broker.dead_letters("user.events", "user-service");
    soon(until(async || letters.count().await.unwrap() == 2)).await;
    handle.stop().await;
    let found = letters.peek(Filter::new().event_type("user.created")).await.unwrap();
    let said: Vec<_> = found.iter().map(|letter| (letter.id.as_str(), letter.source.as_str())).collect();
    assert_eq!(said, events.each_ref().map(|event| (event.id.as_str(), "elsewhere")));
}

#[tokio::test]
async fn a_dead_letter_goes_back_to_its_exchange_with_the_key_that_it_came_with() {
    let uri = vhost().await;
    let broker = Broker::connect(&uri, config()).await.unwrap();
    let handle = broker.subscribe("user.events", EventRouter::new().otherwise(|_| async { Err("again".into()) }));
    let handle = handle.await.unwrap();
    let channel = foreign(&uri).await;
    channel.queue_declare("eu".into(), QueueDeclareOptions::durable(), FieldTable::default()).await.unwrap();
    let (bind, none) = (QueueBindOptions::default(), FieldTable::default());
    channel.queue_bind("eu".into(), "user.events".into(), "eu.#".into(), bind, none).await.unwrap();
    let properties = BasicProperties::default().with_type("user.created".into());
    publish_bytes(&channel, "user.events", "eu.created", &event(1).to_json().unwrap(), properties).await;
    let letters = broker.dead_letters("user.events", "user-service");
    // Through its retries, and through a redrive to its queue.
    for _ in 0..2 {
        soon(until(async || letters.count().await.unwrap() == 1)).await;
        assert_eq!(letters.redrive(1).await.unwrap().done, 1);
    }
    soon(until(async || letters.count().await.unwrap() == 1)).await;
    handle.stop().await;
    let get = || channel.basic_get("eu".into(), BasicGetOptions { no_ack: true });
    assert!(get().await.unwrap().is_some());
    assert_eq!(letters.redrive_to_exchange("user.events", 1).await.unwrap().done, 1);
    let again = get().await.unwrap().expect("it has come to all who want its key");
    assert_eq!(again.routing_key.as_str(), "eu.created");
    let headers = again.properties.headers().as_ref().unwrap().inner();
    assert!(!headers.contains_key(header::REASON) && !headers.contains_key(header::QUEUE));
}

/// Whoever may publish events might make commands of them, or send them elsewhere, by the hand of whoever redrives.
#[tokio::test]
async fn a_dead_letter_is_what_it_came_as_whatever_it_says() {
    let uri = vhost().await;
    let broker = Broker::connect(&uri, config()).await.unwrap();
    let handle = broker.subscribe("user.events", failing()).await.unwrap();
    let channel = foreign(&uri).await;
    channel.queue_declare("watch".into(), QueueDeclareOptions::durable(), FieldTable::default()).await.unwrap();
    let (bind, none) = (QueueBindOptions::default(), FieldTable::default());
    channel.queue_bind("watch".into(), "user.events".into(), "#".into(), bind, none).await.unwrap();
    let lie = |text: &str| AMQPValue::LongString(text.into());
    let lying = || table([(header::KIND, lie("command")), (header::ROUTING_KEY, lie("user.deleted"))]);
    let body = event(1).to_json().unwrap();
    publish_bytes(&channel, "user.events", "user.created", &body, lying().with_type("user.created".into())).await;
    publish_bytes(&channel, "user.events", "user.created", &body, lying()).await;
    let letters = broker.dead_letters("user.events", "user-service");
    soon(until(async || letters.count().await.unwrap() == 2)).await;
    // One that is older than all that.
    let old = table([(header::KIND, lie("command"))]).with_type("user.created".into());
    publish_bytes(&channel, "", "user.events.user-service.dead", &body, old).await;
    soon(handle.stop()).await;
    channel.queue_purge("watch".into(), QueuePurgeOptions::default()).await.unwrap();
    assert_eq!(letters.redrive_to_exchange("user.events", Round::new()).await.unwrap().done, 3);
    for _ in 0..3 {
        let get = BasicGetOptions { no_ack: true };
        let sent = channel.basic_get("watch".into(), get).await.unwrap().expect("all of them are events");
        assert_eq!(sent.routing_key.as_str(), "user.created");
        let headers = sent.properties.headers().as_ref().unwrap().inner();
        assert_eq!(headers.get(header::KIND), Some(&lie("domain")));
        assert!(!headers.contains_key(header::ROUTING_KEY));
    }
}

#[tokio::test]
async fn a_dead_command_goes_back_to_its_exchange_whatever_it_says() {
    let uri = vhost().await;
    let broker = Broker::connect(&uri, config()).await.unwrap();
    let router = EventRouter::new().on(|_: Event<ReportRequested>| async { Err(HandlerError::permanent("broken")) });
    let _handle = broker.subscribe("report.events", router).await.unwrap();
    let channel = foreign(&uri).await;
    // Straight into the queue, under the name of that, and nobody can read them.
    let lying = table([(header::ROUTING_KEY, AMQPValue::LongString("report.lost".into()))]);
    let typed = BasicProperties::default().with_type("report.other".into());
    for properties in [BasicProperties::default(), lying, typed] {
        publish_bytes(&channel, "", "report.events.commands.report.requested", b"{oops", properties).await;
    }
    let letters = broker.dead_commands("report.events", "report.requested");
    soon(until(async || letters.count().await.unwrap() == 3)).await;
    assert_eq!(letters.redrive_to_exchange("report.events", Round::new()).await.unwrap().done, 3);
    soon(until(async || letters.count().await.unwrap() == 3)).await;
    let types: Vec<_> = letters.peek(10).await.unwrap().into_iter().map(|letter| letter.event_type).collect();
    assert_eq!(types, ["report.requested", "report.requested", "report.other"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_may_be_a_number() {
    let by_header = || Subscription::new("user.events").ordered_by(OrderingKey::header("tenant"));
    for (name, subscription) in
        [(header::ORDERING_KEY, Subscription::new("user.events").ordered_by_key()), ("tenant", by_header())]
    {
        let uri = vhost().await;
        let broker = Broker::connect(&uri, config()).await.unwrap();
        let (router, mut begun, release) = held_back();
        let _handle = broker.subscribe(subscription.concurrency(4), router).await.unwrap();
        let channel = foreign(&uri).await;
        for (number, key) in [(0, 7), (1, 7), (2, 8)] {
            let properties = table([(name, AMQPValue::LongLongInt(key))]);
            publish_bytes(&channel, "user.events", "user.created", &event(number).to_json().unwrap(), properties).await;
        }
        assert_eq!((soon(begun.recv()).await, soon(begun.recv()).await), (Some(0), Some(2)));
        release.add_permits(3);
        assert_eq!(soon(begun.recv()).await, Some(1));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_requester_that_names_no_kind_hears_of_failures_and_its_command_stays_one() {
    let uri = vhost().await;
    let broker = Broker::connect(&uri, config()).await.unwrap();
    let router = EventRouter::new()
        .on(|_: Event<ReportRequested>| async { Err(HandlerError::permanent(ApiError::not_found("report", "1"))) });
    let handle = broker.subscribe("report.events", router).await.unwrap();
    let channel = foreign(&uri).await;
    channel.queue_declare("answers".into(), QueueDeclareOptions::default(), FieldTable::default()).await.unwrap();
    let options = BasicConsumeOptions { no_ack: true, ..Default::default() };
    let mut answers = channel.basic_consume("answers".into(), "".into(), options, FieldTable::default()).await.unwrap();
    let mut answer = async || {
        let answer = soon(futures_util::StreamExt::next(&mut answers)).await.unwrap().unwrap();
        (answer.properties.correlation_id().clone().unwrap().to_string(), answer.data)
    };
    let ask = |id: &str| BasicProperties::default().with_reply_to("answers".into()).with_correlation_id(id.into());
    let body = Event::new("node", ReportRequested { number: 1 }).to_json().unwrap();
    for (id, body, code) in [("call-1", &b"{oops"[..], "MALFORMED_BODY"), ("call-2", &body, "REPORT_NOT_FOUND")] {
        publish_bytes(&channel, "report.events.commands", "report.requested", body, ask(id)).await;
        let (answered, envelope) = answer().await;
        let envelope: serde_json::Value = serde_json::from_slice(&envelope).unwrap();
        assert_eq!((answered.as_str(), &envelope["error"]["code"]), (id, &code.into()));
    }
    soon(handle.stop()).await;
    let (sender, mut handled) = mpsc::unbounded_channel();
    let router = EventRouter::new().on(move |event: Event<ReportRequested>| {
        let sent = sender.send(event.data.number);
        async move { Ok(sent?) }
    });
    let _handle = broker.subscribe("report.events", router).await.unwrap();
    let letters = broker.dead_commands("report.events", "report.requested");
    let meant = Filter::new().code("REPORT_NOT_FOUND");
    assert_eq!(letters.redrive_to_exchange("report.events", meant).await.unwrap().done, 1);
    assert_eq!(soon(handled.recv()).await, Some(1));
    assert_eq!(answer().await.0, "call-2", "now it is done");
}

#[tokio::test]
async fn a_cloud_event_may_tell_its_time_as_amqp_does() {
    let uri = vhost().await;
    let broker = Broker::connect(&uri, config()).await.unwrap();
    let (sender, mut times) = mpsc::unbounded_channel();
    let router = EventRouter::new().on(move |event: Event<UserCreated>| {
        let sent = sender.send(event.timestamp.to_string());
        async move {
            sent?;
            Err("once more".into())
        }
    });
    let handle = broker.subscribe("user.events", router).await.unwrap();
    let channel = foreign(&uri).await;
    let text = |text: &str| AMQPValue::LongString(text.into());
    let headers = |time| {
        table([
            ("cloudEvents_specversion", text("1.0")),
            ("cloudEvents_id", text("1")),
            ("cloudEvents_source", text("/elsewhere")),
            ("cloudEvents_type", text("user.created")),
            ("cloudEvents_time", time),
        ])
    };
    let data = serde_json::to_vec(&UserCreated::numbered(1)).unwrap();
    let stamped = headers(AMQPValue::Timestamp(1_747_679_400));
    publish_bytes(&channel, "user.events", "user.created", &data, stamped).await;
    for _ in 0..3 {
        assert_eq!(soon(times.recv()).await.as_deref(), Some("2025-05-19T18:30:00.000Z"));
    }
    let letters = broker.dead_letters("user.events", "user-service");
    soon(until(async || letters.count().await.unwrap() == 1)).await;
    let listed = headers(AMQPValue::FieldTable(FieldTable::default()));
    publish_bytes(&channel, "user.events", "user.created", &data, listed).await;
    soon(until(async || letters.count().await.unwrap() == 2)).await;
    handle.stop().await;
    let letters = letters.peek(10).await.unwrap();
    assert!(letters[1].reason.contains("cloudEvents_time"), "{}", letters[1].reason);
}
