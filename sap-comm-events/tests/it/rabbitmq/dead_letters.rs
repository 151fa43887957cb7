//! Dead letters of a real broker: many of them, lost connections, foreign messages.

use std::{
    collections::BTreeSet,
    ops::ControlFlow,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use lapin::{
    BasicProperties,
    options::{BasicPublishOptions, QueueDeclareOptions},
    types::{AMQPValue, FieldTable},
};
use sap_comm_core::Event;
use sap_comm_events::{
    Broker, DeadLetterError, DeadLetters, EventRouter, Filter, HandlerError, Round, Subscription, header,
};
use sap_comm_testkit::RabbitNode;

use super::{config, foreign, numbers, soon, vhost};
use crate::{events::UserCreated, waiting::until};

/// A queue with dead letters from 0 to `number`, as a consumer would have left them; every hundredth is `rare`.
pub(crate) async fn buried(uri: &str, number: u32) -> DeadLetters {
    let broker = Broker::connect(uri, config()).await.unwrap();
    let (router, _gone) = numbers();
    broker.subscribe("user.events", router).await.unwrap().stop().await;
    let channel = foreign(uri).await;
    let mut confirms = Vec::new();
    for number in 0..number {
        let event = Event::new("auth-service", UserCreated::numbered(number));
        let mut headers = FieldTable::default();
        let code = if number % 100 == 0 { "RARE" } else { "COMMON" };
        headers.insert(header::CODE.into(), AMQPValue::LongString(code.into()));
        headers.insert(header::ATTEMPT.into(), AMQPValue::LongInt(3));
        let properties = BasicProperties::default()
            .with_delivery_mode(2)
            .with_message_id(event.id.as_str().into())
            .with_type("user.created".into())
            .with_headers(headers);
        let (key, body) = ("user.events.user-service.dead", event.to_json().unwrap());
        let options = BasicPublishOptions::default();
        confirms.push(channel.basic_publish("".into(), key.into(), options, &body, properties).await.unwrap());
    }
    for confirm in confirms {
        confirm.await.unwrap();
    }
    broker.dead_letters("user.events", "user-service")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_filter_that_leaves_most_in_place_is_one_pass_that_keeps_their_order() {
    let letters = buried(&vhost().await, 1_000).await;
    let progress = soon(letters.redrive(Filter::new().code("RARE"))).await.unwrap();
    assert_eq!((progress.total, progress.seen, progress.done), (1_000, 1_000, 10));
    let left = letters.peek(1_000).await.unwrap();
    assert_eq!(left.len(), 990);
    let left: Vec<_> = left
        .iter()
        .map(|letter| sap_comm_core::RawEvent::from_json(&letter.event).unwrap().decode::<UserCreated>().unwrap())
        .map(|event| event.data.number)
        .collect();
    assert_eq!(left, (0..1_000).filter(|number| number % 100 != 0).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redrive_whose_connection_is_lost_loses_nothing() {
    let uri = vhost().await;
    let letters = buried(&uri, 500).await;
    let begun = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&begun);
    let round = Round::new().rate(200.0).on_progress(move |progress| {
        seen.fetch_or(progress.done > 20, Ordering::SeqCst);
        ControlFlow::Continue(())
    });
    let redrive = tokio::spawn({
        let letters = letters.clone();
        async move { letters.redrive(round).await }
    });
    super::eventually("a redrive under way", || begun.load(Ordering::SeqCst)).await;
    RabbitNode::shared().await.unwrap().close_connections_of(&uri).await.unwrap();
    let error = soon(redrive).await.unwrap().unwrap_err();
    assert!(matches!(error, DeadLetterError::Unavailable { .. } | DeadLetterError::Redrive { .. }), "{error:?}");
    let progress = soon(letters.redrive(Round::new())).await.unwrap();
    assert!(progress.total >= 400, "the rest was back in the queue: {progress:?}");
    let broker = Broker::connect(&uri, config()).await.unwrap();
    let (router, mut numbers) = numbers();
    let _handle = broker.subscribe("user.events", router).await.unwrap();
    let mut missing: BTreeSet<u32> = (0..500).collect();
    while !missing.is_empty() {
        missing.remove(&soon(numbers.recv()).await.unwrap());
    }
}

#[tokio::test]
async fn a_dead_letter_of_anybody_is_shown_and_redriven() {
    let uri = vhost().await;
    let channel = foreign(&uri).await;
    for queue in ["theirs", "theirs.dead"] {
        channel.queue_declare(queue.into(), QueueDeclareOptions::durable(), FieldTable::default()).await.unwrap();
    }
    super::publish_bytes(&channel, "", "theirs.dead", b"not json", BasicProperties::default()).await;
    let broker = Broker::connect(&uri, config()).await.unwrap();
    let letters = broker.dead_letters_of("theirs");
    let letter = letters.peek(1).await.unwrap().remove(0);
    assert_eq!((&*letter.event, letter.id.as_str(), letter.at), (b"not json".as_slice(), "", None));
    assert_eq!(letters.redrive(Round::new()).await.unwrap().done, 1);
    let got = channel.basic_get("theirs".into(), Default::default()).await.unwrap().unwrap();
    assert_eq!(got.data, b"not json");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dead_letters_are_not_used_up_by_looking_at_them() {
    let uri = vhost().await;
    let broker = Broker::connect(&uri, config()).await.unwrap();
    let router = EventRouter::new().on(async |_: Event<UserCreated>| Err(HandlerError::permanent("broken")));
    let handle = broker.subscribe(Subscription::new("user.events").quorum(), router).await.unwrap();
    soon(broker.publish("user.events", UserCreated::numbered(1))).await.unwrap();
    let letters = broker.dead_letters("user.events", "user-service");
    soon(until(async || matches!(letters.count().await, Ok(1)))).await;
    // Quorum queues of RabbitMQ 4 drop what went back to them 20 times, unless they are told otherwise.
    for _ in 0..25 {
        assert_eq!(soon(letters.peek(10)).await.unwrap().len(), 1);
    }
    soon(handle.stop()).await;
}
