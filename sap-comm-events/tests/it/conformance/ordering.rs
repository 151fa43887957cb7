//! Order among the events of a key, with several handlers at once.

use std::{collections::HashMap, sync::Arc};

use sap_comm_events::{OrderingKey, PublishOptions, RetryOrder};
use tokio::sync::Semaphore;

use super::*;

fn keyed(key: &str) -> PublishOptions {
    PublishOptions::new().ordering_key(key)
}

/// The number's key: even ones belong together, and odd ones.
fn parity(number: u32) -> &'static str {
    if number.is_multiple_of(2) { "even" } else { "odd" }
}

pub(crate) async fn events_of_a_key_are_handled_one_at_a_time_in_order<F: Future<Output = Broker>>(
    broker: impl Fn(BrokerConfig) -> F,
) {
    let broker = broker(config()).await;
    let (sender, mut handled) = mpsc::unbounded_channel();
    let running = Arc::new(parking_lot::Mutex::new(HashMap::<u32, u32>::new()));
    let router = EventRouter::new().on(move |event: Event<UserCreated>| {
        let (sender, running) = (sender.clone(), running.clone());
        async move {
            let key = event.data.number % 10;
            let at_once = {
                let mut running = running.lock();
                *running.entry(key).or_default() += 1;
                running[&key]
            };
            for _ in 0..event.data.number % 7 {
                tokio::task::yield_now().await;
            }
            *running.lock().entry(key).or_default() -= 1;
            Ok(sender.send((event.data.number, at_once))?)
        }
    });
    let subscription = Subscription::new("user.events").concurrency(4).ordered_by_key();
    let _handle = broker.subscribe(subscription, router).await.unwrap();
    let publishes = (0..500).map(|number| {
        broker.publish_with("user.events", UserCreated::numbered(number), keyed(&(number % 10).to_string()))
    });
    for published in futures_util::future::join_all(publishes).await {
        published.unwrap();
    }
    let mut last = HashMap::<u32, u32>::new();
    for _ in 0..500 {
        let (number, at_once) = soon(handled.recv()).await.unwrap();
        assert_eq!(at_once, 1, "two events of one key at once");
        let before = last.insert(number % 10, number);
        assert!(before.is_none_or(|before| before + 10 == number), "{number} after {before:?}");
    }
}

pub(crate) async fn different_keys_do_not_wait_for_each_other<F: Future<Output = Broker>>(
    broker: impl Fn(BrokerConfig) -> F,
) {
    let broker = broker(config()).await;
    let (sender, mut handled) = mpsc::unbounded_channel();
    let release = Arc::new(Semaphore::new(0));
    let held = release.clone();
    let router = EventRouter::new().on(move |event: Event<UserCreated>| {
        let (sender, held) = (sender.clone(), held.clone());
        async move {
            if event.data.number == 0 {
                held.acquire().await?.forget();
            }
            Ok(sender.send(event.data.number)?)
        }
    });
    let subscription = Subscription::new("user.events").concurrency(2).ordered_by_key();
    let _handle = broker.subscribe(subscription, router).await.unwrap();
    for number in 0..20 {
        broker.publish_with("user.events", UserCreated::numbered(number), keyed(parity(number))).await.unwrap();
    }
    for number in (1..20).step_by(2) {
        assert_eq!(soon(handled.recv()).await, Some(number), "the even ones wait for 0, the odd ones for nobody");
    }
    release.add_permits(1);
    for number in (0..20).step_by(2) {
        assert_eq!(soon(handled.recv()).await, Some(number));
    }
}

/// Handles twelve events of two keys, of which the first fails once; returns the numbers in the order they succeed in.
async fn with_a_retry<F: Future<Output = Broker>>(broker: impl Fn(BrokerConfig) -> F, order: RetryOrder) -> Vec<u32> {
    // Long enough for everything else to be handled meanwhile.
    let broker = broker(config().retry_delays([1_500].map(Duration::from_millis))).await;
    let (sender, mut handled) = mpsc::unbounded_channel();
    let router = EventRouter::new().on(move |event: Event<UserCreated>| {
        let sender = sender.clone();
        async move {
            if event.data.number == 0 && Context::current().attempt() < 2 {
                return Err(HandlerError::retry("not yet"));
            }
            Ok(sender.send(event.data.number)?)
        }
    });
    let subscription = Subscription::new("user.events").concurrency(4).ordered_by_key().retry_order(order);
    let handle = broker.subscribe(subscription, router).await.unwrap();
    for number in 0..12 {
        broker.publish_with("user.events", UserCreated::numbered(number), keyed(parity(number))).await.unwrap();
    }
    let mut order = Vec::new();
    for _ in 0..12 {
        order.push(soon(handled.recv()).await.unwrap());
    }
    soon(handle.stop()).await;
    assert_eq!(broker.dead_letters("user.events", "user-service").count().await.unwrap(), 0);
    order
}

pub(crate) async fn a_retry_holds_its_key_and_no_other<F: Future<Output = Broker>>(broker: impl Fn(BrokerConfig) -> F) {
    let order = with_a_retry(broker, RetryOrder::HoldKey).await;
    let of = |parity| order.iter().copied().filter(|number| number % 2 == parity).collect::<Vec<_>>();
    assert_eq!(of(0), [0, 2, 4, 6, 8, 10]);
    assert_eq!(of(1), [1, 3, 5, 7, 9, 11]);
    assert_eq!(order[..6], [1, 3, 5, 7, 9, 11], "the other key went on meanwhile");
}

