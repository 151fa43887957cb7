//! A broker that dies, freezes, blocks, or is cut off.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use sap_comm_core::Context;
use sap_comm_events::{Broker, BrokerState, OverflowPolicy, PublishError, PublishOptions, Subscription};
use sap_comm_testkit::{Direction, RabbitNode, Relay};
use tokio::time::Instant;

use super::{Stream, all_arrive, breakable, config, eventually, numbers, soon, vhost};
use crate::{conformance::held_back, events::UserCreated, waiting::until};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_broker_loses_nothing_that_was_confirmed_and_the_consumer_resumes() {
    let node = breakable().await;
    let uri = node.new_vhost().await.unwrap();
    let broker = Broker::connect(&uri, config()).await.unwrap();
    let (router, mut numbers) = numbers();
    let _handle = broker.subscribe("user.events", router).await.unwrap();
    let stream = Stream::start(&broker, 100);
    let mut seen = Vec::new();
    for _ in 0..2 {
        for _ in 0..500 {
            seen.push(soon(numbers.recv()).await.unwrap());
        }
        node.kill().await.unwrap();
        eventually("the loss is noticed", || broker.health().state == BrokerState::Reconnecting).await;
        node.restart().await.unwrap();
        let back = Instant::now();
        eventually("the connection is back", || broker.health().is_ready()).await;
        assert!(back.elapsed() < Duration::from_secs(5), "recovery took {:?}", back.elapsed());
    }
    for _ in 0..100 {
        seen.push(soon(numbers.recv()).await.unwrap());
    }
    let mut missing = stream.finish().await;
    missing.retain(|number| !seen.contains(number));
    all_arrive(&missing, &mut numbers).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn delayed_events_survive_a_restart_of_the_broker() {
    let node = breakable().await;
    let uri = node.new_vhost().await.unwrap();
    let broker = Broker::connect(&uri, config()).await.unwrap();
    let (router, mut numbers) = numbers();
    let _handle = broker.subscribe("user.events", router).await.unwrap();
    // The first are due while the broker is away, the last after it is back.
    for (number, delay) in [2_000, 3_000, 15_000].into_iter().enumerate() {
        let delay = Duration::from_millis(delay);
        broker.publish_after("user.events", UserCreated::numbered(number as u32), delay).await.unwrap();
    }
    node.restart().await.unwrap();
    let mut seen = Vec::new();
    for _ in 0..3 {
        seen.push(soon(numbers.recv()).await.unwrap());
    }
    seen.sort_unstable();
    assert_eq!(seen, [0, 1, 2]);
    // The ladder is there again for a new connection, and for one more exchange.
    let (router, mut others) = super::numbers();
    let _other = broker.subscribe("other.events", router).await.unwrap();
    broker.publish_after("other.events", UserCreated::numbered(3), Duration::from_millis(100)).await.unwrap();
    assert_eq!(soon(others.recv()).await, Some(3));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_event_confirmed_over_lost_connections_arrives() {
    let node = RabbitNode::shared().await.unwrap();
    let relay = Relay::start(format!("127.0.0.1:{}", node.port())).await.unwrap();
    let broker = Broker::connect(&relay.through(&vhost().await), config()).await.unwrap();
    let (router, mut numbers) = numbers();
    let _handle = broker.subscribe("user.events", router).await.unwrap();
    let stream = Stream::start(&broker, 50);
    let mut seen = Vec::new();
    for _ in 0..5 {
        for _ in 0..100 {
            seen.push(soon(numbers.recv()).await.unwrap());
        }
        relay.reset().await.unwrap();
    }
    for _ in 0..100 {
        seen.push(soon(numbers.recv()).await.unwrap());
    }
    let mut missing = stream.finish().await;
    missing.retain(|number| !seen.contains(number));
    all_arrive(&missing, &mut numbers).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_closed_by_the_broker_are_made_again() {
    let node = RabbitNode::shared().await.unwrap();
    let uri = vhost().await;
    let broker = Broker::connect(&uri, config()).await.unwrap();
    let (router, mut numbers) = numbers();
    let _handle = broker.subscribe("user.events", router).await.unwrap();
    let stream = Stream::start(&broker, 20);
    for _ in 0..3 {
        assert_eq!(node.close_connections_of(&uri).await.unwrap(), 2);
        eventually("the loss is noticed", || !broker.health().is_ready()).await;
        eventually("the connections are back", || broker.health().is_ready()).await;
    }
    assert!(broker.health().last_error.is_some());
    let confirmed = stream.finish().await;
    all_arrive(&confirmed, &mut numbers).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn publishes_end_within_their_deadline_while_the_broker_closes_their_connection() {
    const DEADLINE: Duration = Duration::from_secs(2);
    let node = RabbitNode::shared().await.unwrap();
    let uri = vhost().await;
    let broker = Broker::connect(&uri, config()).await.unwrap();
    let (router, mut numbers) = numbers();
    let _handle = broker.subscribe("user.events", router).await.unwrap();
    let ended = Arc::new(AtomicU32::new(0));
    let publishing = (0..4_u32).map(|publisher| {
        let (broker, ended) = (broker.clone(), Arc::clone(&ended));
        tokio::spawn(async move {
            let (mut confirmed, mut slowest) = (Vec::new(), Duration::ZERO);
            for number in publisher * 10_000..publisher * 10_000 + 500 {
                let (options, begun) = (PublishOptions::new().deadline(DEADLINE), Instant::now());
                if broker.publish_with("user.events", UserCreated::numbered(number), options).await.is_ok() {
                    confirmed.push(number);
                }
                slowest = slowest.max(begun.elapsed());
                ended.fetch_add(1, Ordering::Relaxed);
            }
            (confirmed, slowest)
        })
    });
    let publishing: Vec<_> = publishing.collect();
    let is_over = || publishing.iter().all(|publisher| publisher.is_finished());
    while !is_over() {
        let before = ended.load(Ordering::Relaxed);
        node.close_connections_of(&uri).await.unwrap();
        eventually("publishes end", || is_over() || ended.load(Ordering::Relaxed) >= before + 100).await;
    }
    let mut all = Vec::new();
    for publisher in publishing {
        let (confirmed, slowest) = publisher.await.unwrap();
        assert!(slowest < DEADLINE + Duration::from_secs(1), "{slowest:?}");
        all.extend(confirmed);
    }
    assert!(!all.is_empty());
    all_arrive(&all, &mut numbers).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_publish_to_a_frozen_broker_ends_within_its_deadline() {
    let node = breakable().await;
    let uri = node.new_vhost().await.unwrap();
    let broker = Broker::connect(&uri, config()).await.unwrap();
    let (router, mut numbers) = numbers();
    let _handle = broker.subscribe("user.events", router).await.unwrap();
    broker.publish("user.events", UserCreated::numbered(0)).await.unwrap();
    node.pause().await.unwrap();
    let start = Instant::now();
    let options = PublishOptions::new().deadline(Duration::from_secs(1));
    let error = broker.publish_with("user.events", UserCreated::numbered(1), options).await.unwrap_err();
    assert!(matches!(error, PublishError::Unknown { .. }) && error.is_transient(), "{error:?}");
    let context = Context::root().with_timeout(Duration::from_millis(500));
    let error = context.scope(broker.publish("user.events", UserCreated::numbered(2))).await.unwrap_err();
    assert!(matches!(error, PublishError::Unknown { .. }), "{error:?}");
    let waited = start.elapsed();
    assert!(waited >= Duration::from_millis(1_500) && waited < Duration::from_secs(3), "{waited:?}");
    node.resume().await.unwrap();
    // Unknown is what it said: the broker had them.
    for number in 0..3 {
        assert_eq!(soon(numbers.recv()).await, Some(number));
    }
    broker.publish("user.events", UserCreated::numbered(3)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_half_open_connection_is_noticed_by_its_heartbeat() {
    let node = RabbitNode::shared().await.unwrap();
    let relay = Relay::start(format!("127.0.0.1:{}", node.port())).await.unwrap();
    let uri = format!("{}?heartbeat=1", relay.through(&vhost().await));
    let broker = Broker::connect(&uri, config()).await.unwrap();
    let (router, mut numbers) = numbers();
    let _handle = broker.subscribe("user.events", router).await.unwrap();
    relay.freeze(Direction::Both);
    let publishing = tokio::spawn({
        let broker = broker.clone();
        async move { broker.publish("user.events", UserCreated::numbered(1)).await }
    });
    eventually("the silence is noticed", || broker.health().state == BrokerState::Reconnecting).await;
    relay.pass().await.unwrap();
    soon(publishing).await.unwrap().unwrap();
    assert_eq!(soon(numbers.recv()).await, Some(1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_memory_alarm_blocks_publishers_and_is_reported() {
    let node = breakable().await;
    let uri = node.new_vhost().await.unwrap();
    let broker = Broker::connect(&uri, config()).await.unwrap();
    let refusing = Broker::connect(&uri, config().offline(OverflowPolicy::Refuse)).await.unwrap();
    let (router, mut numbers) = numbers();
    let _handle = broker.subscribe("user.events", router).await.unwrap();
    for client in [&broker, &refusing] {
        client.publish("user.events", UserCreated::numbered(0)).await.unwrap();
    }
    node.set_memory_alarm(true).await.unwrap();
    // The broker tells a connection that it is blocked when that connection publishes.
    let brief = || PublishOptions::new().deadline(Duration::from_millis(500));
    for client in [&broker, &refusing] {
        let error = client.publish_with("user.events", UserCreated::numbered(1), brief()).await.unwrap_err();
        assert!(matches!(error, PublishError::Blocked { .. } | PublishError::Unknown { .. }), "{error:?}");
    }
    eventually("the alarm is reported", || broker.health().state == BrokerState::Blocked).await;
    let start = Instant::now();
    let error = broker.publish_with("user.events", UserCreated::numbered(2), brief()).await.unwrap_err();
    assert!(matches!(&error, PublishError::Blocked { reason } if reason.contains("memory")), "{error:?}");
    assert!(start.elapsed() < Duration::from_secs(2));
    eventually("the alarm is reported", || refusing.health().state == BrokerState::Blocked).await;
    let start = Instant::now();
    let error = refusing.publish("user.events", UserCreated::numbered(3)).await.unwrap_err();
    assert!(matches!(error, PublishError::Blocked { .. }), "{error:?}");
    assert!(start.elapsed() < Duration::from_millis(200), "refused at once");
    node.set_memory_alarm(false).await.unwrap();
    eventually("the all-clear is reported", || broker.health().is_ready()).await;
    broker.publish("user.events", UserCreated::numbered(9)).await.unwrap();
    soon(async { while numbers.recv().await != Some(9) {} }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_while_the_broker_is_away_is_bounded_and_sent_later() {
    let node = RabbitNode::shared().await.unwrap();
    let relay = Relay::start(format!("127.0.0.1:{}", node.port())).await.unwrap();
    let config = config().queue_capacity(10).overflow(OverflowPolicy::Refuse);
    let broker = Broker::connect(&relay.through(&vhost().await), config).await.unwrap();
    let (router, mut numbers) = numbers();
    let _handle = broker.subscribe("user.events", router).await.unwrap();
    relay.cut().await.unwrap();
    eventually("the loss is noticed", || broker.health().state == BrokerState::Reconnecting).await;
    let publish = |number| {
        let broker = broker.clone();
        tokio::spawn(async move { broker.publish("user.events", UserCreated::numbered(number)).await })
    };
    let waiting: Vec<_> = (0..10).map(publish).collect();
    eventually("ten events wait", || broker.health().pending == 10).await;
    let error = publish(10).await.unwrap().unwrap_err();
    assert!(matches!(error, PublishError::QueueFull { capacity: 10 }), "{error:?}");
    relay.pass().await.unwrap();
    for published in waiting {
        soon(published).await.unwrap().unwrap();
    }
    let mut seen = Vec::new();
    for _ in 0..10 {
        seen.push(soon(numbers.recv()).await.unwrap());
    }
    seen.sort_unstable();
    assert_eq!(seen, (0..10).collect::<Vec<_>>());
    relay.cut().await.unwrap();
    eventually("the loss is noticed", || broker.health().state == BrokerState::Reconnecting).await;
    let brief = PublishOptions::new().deadline(Duration::from_millis(200));
    // The connection for publishing may notice a moment later than the one for consuming: this one may have been sent.
    broker.publish_with("user.events", UserCreated::numbered(12), brief.clone()).await.unwrap_err();
    let error = broker.publish_with("user.events", UserCreated::numbered(11), brief).await.unwrap_err();
    assert!(matches!(error, PublishError::Unavailable { .. }), "never sent: {error:?}");
    eventually("an abandoned event is forgotten", || broker.health().pending == 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_acknowledgement_over_a_lost_connection_does_no_harm() {
    let node = RabbitNode::shared().await.unwrap();
    let uri = vhost().await;
    let broker = Broker::connect(&uri, config()).await.unwrap();
    let (router, mut started, release) = held_back();
    let _handle = broker.subscribe("user.events", router).await.unwrap();
    broker.publish("user.events", UserCreated::numbered(1)).await.unwrap();
    assert_eq!(soon(started.recv()).await, Some(1));
    node.close_connections_of(&uri).await.unwrap();
    eventually("the loss is noticed", || !broker.health().is_ready()).await;
    eventually("the connections are back", || broker.health().is_ready()).await;
    release.add_permits(10);
    // The first acknowledgement came to nothing, so the event is handled once more; the consumer lives on.
    assert_eq!(soon(started.recv()).await, Some(1));
    broker.publish("user.events", UserCreated::numbered(2)).await.unwrap();
    assert_eq!(soon(started.recv()).await, Some(2));
    let refused = broker.health().last_error.filter(|error| error.contains("consuming channel"));
    assert_eq!(refused, None, "the old tag closed no channel");
    broker.close(super::LIMIT).await;
    assert_eq!(node.queue_depth(&uri, "user.events.user-service").await.unwrap(), Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn closing_while_the_broker_is_frozen_is_bounded() {
    let node = RabbitNode::shared().await.unwrap();
    let relay = Relay::start(format!("127.0.0.1:{}", node.port())).await.unwrap();
    let broker = Broker::connect(&relay.through(&vhost().await), config()).await.unwrap();
    let (router, _numbers) = numbers();
    let _handle = broker.subscribe("user.events", router).await.unwrap();
    relay.freeze(Direction::Both);
    let publishing = tokio::spawn({
        let broker = broker.clone();
        async move { broker.publish("user.events", UserCreated::numbered(1)).await }
    });
    eventually("the event is under way", || broker.health().pending == 1).await;
    let start = Instant::now();
    broker.close(Duration::from_millis(500)).await;
    assert!(start.elapsed() < Duration::from_secs(6), "closing took {:?}", start.elapsed());
    let error = soon(publishing).await.unwrap().unwrap_err();
    assert!(matches!(error, PublishError::Unknown { .. } | PublishError::Closed), "{error:?}");
    assert_eq!(broker.health().state, BrokerState::Closed);
}

/// A handler that takes longer than `limit` milliseconds costs the consumer its channel, as the broker looks every `tick`.
async fn with_patience(node: &RabbitNode, limit: u32, tick: u32) {
    let limits = format!(
        "application:set_env(rabbit, consumer_timeout, {limit}), application:set_env(rabbit, channel_tick_interval, {tick})"
    );
    node.eval(&limits).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_consumer_whose_channel_the_broker_closes_consumes_again() {
    let node = breakable().await;
    with_patience(&node, 1_000, 200).await;
    let broker = Broker::connect(&node.new_vhost().await.unwrap(), config()).await.unwrap();
    let (router, mut started, release) = held_back();
    let _handle = broker.subscribe("user.events", router).await.unwrap();
    broker.publish("user.events", UserCreated::numbered(1)).await.unwrap();
    assert_eq!(soon(started.recv()).await, Some(1));
    let closed = |log: String| log.contains("delivery acknowledgement on channel");
    eventually("the broker loses patience", || closed(node.log_tail())).await;
    release.add_permits(10);
    assert_eq!(soon(started.recv()).await, Some(1));
    let error = broker.health().last_error.unwrap();
    assert!(error.contains("closed the consuming channel") && error.contains("timeout"), "{error}");
    with_patience(&node, 1_800_000, 60_000).await;
    broker.publish("user.events", UserCreated::numbered(2)).await.unwrap();
    assert_eq!(soon(started.recv()).await, Some(2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_that_outlives_its_channel_each_time_becomes_a_dead_letter() {
    let node = breakable().await;
    with_patience(&node, 1_000, 200).await;
    let uri = node.new_vhost().await.unwrap();
    for subscription in [Subscription::new("user.events"), Subscription::new("user.events").quorum().group("q")] {
        let broker = Broker::connect(&uri, config().max_redeliveries(1)).await.unwrap();
        let (router, mut started, release) = held_back();
        let group = if format!("{subscription:?}").contains("Quorum") { "q" } else { "user-service" };
        let _handle = broker.subscribe(subscription, router).await.unwrap();
        broker.publish("user.events", UserCreated::numbered(1)).await.unwrap();
        let letters = broker.dead_letters("user.events", group);
        let mut begun = 0;
        loop {
            tokio::select! {
                number = soon(started.recv()) => assert_eq!(number, Some(1)),
                () = until(async || letters.count().await.unwrap() > 0) => break,
            }
            begun += 1;
            // The broker loses patience, and has the event again.
            soon(until(async || broker.lag("user.events", group).await.unwrap() == Some(1))).await;
            release.add_permits(1);
        }
        // What ends while the broker's word is still on its way has not outlived its channel yet.
        assert!((2..=3).contains(&begun), "{begun}");
        assert!(letters.peek(1).await.unwrap()[0].reason.contains("more than 1 times"));
        assert!(started.try_recv().is_err());
        soon(broker.close(super::LIMIT)).await;
    }
    with_patience(&node, 1_800_000, 60_000).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_ephemeral_consumer_keeps_its_queue_while_its_handlers_are_busy() {
    let node = RabbitNode::shared().await.unwrap();
    for (concurrency, pauses) in [(1, false), (2, false), (1, true), (2, true)] {
        let uri = vhost().await;
        let (_, vhost) = uri.rsplit_once('/').unwrap();
        let broker = Broker::connect(&uri, config()).await.unwrap();
        let (router, mut started, release) = held_back();
        let subscription = Subscription::new("user.events").ephemeral().concurrency(concurrency);
        let handle = Arc::new(broker.subscribe(subscription, router).await.unwrap());
        for number in 0..2 {
            broker.publish("user.events", UserCreated::numbered(number)).await.unwrap();
        }
        for _ in 0..concurrency {
            soon(started.recv()).await.unwrap();
        }
        let pausing = pauses.then(|| {
            let handle = Arc::clone(&handle);
            tokio::spawn(async move { handle.pause().await })
        });
        node.close_connections_of(vhost).await.unwrap();
        eventually("the loss is noticed", || !broker.health().is_ready()).await;
        // A queue without a consumer is gone after a minute.
        let consumers = async || {
            let listed =
                node.ctl(&["list_queues", "-p", vhost, "--no-table-headers", "-q", "consumers"]).await.unwrap();
            listed.trim().to_owned()
        };
        soon(until(async || broker.health().is_ready() && consumers().await == "1")).await;
        release.add_permits(10);
        if let Some(pausing) = pausing {
            soon(pausing).await.unwrap();
            soon(handle.resume()).await;
        }
        soon(broker.publish("user.events", UserCreated::numbered(2))).await.unwrap();
        soon(async { while started.recv().await != Some(2) {} }).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_is_bounded_in_bytes_too() {
    let node = RabbitNode::shared().await.unwrap();
    let relay = Relay::start(format!("127.0.0.1:{}", node.port())).await.unwrap();
    let config = config().queue_capacity(100).queue_bytes(100_000).overflow(OverflowPolicy::Refuse);
    let broker = Broker::connect(&relay.through(&vhost().await), config).await.unwrap();
    let (router, mut numbers) = numbers();
    let _handle = broker.subscribe("user.events", router).await.unwrap();
    relay.cut().await.unwrap();
    eventually("the loss is noticed", || broker.health().state == BrokerState::Reconnecting).await;
    let publish = |number, size| {
        let broker = broker.clone();
        let event = UserCreated { user_id: "x".repeat(size), number };
        tokio::spawn(async move { broker.publish("user.events", event).await })
    };
    let large = publish(1, 60_000);
    eventually("the large one waits", || broker.health().pending == 1).await;
    let error = publish(2, 60_000).await.unwrap().unwrap_err();
    assert!(matches!(error, PublishError::QueueFull { capacity: 100 }), "{error:?}");
    let small = publish(3, 1_000);
    eventually("the small one waits", || broker.health().pending == 2).await;
    relay.pass().await.unwrap();
    for published in [large, small] {
        soon(published).await.unwrap().unwrap();
    }
    assert_eq!((soon(numbers.recv()).await, soon(numbers.recv()).await), (Some(1), Some(3)));
    // One that is larger than all of the queue goes alone.
    soon(publish(4, 300_000)).await.unwrap().unwrap();
    assert_eq!(soon(numbers.recv()).await, Some(4));
}
