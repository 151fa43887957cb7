//! Much at once, and for long, while things break.

use std::time::Duration;

use futures_util::{StreamExt, stream::FuturesUnordered};
use sap_comm_core::Event;
use sap_comm_events::{Broker, BrokerState, EventRouter, PublishError, PublishOptions, Subscription};
use sap_comm_testkit::{Direction, RabbitNode, Relay};
use tokio::sync::mpsc;

use super::{LIMIT, breakable, config, eventually, foreign, numbers, soon, vhost};
use crate::{events::UserCreated, waiting::until};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_events_of_a_hundred_publishers_survive_two_restarts() {
    let node = breakable().await;
    let uri = node.new_vhost().await.unwrap();
    let broker = Broker::connect(&uri, config().publish_deadline(LIMIT * 5)).await.unwrap();
    let (router, mut numbers) = numbers();
    let _handle = broker.subscribe("user.events", router).await.unwrap();
    let publishers: Vec<_> = (0..100_u32)
        .map(|publisher| {
            let broker = broker.clone();
            tokio::spawn(async move {
                for number in publisher * 100..(publisher + 1) * 100 {
                    // A broker that has just come back may refuse what it was sent before: then nobody knows, and it is safe to ask again.
                    while let Err(error) = broker.publish("user.events", UserCreated::numbered(number)).await {
                        assert!(error.is_transient(), "{error}; {:?}", broker.health());
                    }
                }
            })
        })
        .collect();
    let (mut seen, mut count) = (vec![false; 10_000], 0);
    while count < 10_000 {
        let Ok(number) = tokio::time::timeout(LIMIT * 5, numbers.recv()).await else {
            panic!("{count} events arrived; {:?}", broker.health());
        };
        if !std::mem::replace(&mut seen[number.unwrap() as usize], true) {
            count += 1;
            if [3_333, 5_000].contains(&count) {
                node.kill().await.unwrap();
                node.restart().await.unwrap();
            }
        }
    }
    for publisher in publishers {
        soon(publisher).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_published_ahead_of_their_confirms_keep_their_order_over_lost_connections() {
    let node = RabbitNode::shared().await.unwrap();
    let relay = Relay::start(format!("127.0.0.1:{}", node.port())).await.unwrap();
    let broker = Broker::connect(&relay.through(&vhost().await), config()).await.unwrap();
    let (router, mut numbers) = numbers();
    let _handle = broker.subscribe(Subscription::new("user.events").single_active(), router).await.unwrap();
    let publishing = tokio::spawn(async move {
        let mut under_way = FuturesUnordered::new();
        for number in 0..2_000 {
            while under_way.len() >= 32 {
                let published: Option<Result<_, PublishError>> = under_way.next().await;
                published.unwrap().unwrap();
            }
            let broker = broker.clone();
            under_way.push(async move { broker.publish("user.events", UserCreated::numbered(number)).await });
        }
        while let Some(published) = under_way.next().await {
            published.unwrap();
        }
    });
    let mut expected = 0;
    while expected < 2_000 {
        let number = soon(numbers.recv()).await.unwrap();
        assert!(number <= expected, "{number} came before {expected}");
        if number == expected {
            expected += 1;
            if expected % 300 == 0 {
                relay.reset().await.unwrap();
            }
        }
    }
    soon(publishing).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_publish_whose_confirm_never_comes_is_not_taken_for_success() {
    let node = RabbitNode::shared().await.unwrap();
    let relay = Relay::start(format!("127.0.0.1:{}", node.port())).await.unwrap();
    let uri = vhost().await;
    let consumer = Broker::connect(&uri, config()).await.unwrap();
    let (router, mut numbers) = numbers();
    let _handle = consumer.subscribe("user.events", router).await.unwrap();
    let publisher = Broker::connect(&relay.through(&uri), config()).await.unwrap();
    publisher.publish("user.events", UserCreated::numbered(0)).await.unwrap();
    relay.freeze(Direction::ToClient);
    let brief = PublishOptions::new().deadline(Duration::from_secs(1));
    let error = publisher.publish_with("user.events", UserCreated::numbered(1), brief).await.unwrap_err();
    assert!(matches!(error, PublishError::Unknown { .. }), "{error:?}");
    assert_eq!((soon(numbers.recv()).await, soon(numbers.recv()).await), (Some(0), Some(1)), "the broker had it");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn closing_loses_no_acknowledgement_and_makes_no_dead_letter() {
    let uri = vhost().await;
    let (sender, mut handled) = mpsc::unbounded_channel();
    let router = EventRouter::new().on(move |event: Event<UserCreated>| {
        let sender = sender.clone();
        async move {
            tokio::task::yield_now().await;
            Ok(sender.send(event.data.number)?)
        }
    });
    let publisher = Broker::connect(&uri, config()).await.unwrap();
    let mut seen = vec![0; 400];
    let mut published = false;
    for round in 0..4 {
        let broker = Broker::connect(&uri, config()).await.unwrap();
        let subscription = Subscription::new("user.events").concurrency(4);
        let _handle = broker.subscribe(subscription, router.clone()).await.unwrap();
        if !std::mem::replace(&mut published, true) {
            let all = (0..400).map(|number| publisher.publish("user.events", UserCreated::numbered(number)));
            futures_util::future::try_join_all(all).await.unwrap();
        }
        while round == 3 && seen.contains(&0) || round < 3 && seen.iter().sum::<u32>() < 80 * (round + 1) {
            seen[soon(handled.recv()).await.unwrap() as usize] += 1;
        }
        broker.close(LIMIT).await;
        assert_eq!(broker.health().last_error, None, "closing is no loss of the connection");
        while let Ok(number) = handled.try_recv() {
            seen[number as usize] += 1;
        }
    }
    assert!(seen.iter().all(|times| *times == 1), "{seen:?}");
    assert_eq!(publisher.dead_letters("user.events", "user-service").count().await.unwrap(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn subscriptions_that_come_and_go_leave_no_channel() {
    let node = RabbitNode::shared().await.unwrap();
    let uri = vhost().await;
    let (_, vhost) = uri.rsplit_once('/').unwrap();
    let broker = Broker::connect(&uri, config()).await.unwrap();
    let (router, _gone) = numbers();
    broker.subscribe("user.events", router.clone()).await.unwrap().stop().await;
    broker.publish("user.events", UserCreated::numbered(0)).await.unwrap();
    let channels = async || {
        let ours = format!(
            "length([C || C <- rabbit_channel:list(), (catch rabbit_channel:info(C, [vhost])) =:= [{{vhost, <<\"{vhost}\">>}}]])"
        );
        node.eval(&ours).await.unwrap().parse::<u32>().unwrap()
    };
    let before = channels().await;
    for _ in 0..20 {
        broker.subscribe("user.events", router.clone()).await.unwrap().stop().await;
        // The queue is a classic one.
        broker.subscribe(Subscription::new("user.events").quorum(), router.clone()).await.unwrap_err();
        broker.publish("user.events", UserCreated::numbered(0)).await.unwrap();
        broker.dead_letters("user.events", "nobody").count().await.unwrap_err();
    }
    soon(until(async || channels().await <= before)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_ephemeral_queue_that_is_gone_is_declared_again() {
    let node = RabbitNode::shared().await.unwrap();
    let uri = vhost().await;
    let (_, vhost) = uri.rsplit_once('/').unwrap();
    let broker = Broker::connect(&uri, config()).await.unwrap();
    let (router, mut numbers) = numbers();
    let _handle = broker.subscribe(Subscription::new("user.events").ephemeral(), router).await.unwrap();
    let queues = node.ctl(&["list_queues", "--quiet", "--no-table-headers", "-p", vhost, "name"]).await.unwrap();
    let channel = foreign(&uri).await;
    channel.queue_delete(queues.trim().into(), Default::default()).await.unwrap();
    soon(until(async || broker.publish("user.events", UserCreated::numbered(1)).await.is_ok())).await;
    assert_eq!(soon(numbers.recv()).await, Some(1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_broker_is_given_up_and_nothing_grows_meanwhile() {
    let node = RabbitNode::shared().await.unwrap();
    let relay = Relay::start(format!("127.0.0.1:{}", node.port())).await.unwrap();
    let uri = format!("{}?heartbeat=1", relay.through(&vhost().await));
    let broker = Broker::connect(&uri, config().queue_capacity(10)).await.unwrap();
    let (router, mut numbers) = numbers();
    let _handle = broker.subscribe("user.events", router).await.unwrap();
    relay.freeze(Direction::Both);
    eventually("the silence is noticed", || broker.health().state == BrokerState::Reconnecting).await;
    let publish = |number| {
        let (broker, brief) = (broker.clone(), PublishOptions::new().deadline(Duration::from_secs(2)));
        async move { broker.publish_with("user.events", UserCreated::numbered(number), brief).await }
    };
    let publishing = tokio::spawn(futures_util::future::join_all((0..200).map(publish)));
    eventually("as many wait as may", || broker.health().pending == 10).await;
    soon(until(async || {
        assert!(broker.health().pending <= 10);
        publishing.is_finished()
    }))
    .await;
    for published in publishing.await.unwrap() {
        assert!(published.unwrap_err().is_transient());
    }
    relay.pass().await.unwrap();
    soon(broker.publish("user.events", UserCreated::numbered(999))).await.unwrap();
    soon(async { while numbers.recv().await != Some(999) {} }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn order_survives_a_connection_that_the_broker_takes_for_alive() {
    let node = RabbitNode::shared().await.unwrap();
    let target = format!("127.0.0.1:{}", node.port());
    let relays = [Relay::start(&target).await.unwrap(), Relay::start(&target).await.unwrap()];
    let uri = vhost().await;
    let urls = relays.each_ref().map(|relay| format!("{}?heartbeat=1", relay.through(&uri))).join(",");
    let consumer = Broker::connect(&urls, config()).await.unwrap();
    let (router, mut numbers) = numbers();
    let _handle = consumer.subscribe(Subscription::new("user.events").single_active(), router).await.unwrap();
    let publisher = Broker::connect(&uri, config()).await.unwrap();
    let publishing = tokio::spawn(async move {
        for number in 0.. {
            publisher.publish("user.events", UserCreated::numbered(number)).await.unwrap();
        }
    });
    let (mut expected, mut until) = (0, 200);
    for frozen in [0, 1, 0] {
        while expected < until {
            let number = soon(numbers.recv()).await.unwrap();
            assert!(number <= expected, "{number} came before {expected}");
            expected = expected.max(number + 1);
        }
        // Deliveries are on their way, and some stay there.
        relays[frozen].freeze(Direction::Both);
        until = expected + 400;
        while expected < until {
            let number = soon(numbers.recv()).await.unwrap();
            assert!(number <= expected, "{number} came before {expected}");
            expected = expected.max(number + 1);
        }
        until = expected + 200;
        relays[frozen].pass().await.unwrap();
    }
    publishing.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_ephemeral_consumer_keeps_its_queue_over_a_pause_and_a_lost_connection() {
    let uri = vhost().await;
    let (_, vhost) = uri.rsplit_once('/').unwrap();
    let node = RabbitNode::shared().await.unwrap();
    let broker = Broker::connect(&uri, config()).await.unwrap();
    let (router, mut numbers) = numbers();
    let handle = broker.subscribe(Subscription::new("user.events").ephemeral(), router).await.unwrap();
    broker.publish("user.events", UserCreated::numbered(1)).await.unwrap();
    assert_eq!(soon(numbers.recv()).await, Some(1));
    soon(handle.pause()).await;
    broker.publish("user.events", UserCreated::numbered(2)).await.unwrap();
    node.close_connections_of(vhost).await.unwrap();
    eventually("the loss is noticed", || !broker.health().is_ready()).await;
    // A queue without a consumer is gone after a minute.
    let consumers = async || {
        let listed = node.ctl(&["list_queues", "-p", vhost, "--no-table-headers", "-q", "consumers"]).await.unwrap();
        listed.trim().to_owned()
    };
    soon(until(async || broker.health().is_ready() && consumers().await == "1")).await;
    soon(broker.publish("user.events", UserCreated::numbered(3))).await.unwrap();
    assert!(handle.is_paused() && numbers.try_recv().is_err());
    soon(handle.resume()).await;
    // The broker may deliver the later one before it knows that the first connection is gone.
    let mut seen = [soon(numbers.recv()).await, soon(numbers.recv()).await];
    seen.sort_unstable();
    assert_eq!(seen, [Some(2), Some(3)]);
    soon(handle.stop()).await;
}