pub(crate) async fn a_retry_releases_its_key_where_that_is_asked_for<F: Future<Output = Broker>>(
    broker: impl Fn(BrokerConfig) -> F,
) {
    let order = with_a_retry(broker, RetryOrder::ReleaseKey).await;
    assert_eq!(order.last(), Some(&0), "{order:?}");
}

pub(crate) async fn a_key_goes_on_behind_a_dead_letter<F: Future<Output = Broker>>(broker: impl Fn(BrokerConfig) -> F) {
    let broker = broker(config()).await;
    let (sender, mut handled) = mpsc::unbounded_channel();
    let router = EventRouter::new().on(move |event: Event<UserCreated>| {
        let sent = sender.send((event.data.number, Context::current().attempt()));
        async move {
            sent?;
            if event.data.number == 0 { Err(HandlerError::retry("never")) } else { Ok(()) }
        }
    });
    let subscription = Subscription::new("user.events").ordered_by(OrderingKey::queue());
    let handle = broker.subscribe(subscription, router).await.unwrap();
    for number in 0..2 {
        broker.publish("user.events", UserCreated::numbered(number)).await.unwrap();
    }
    for expected in [(0, 1), (0, 2), (0, 3), (1, 1)] {
        assert_eq!(soon(handled.recv()).await, Some(expected));
    }
    soon(handle.stop()).await;
    let letters = broker.dead_letters("user.events", "user-service").peek(10).await.unwrap();
    assert_eq!((letters.len(), letters[0].attempts, letters[0].reason.as_str()), (1, 3, "never"));
}

pub(crate) async fn a_key_may_be_a_header_a_type_a_correlation_or_a_function<F: Future<Output = Broker>>(
    broker: impl Fn(BrokerConfig) -> F,
) {
    for (key, same) in [
        (OrderingKey::event_type(), true),
        (OrderingKey::header("x-sap-ordering-key"), true),
        (OrderingKey::header("x-tenant"), false),
        (OrderingKey::correlation_id(), true),
        (OrderingKey::from_fn(|event| Some(event.source.to_string())), true),
        (OrderingKey::from_fn(|event| event.data.get().contains("usr_1").then(String::new)), false),
        (OrderingKey::from_fn(|_| panic!("a panic of the test")), false),
    ] {
        let broker = broker(config()).await;
        let (sender, mut entered) = mpsc::unbounded_channel();
        let release = Arc::new(Semaphore::new(0));
        let held = release.clone();
        let router = EventRouter::new().on(move |event: Event<UserCreated>| {
            let (sent, held) = (sender.send(event.data.number), held.clone());
            async move {
                sent?;
                held.acquire().await?.forget();
                Ok(())
            }
        });
        let name = format!("{key:?}");
        let subscription = Subscription::new("user.events").concurrency(2).ordered_by(key);
        let handle = broker.subscribe(subscription, router).await.unwrap();
        let publishing = async {
            for number in 0..2 {
                broker.publish_with("user.events", UserCreated::numbered(number), keyed("a")).await.unwrap();
            }
        };
        Context::root().scope(publishing).await;
        let first = soon(entered.recv()).await.unwrap();
        if same {
            assert_eq!(first, 0, "{name}");
            tokio::task::yield_now().await;
            assert!(entered.try_recv().is_err(), "{name}: the second event did not wait");
            release.add_permits(1);
        }
        // Where they do not belong together, both handlers are entered before either is let go.
        assert_eq!(soon(entered.recv()).await, Some(1 - first), "{name}");
        release.add_permits(2);
        soon(handle.stop()).await;
    }
}

pub(crate) async fn what_waits_for_its_key_is_bounded_and_goes_back_at_a_stop<F: Future<Output = Broker>>(
    broker: impl Fn(BrokerConfig) -> F,
) {
    let broker = broker(config().count_redeliveries(false)).await;
    let (sender, mut entered) = mpsc::unbounded_channel();
    let release = Arc::new(Semaphore::new(0));
    let held = release.clone();
    let router = EventRouter::new().on(move |event: Event<UserCreated>| {
        let (sent, held) = (sender.send(event.data.number), held.clone());
        async move {
            sent?;
            held.acquire().await?.forget();
            Ok(())
        }
    });
    let subscription = || Subscription::new("user.events").concurrency(4).prefetch(5).ordered_by_key();
    let handle = broker.subscribe(subscription(), router).await.unwrap();
    for number in 0..20 {
        broker.publish_with("user.events", UserCreated::numbered(number), keyed("a")).await.unwrap();
    }
    assert_eq!(soon(entered.recv()).await, Some(0));
    soon(until(async || broker.lag("user.events", "user-service").await.unwrap() <= Some(15))).await;
    let (router, mut others) = numbers();
    let other = broker.subscribe(subscription(), router).await.unwrap();
    // In memory a consumer takes up to five at a time, as long as it has not five in hand.
    let first = soon(others.recv()).await.unwrap();
    assert!((5..10).contains(&first), "{first}");
    for number in first + 1..20 {
        assert_eq!(soon(others.recv()).await, Some(number));
    }
    soon(other.stop()).await;
    let stopping = tokio::spawn(handle.stop());
    tokio::task::yield_now().await;
    release.add_permits(100);
    soon(stopping).await.unwrap();
    let mut next = 1;
    while entered.try_recv().is_ok() {
        next += 1;
    }
    let (router, mut numbers) = numbers();
    let _handle = broker.subscribe(subscription(), router).await.unwrap();
    for number in next..first {
        assert_eq!(soon(numbers.recv()).await, Some(number));
    }
}
