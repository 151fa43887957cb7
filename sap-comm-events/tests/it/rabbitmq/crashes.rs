//! Consumers that die with an event in hand.

use std::time::Duration;

use sap_comm_core::{Context, Event, EventPayload};
use sap_comm_events::{Broker, EventProcessingFailed, EventRouter, HandlerError, Subscription};
use tokio::sync::mpsc;

use super::{LIMIT, assert_undisturbed, config, foreign, numbers, soon, vhost};
use crate::{
    events::{ReportRequested, UserCreated},
    waiting::until,
};

/// Consumes in a runtime of its own and kills that runtime once the handler has an event, as a crash of the process
/// would end it: nothing is settled, nothing is closed in order.
async fn die_with_an_event_in_hand(uri: &str, subscription: Subscription) -> u32 {
    die_with::<UserCreated>(uri, subscription, |user| user.number).await
}

async fn die_with<T: EventPayload>(uri: &str, subscription: Subscription, number: fn(&T) -> u32) -> u32 {
    let (sender, mut taken) = mpsc::unbounded_channel();
    let _process = Process::start(uri, subscription, number, |_| true, sender);
    soon(taken.recv()).await.unwrap()
}

/// Something like a process, which dies when it is dropped.
struct Process(Option<tokio::runtime::Runtime>);

