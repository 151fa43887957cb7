//! A cluster that loses nodes.

use std::time::Duration;

use sap_comm_events::{Broker, PublishError, PublishOptions, Subscription};
use sap_comm_testkit::RabbitCluster;
use tokio::sync::{Mutex, MutexGuard, OnceCell};

use super::{Stream, all_arrive, config, eventually, numbers, soon};
use crate::{events::UserCreated, waiting::until};

const QUEUE: &str = "user.events.user-service";

/// The cluster that is broken, by one test at a time.
async fn cluster() -> MutexGuard<'static, RabbitCluster> {
    static CLUSTER: OnceCell<Mutex<RabbitCluster>> = OnceCell::const_new();
    let cluster = CLUSTER.get_or_init(|| async { Mutex::new(RabbitCluster::start(3).await.unwrap()) }).await;
    cluster.lock().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_confirmed_across_a_leader_change_arrives() {
    let cluster = cluster().await;
    let uris = cluster.new_vhost().await.unwrap();
    // A cluster may forget what it was about to confirm: then the next event is published.
    let config = config().publish_deadline(Duration::from_secs(5));
    let broker = Broker::connect(&uris.join(","), config).await.unwrap();
    let (router, mut numbers) = numbers();
    let _handle = broker.subscribe(Subscription::new("user.events").quorum(), router).await.unwrap();
    let stream = Stream::start(&broker, 50);
    let mut seen = Vec::new();
    for _ in 0..2 {
        for _ in 0..200 {
            seen.push(soon(numbers.recv()).await.unwrap());
        }
        let leader = soon(cluster.leader_of(0, &uris[0], QUEUE)).await.unwrap().unwrap();
        let node = &cluster.nodes()[leader];
        node.kill().await.unwrap();
        // The others go on without it.
        for _ in 0..200 {
            seen.push(soon(numbers.recv()).await.unwrap());
        }
        node.restart().await.unwrap();
        // Without it two of three would be gone.
        soon(until(async || cluster.members_of(leader, &uris[0], QUEUE).await.unwrap() == 3)).await;
    }
    let mut missing = stream.finish().await;
    missing.retain(|number| !seen.contains(number));
    all_arrive(&missing, &mut numbers).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_delay_whose_queue_is_away_with_its_node_holds_up_nothing_else() {
    let cluster = cluster().await;
    let uris = cluster.new_vhost().await.unwrap();
    let elsewhere = Broker::connect(&uris[1], config()).await.unwrap();
    let (router, mut numbers) = numbers();
    let _handle = elsewhere.subscribe(Subscription::new("user.events").quorum(), router).await.unwrap();
    // The ladder stands on the node of whoever needed it first.
    let delay = Duration::from_millis(50);
    let first = Broker::connect(&uris[0], config()).await.unwrap();
    soon(first.publish_after("user.events", UserCreated::numbered(0), delay)).await.unwrap();
    assert_eq!(soon(numbers.recv()).await, Some(0));
    cluster.nodes()[0].kill().await.unwrap();
    let delayed = tokio::spawn({
        let broker = elsewhere.clone();
        async move { broker.publish_after("user.events", UserCreated::numbered(1), delay).await }
    });
    eventually("it waits for its ladder", || {
        elsewhere.health().last_error.is_some_and(|error| error.contains("cannot declare"))
    })
    .await;
    // The acknowledgement of the first may have died with the node.
    let mut arrives = async |number| soon(async { while numbers.recv().await != Some(number) {} }).await;
    for number in 2..5 {
        soon(elsewhere.publish("user.events", UserCreated::numbered(number))).await.unwrap();
        arrives(number).await;
    }
    assert!(!delayed.is_finished());
    cluster.nodes()[0].restart().await.unwrap();
    soon(delayed).await.unwrap().unwrap();
    arrives(1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_publish_to_an_unavailable_queue_is_not_taken_for_confirmed() {
    let cluster = cluster().await;
    let uris = cluster.new_vhost().await.unwrap();
    // One connection to the node that stays.
    let broker = Broker::connect(&uris[0], config().window(2)).await.unwrap();
    let (router, mut elsewhere) = numbers();
    let _elsewhere = broker.subscribe("order.events", router).await.unwrap();
    let (router, mut numbers) = numbers();
    let _handle = broker.subscribe(Subscription::new("user.events").quorum(), router).await.unwrap();
    soon(broker.publish("user.events", UserCreated::numbered(0))).await.unwrap();
    assert_eq!(soon(numbers.recv()).await, Some(0));
    // One of three is no majority.
    for node in &cluster.nodes()[1..] {
        node.pause().await.unwrap();
    }
    let brief = PublishOptions::new().deadline(Duration::from_secs(2));
    let error = soon(broker.publish_with("user.events", UserCreated::numbered(1), brief)).await.unwrap_err();
    assert!(matches!(error, PublishError::Unknown { .. } | PublishError::Nacked { .. }), "{error:?}");
    // As many as may be under way wait for that queue: others are not kept from theirs.
    for number in 10..12 {
        let brief = PublishOptions::new().deadline(Duration::from_secs(1));
        let error = soon(broker.publish_with("user.events", UserCreated::numbered(number), brief)).await.unwrap_err();
        assert!(!matches!(error, PublishError::Topology(_)), "{error:?}");
    }
    soon(broker.publish("order.events", UserCreated::numbered(3))).await.unwrap();
    assert_eq!(soon(elsewhere.recv()).await, Some(3));
    for node in &cluster.nodes()[1..] {
        node.resume().await.unwrap();
    }
    soon(broker.publish("user.events", UserCreated::numbered(2))).await.unwrap();
    soon(async { while numbers.recv().await != Some(2) {} }).await;
}
