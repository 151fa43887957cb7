//! Streams: read whole by every consumer, from where it likes.

use std::time::Duration;

use lapin::options::QueueDeleteOptions;
use sap_comm_core::{Event, Timestamp};
use sap_comm_events::{
    Batching, Broker, EventRouter, HandlerError, Outcome, RetryOrder, Round, Stream, StreamOffset, SubscribeError,
    Subscription,
};
use sap_comm_testkit::RabbitNode;
use tokio::sync::mpsc;

use super::{config, foreign, numbers, soon, vhost};
use crate::{
    events::{ReportRequested, UserCreated},
    waiting::until,
};

fn reading(offset: StreamOffset) -> Subscription {
    Subscription::new("user.events").group("log").stream(offset)
}

async fn publish(broker: &Broker, numbers: std::ops::Range<u32>) {
    for number in numbers {
        soon(broker.publish("user.events", UserCreated::numbered(number))).await.unwrap();
    }
}

async fn next(arrived: &mut mpsc::UnboundedReceiver<u32>, count: usize) -> Vec<u32> {
    let mut numbers = Vec::new();
    for _ in 0..count {
        numbers.push(soon(arrived.recv()).await.unwrap());
    }
    numbers
}

/// What a reader that begins at `offset` gets first.
async fn first(broker: &Broker, offset: StreamOffset) -> u32 {
    let (router, mut arrived) = numbers();
    let handle = soon(broker.subscribe(reading(offset), router)).await.unwrap();
    let number = next(&mut arrived, 1).await[0];
    handle.stop().await;
    number
}

#[tokio::test]
async fn every_reader_of_a_stream_gets_all_of_it_from_where_it_likes() {
    let broker = super::in_a_vhost_of_its_own(config()).await;
    let (router, mut arrived) = numbers();
    let handle = soon(broker.subscribe(reading(StreamOffset::First), router.clone())).await.unwrap();
    assert_eq!(handle.next_offset(), None);
    publish(&broker, 0..10).await;
    assert_eq!(next(&mut arrived, 10).await, (0..10).collect::<Vec<_>>());
    // What was read is still there, for another of the same group too.
    let (router, mut again) = numbers();
    let second = soon(broker.subscribe(reading(StreamOffset::First), router)).await.unwrap();
    assert_eq!(next(&mut again, 10).await, (0..10).collect::<Vec<_>>());
    assert_eq!(first(&broker, StreamOffset::Number(7)).await, 7);
    let hour_ago = Timestamp::from_millis(Timestamp::now().as_millis() - 3_600_000);
    assert_eq!(first(&broker, StreamOffset::Timestamp(hour_ago)).await, 0);
    // The last chunk holds one event or a few.
    assert!(first(&broker, StreamOffset::Last).await > 0);
    let (router, mut new) = numbers();
    let third = soon(broker.subscribe(reading(StreamOffset::Next), router)).await.unwrap();
    publish(&broker, 10..11).await;
    assert_eq!(next(&mut new, 1).await, [10]);
    assert_eq!((next(&mut arrived, 1).await, next(&mut again, 1).await), (vec![10], vec![10]));
    for handle in [handle, second, third] {
        handle.stop().await;
    }
}

#[tokio::test]
async fn a_reader_goes_on_where_it_stopped() {
    let broker = super::in_a_vhost_of_its_own(config()).await;
    let (router, mut arrived) = numbers();
    let handle = soon(broker.subscribe(reading(StreamOffset::First), router)).await.unwrap();
    publish(&broker, 0..5).await;
    assert_eq!(next(&mut arrived, 5).await, [0, 1, 2, 3, 4]);
    soon(handle.pause()).await;
    assert_eq!(handle.next_offset(), Some(5));
    publish(&broker, 5..7).await;
    soon(handle.resume()).await;
    assert_eq!(next(&mut arrived, 2).await, [5, 6]);
    soon(handle.pause()).await;
    let offset = handle.next_offset().unwrap();
    handle.stop().await;
    publish(&broker, 7..8).await;
    assert_eq!(first(&broker, StreamOffset::Number(offset)).await, 7);
}

#[tokio::test]
async fn a_failed_event_is_tried_again_in_its_place_and_then_is_a_dead_letter() {
    let broker = super::in_a_vhost_of_its_own(config()).await;
    let (sender, mut attempts) = mpsc::unbounded_channel();
    let router = EventRouter::new().on_outcome(move |event: Event<UserCreated>| {
        let attempt = sap_comm_core::Context::current().attempt();
        let _ = sender.send((event.data.number, attempt));
        async move {
            match event.data.number {
                1 if attempt < 3 => Outcome::Requeue,
                2 => Outcome::Retry { reason: "it never will".into() },
                _ => Outcome::Ack,
            }
        }
    });
    let handle = soon(broker.subscribe(reading(StreamOffset::First), router)).await.unwrap();
    publish(&broker, 0..4).await;
    let mut seen = Vec::new();
    for _ in 0..8 {
        seen.push(soon(attempts.recv()).await.unwrap());
    }
    assert_eq!(seen, [(0, 1), (1, 1), (1, 2), (1, 3), (2, 1), (2, 2), (2, 3), (3, 1)]);
    let letters = broker.dead_letters("user.events", "log");
    let letter = &soon(letters.peek(10)).await.unwrap()[0];
    assert_eq!((letter.reason.as_str(), letter.attempts), ("it never will", 3));
    soon(handle.pause()).await;
    assert_eq!(handle.next_offset(), Some(4), "nothing was written to the stream");
    handle.stop().await;
    // A redrive writes it to the stream once more, for every reader.
    soon(letters.redrive(Round::new())).await.unwrap();
    assert_eq!(first(&broker, StreamOffset::Number(4)).await, 2);
}