impl Process {
    /// Consumes, says which events it takes, and is done with those that do not hang.
    fn start<T: EventPayload>(
        uri: &str,
        subscription: Subscription,
        number: fn(&T) -> u32,
        hangs: fn(u32) -> bool,
        taken: mpsc::UnboundedSender<u32>,
    ) -> Self {
        let uri = uri.to_owned();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        runtime.spawn(async move {
            let broker = Broker::connect(&uri, config().max_redeliveries(2)).await.unwrap();
            let router = EventRouter::new().on(move |event: Event<T>| {
                let number = number(&event.data);
                let sent = taken.send(number);
                async move {
                    sent?;
                    if hangs(number) {
                        std::future::pending::<()>().await;
                    }
                    Ok(())
                }
            });
            let _handle = broker.subscribe(subscription, router).await.unwrap();
            std::future::pending::<()>().await;
        });
        Self(Some(runtime))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

async fn ends_an_event_that_kills_its_consumers(subscription: Subscription) {
    let uri = vhost().await;
    let broker = Broker::connect(&uri, config().max_redeliveries(2)).await.unwrap();
    let (sender, mut failures) = mpsc::unbounded_channel();
    let router = EventRouter::new().on(move |event: Event<EventProcessingFailed>| {
        let sent = sender.send(event.data.error.message);
        async move { Ok(sent?) }
    });
    let _watcher = broker.for_service("watcher").subscribe("error.events", router).await.unwrap();
    let (router, _gone) = numbers();
    broker.subscribe(subscription.clone(), router).await.unwrap().stop().await;
    broker.publish("user.events", UserCreated::numbered(7)).await.unwrap();
    for _ in 0..3 {
        assert_eq!(die_with_an_event_in_hand(&uri, subscription.clone()).await, 7);
    }
    let (router, mut numbers) = numbers();
    let _handle = broker.subscribe(subscription, router).await.unwrap();
    let failure = soon(failures.recv()).await.unwrap();
    assert!(failure.contains("more than 2 times"), "{failure}");
    assert!(numbers.try_recv().is_err());
    assert_eq!(broker.dead_letters("user.events", "user-service").count().await.unwrap(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_that_kills_its_consumers_becomes_a_dead_letter() {
    ends_an_event_that_kills_its_consumers("user.events".into()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_that_kills_its_consumers_becomes_a_dead_letter_on_a_quorum_queue() {
    ends_an_event_that_kills_its_consumers(Subscription::new("user.events").quorum()).await;
}

/// What a dead consumer held ahead of its handler had no part in its death.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_behind_an_event_that_kills_its_consumers_is_handled() {
    for subscription in [
        Subscription::new("user.events"),
        Subscription::new("user.events").quorum(),
        Subscription::new("user.events").single_active(),
    ] {
        let uri = vhost().await;
        let broker = Broker::connect(&uri, config().max_redeliveries(2)).await.unwrap();
        let (router, _gone) = numbers();
        broker.subscribe(subscription.clone(), router).await.unwrap().stop().await;
        for number in 0..20 {
            broker.publish("user.events", UserCreated::numbered(number)).await.unwrap();
        }
        let letters = broker.dead_letters("user.events", "user-service");
        let (sender, mut taken) = mpsc::unbounded_channel();
        let (mut handled, mut deaths) = (Vec::new(), 0);
        let mut process = None;
        while letters.count().await.unwrap() == 0 || !(1..20).all(|number| handled.contains(&number)) {
            process.get_or_insert_with(|| {
                let number = |user: &UserCreated| user.number;
                Process::start(&uri, subscription.clone(), number, |number| number == 0, sender.clone())
            });
            match tokio::time::timeout(Duration::from_millis(50), taken.recv()).await {
                Ok(Some(0)) => {
                    let all_in_hand = async || broker.lag("user.events", "user-service").await.unwrap() == Some(0);
                    if deaths == 0 {
                        soon(until(all_in_hand)).await;
                    }
                    process = None;
                    deaths += 1;
                    assert!(deaths <= 8, "{subscription:?}: it kills for ever");
                }
                Ok(number) => handled.extend(number),
                // Looks again whether all is done.
                Err(_) => {}
            }
        }
        let dead = letters.peek(100).await.unwrap();
        assert_eq!(dead.len(), 1, "{subscription:?}: {dead:?}");
        assert!(deaths >= 3, "{deaths}");
    }
}

/// A command that kills the process of its handler.
async fn ends_a_command_that_kills_its_consumers(subscription: Subscription) {
    let uri = vhost().await;
    let broker = Broker::connect(&uri, config().max_redeliveries(2)).await.unwrap();
    let router = EventRouter::new().on(|_: Event<ReportRequested>| async { Ok(()) });
    broker.subscribe(subscription.clone(), router.clone()).await.unwrap().stop().await;
    broker.publish("user.events", ReportRequested { number: 7 }).await.unwrap();
    for _ in 0..3 {
        assert_eq!(die_with::<ReportRequested>(&uri, subscription.clone(), |command| command.number).await, 7);
    }
    let (sender, mut handled) = mpsc::unbounded_channel();
    let router = EventRouter::new().on(move |event: Event<ReportRequested>| {
        let sent = sender.send(event.data.number);
        async move { Ok(sent?) }
    });
    let handle = broker.subscribe(subscription, router).await.unwrap();
    let letters = broker.dead_commands("user.events", "report.requested");
    soon(until(async || letters.count().await.unwrap() > 0)).await;
    handle.stop().await;
    assert!(handled.try_recv().is_err());
    let letters = letters.peek(10).await.unwrap();
    assert!(letters[0].reason.contains("more than 2 times"), "{}", letters[0].reason);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_that_kills_its_consumers_becomes_a_dead_letter() {
    ends_a_command_that_kills_its_consumers("user.events".into()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_that_kills_its_consumers_becomes_a_dead_letter_on_a_quorum_queue() {
    ends_a_command_that_kills_its_consumers(Subscription::new("user.events").quorum()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_that_kills_consumers_that_keep_order_becomes_a_dead_letter() {
    let subscription = Subscription::new("user.events").single_active().concurrency(4).ordered_by_key();
    ends_an_event_that_kills_its_consumers(subscription).await;
}

/// Attempts are counted in the message, so that those of a dead process count too.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_attempts_before_a_crash_are_counted() {
    for subscription in [Subscription::new("user.events"), Subscription::new("user.events").quorum()] {
        let uri = vhost().await;
        let broker = Broker::connect(&uri, config().max_attempts(2)).await.unwrap();
        let router = EventRouter::new().on(|_: Event<UserCreated>| async { Err(HandlerError::retry("once")) });
        let failing = broker.subscribe(subscription.clone().group("g"), router).await.unwrap();
        failing.stop().await;
        broker.publish("user.events", UserCreated::numbered(7)).await.unwrap();
        let (sender, mut attempts) = mpsc::unbounded_channel();
        let first = sender.clone();
        let router = EventRouter::new().on(move |_: Event<UserCreated>| {
            let sent = first.send(Context::current().attempt());
            async move {
                sent?;
                Err(HandlerError::retry("again"))
            }
        });
        let handle = broker.subscribe(subscription.clone().group("g"), router.clone()).await.unwrap();
        assert_eq!(soon(attempts.recv()).await, Some(1));
        handle.stop().await;
        // The second attempt is in the hand of a process that dies; another makes it again, and it is still the second.
        assert_eq!(die_with_an_event_in_hand(&uri, subscription.clone().group("g")).await, 7);
        let _handle = broker.subscribe(subscription.group("g"), router).await.unwrap();
        assert_eq!(soon(attempts.recv()).await, Some(2));
        let letters = broker.dead_letters("user.events", "g");
        soon(until(async || letters.count().await.unwrap() > 0)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_standby_takes_over_in_order_when_the_active_consumer_dies() {
    let uri = vhost().await;
    let broker = Broker::connect(&uri, config()).await.unwrap();
    let subscription = || Subscription::new("user.events").single_active();
    let (router, _gone) = numbers();
    broker.subscribe(subscription(), router).await.unwrap().stop().await;
    for number in 0..50 {
        broker.publish("user.events", UserCreated::numbered(number)).await.unwrap();
    }
    assert_eq!(die_with_an_event_in_hand(&uri, subscription()).await, 0);
    let (router, mut numbers) = numbers();
    let _handle = broker.subscribe(subscription(), router).await.unwrap();
    for number in 0..50 {
        assert_eq!(soon(numbers.recv()).await, Some(number));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_in_hand_of_a_dead_consumer_is_handled_by_another() {
    let uri = vhost().await;
    let broker = Broker::connect(&uri, config()).await.unwrap();
    let (router, _gone) = numbers();
    broker.subscribe("user.events", router).await.unwrap().stop().await;
    broker.publish("user.events", UserCreated::numbered(7)).await.unwrap();
    assert_eq!(die_with_an_event_in_hand(&uri, "user.events".into()).await, 7);
    let (router, mut numbers) = numbers();
    let _handle = broker.subscribe("user.events", router).await.unwrap();
    assert_eq!(soon(numbers.recv()).await, Some(7));
}

/// The broker counts a death of what another had in hand. Whoever comes next begins with one event, and takes more at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_another_had_in_hand_is_taken_over_without_a_new_connection() {
    let uri = vhost().await;
    let broker = Broker::connect(&uri, config()).await.unwrap();
    let (router, mut handled) = numbers();
    let quorum = || Subscription::new("user.events").quorum();
    broker.subscribe(quorum(), router.clone()).await.unwrap().stop().await;
    let all = (0..100).map(|number| broker.publish("user.events", UserCreated::numbered(number)));
    futures_util::future::try_join_all(all).await.unwrap();
    for _ in 0..2 {
        let channel = foreign(&uri).await;
        for _ in 0..100 {
            let got = channel.basic_get("user.events.user-service".into(), Default::default()).await.unwrap();
            assert!(got.is_some());
        }
        channel.close(200, "dies".into()).await.unwrap();
    }
    let next = Broker::connect(&uri, config()).await.unwrap();
    let _handle = next.subscribe(quorum(), router).await.unwrap();
    let mut seen = Vec::new();
    while seen.len() < 100 {
        seen.extend(soon(handled.recv()).await);
    }
    seen.sort_unstable();
    assert_eq!(seen, (0..100).collect::<Vec<_>>());
    assert_eq!(next.health().last_error, None);
    next.close(LIMIT).await;
    assert_undisturbed(&next);
}