#[tokio::test]
async fn several_handlers_of_a_stream_move_its_position_together() {
    let broker = super::in_a_vhost_of_its_own(config()).await;
    let (release, held) = tokio::sync::watch::channel(false);
    let (sender, mut done) = mpsc::unbounded_channel();
    let router = EventRouter::new().on(move |event: Event<UserCreated>| {
        let (mut held, sender) = (held.clone(), sender.clone());
        async move {
            if event.data.number == 0 {
                held.wait_for(|released| *released).await?;
            }
            Ok(sender.send(event.data.number)?)
        }
    });
    let subscription = reading(StreamOffset::First).concurrency(4);
    let handle = soon(broker.subscribe(subscription, router)).await.unwrap();
    publish(&broker, 0..4).await;
    let mut others = next(&mut done, 3).await;
    others.sort_unstable();
    assert_eq!(others, [1, 2, 3]);
    assert_eq!(handle.next_offset(), Some(0), "the first is not settled");
    release.send_replace(true);
    assert_eq!(next(&mut done, 1).await, [0]);
    soon(until(async || handle.next_offset() == Some(4))).await;
}

#[tokio::test]
async fn a_stream_is_read_on_after_its_connection_is_lost() {
    let uri = vhost().await;
    let broker = Broker::connect(&uri, config()).await.unwrap();
    let (router, mut arrived) = numbers();
    let _handle = soon(broker.subscribe(reading(StreamOffset::First), router)).await.unwrap();
    let node = RabbitNode::shared().await.unwrap();
    let mut seen = Vec::new();
    for round in 0..3_u32 {
        publish(&broker, round * 20..round * 20 + 20).await;
        if round < 2 {
            node.close_connections_of(&uri).await.unwrap();
        }
    }
    while seen.last() != Some(&59) {
        seen.extend(next(&mut arrived, 1).await);
    }
    // Some may come twice, in the order of the stream; none is missing, and none of what was settled comes from the start again.
    let mut all = seen.clone();
    all.sort_unstable();
    all.dedup();
    assert_eq!(all, (0..60).collect::<Vec<_>>());
    assert_eq!(seen.iter().filter(|number| **number == 0).count(), 1, "{seen:?}");
}

#[tokio::test]
async fn an_event_of_a_stream_that_could_not_be_buried_is_read_again() {
    let uri = vhost().await;
    let broker = Broker::connect(&uri, config()).await.unwrap();
    let router = EventRouter::new().on(|_: Event<UserCreated>| async { Err(HandlerError::permanent("broken")) });
    let handle = soon(broker.subscribe(reading(StreamOffset::First), router)).await.unwrap();
    let channel = foreign(&uri).await;
    channel.queue_delete("user.events.log.dead".into(), QueueDeleteOptions::default()).await.unwrap();
    publish(&broker, 0..2).await;
    let letters = broker.dead_letters("user.events", "log");
    soon(until(async || matches!(letters.count().await, Ok(count) if count >= 2))).await;
    soon(until(async || handle.next_offset() == Some(2))).await;
}

#[tokio::test]
async fn what_a_stream_cannot_do_is_refused() {
    let broker = super::in_a_vhost_of_its_own(config()).await;
    let refused = async |broker: &Broker, subscription: Subscription, router: EventRouter| {
        soon(broker.subscribe(subscription, router)).await.map(drop).unwrap_err()
    };
    let router = || EventRouter::new().on(|_: Event<UserCreated>| async { Ok(()) });
    let commands = EventRouter::new().on(|_: Event<ReportRequested>| async { Ok(()) });
    let batches = EventRouter::new().on_batch(Batching::of(2), |_: Vec<Event<UserCreated>>| async { Ok(()) });
    let plain = reading(StreamOffset::First);
    for (subscription, router) in [
        (plain.clone().single_active(), router()),
        (plain.clone().ordered_by_key().retry_order(RetryOrder::ReleaseKey), router()),
        (plain.clone(), commands),
        (plain.clone(), batches),
        (plain.clone().stream(Stream::from(StreamOffset::First).max_age(Duration::ZERO)), router()),
    ] {
        let error = refused(&broker, subscription, router).await;
        assert!(matches!(error, SubscribeError::Option { .. }), "{error:?}");
    }
    let memory = Broker::memory(config()).unwrap();
    let error = refused(&memory, plain.clone(), router()).await;
    assert_eq!(error.to_string(), "streams need RabbitMQ 3.9.0; the broker is in memory");
    // A queue that is there keeps its kind and its retention.
    let _handle = soon(broker.subscribe(plain.clone(), router())).await.unwrap();
    let error = refused(&broker, Subscription::new("user.events").group("log"), router()).await;
    let SubscribeError::Topology(difference) = &error else { panic!("{error:?}") };
    assert_eq!(difference.argument.as_deref(), Some("x-queue-type"), "{error}");
    let shorter = Stream::from(StreamOffset::First).max_age(Duration::from_secs(60));
    let error = refused(&broker, plain.stream(shorter), router()).await;
    let SubscribeError::Topology(difference) = &error else { panic!("{error:?}") };
    assert_eq!((difference.argument.as_deref(), difference.expected.as_deref()), (Some("x-max-age"), Some("60s")));
}
