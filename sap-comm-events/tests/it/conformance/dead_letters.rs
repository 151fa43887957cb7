//! What an operator does with dead letters.

use std::{
    ops::ControlFlow,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use sap_comm_events::{DeadLetter, DeadLetterError, DeadLetters, Filter, Round};

use super::*;

/// Numbers from 0 that became dead letters in their order: the even ones failed with a code of their own.
async fn buried(broker: &Broker, numbers: u32) -> DeadLetters {
    let router = EventRouter::new().on(|event: Event<UserCreated>| async move {
        let number = event.data.number;
        if number.is_multiple_of(2) {
            return Err(HandlerError::permanent(sap_comm_core::ApiError::not_found("user", &number.to_string())));
        }
        Err(HandlerError::permanent(format!("no tenant for {number}")))
    });
    let handle = broker.subscribe("user.events", router).await.unwrap();
    for number in 0..numbers {
        broker.publish("user.events", UserCreated::numbered(number)).await.unwrap();
    }
    let letters = broker.dead_letters("user.events", "user-service");
    soon(until(async || letters.count().await.unwrap() >= numbers.into())).await;
    handle.stop().await;
    letters
}

fn number(letter: &DeadLetter) -> u32 {
    RawEvent::from_json(&letter.event).unwrap().decode::<UserCreated>().unwrap().data.number
}

async fn left(letters: &DeadLetters) -> Vec<u32> {
    letters.peek(1_000).await.unwrap().iter().map(number).collect()
}

fn even() -> Filter {
    Filter::new().code("USER_NOT_FOUND")
}

pub(crate) async fn a_filtered_redrive_leaves_the_others_in_their_order<F: Future<Output = Broker>>(
    broker: impl Fn(BrokerConfig) -> F,
) {
    let broker = broker(config()).await;
    let letters = buried(&broker, 10).await;
    let (router, mut numbers) = numbers();
    let _handle = broker.subscribe("user.events", router).await.unwrap();
    let progress = letters.redrive(even()).await.unwrap();
    assert_eq!((progress.total, progress.seen, progress.matched, progress.done), (10, 10, 5, 5));
    for number in [0, 2, 4, 6, 8] {
        assert_eq!(soon(numbers.recv()).await, Some(number));
    }
    assert_eq!(left(&letters).await, [1, 3, 5, 7, 9]);
    // What is not meant is passed over, however often.
    assert_eq!(letters.redrive(even()).await.unwrap().done, 0);
    let last = Round::new().filter(Filter::new().matching(|letter| number(letter) >= 7)).limit(1);
    assert_eq!(letters.redrive(last).await.unwrap().done, 1);
    assert_eq!(soon(numbers.recv()).await, Some(7));
    assert_eq!(left(&letters).await, [1, 3, 5, 9]);
}

pub(crate) async fn a_dry_run_changes_nothing<F: Future<Output = Broker>>(broker: impl Fn(BrokerConfig) -> F) {
    let broker = broker(config()).await;
    let letters = buried(&broker, 6).await;
    let shown = Arc::new(AtomicU64::new(0));
    for run in 0..2 {
        let counted = Arc::clone(&shown);
        let round = Round::from(even()).dry_run().on_letter(move |letter| {
            assert_eq!(letter.code, "USER_NOT_FOUND");
            counted.fetch_add(1, Ordering::SeqCst);
        });
        let progress = if run == 0 { letters.redrive(round).await } else { letters.purge(round).await };
        let progress = progress.unwrap();
        assert_eq!((progress.seen, progress.matched, progress.done), (6, 3, 0));
    }
    assert_eq!(shown.load(Ordering::SeqCst), 6);
    assert_eq!(left(&letters).await, [0, 1, 2, 3, 4, 5]);
}

pub(crate) async fn a_purge_removes_what_is_meant<F: Future<Output = Broker>>(broker: impl Fn(BrokerConfig) -> F) {
    let broker = broker(config()).await;
    let letters = buried(&broker, 6).await;
    assert_eq!(letters.purge(even()).await.unwrap().done, 3);
    assert_eq!(left(&letters).await, [1, 3, 5]);
    assert_eq!(letters.purge(1).await.unwrap().done, 1);
    assert_eq!(letters.purge(Round::new()).await.unwrap().done, 2);
    assert_eq!(letters.count().await.unwrap(), 0);
}

pub(crate) async fn a_redrive_is_ended_by_whoever_watches_it<F: Future<Output = Broker>>(
    broker: impl Fn(BrokerConfig) -> F,
) {
    let broker = broker(config()).await;
    let letters = buried(&broker, 6).await;
    let round = Round::new().rate(1_000.0).on_progress(|progress| match progress.done {
        0 => ControlFlow::Continue(()),
        _ => ControlFlow::Break(()),
    });
    let progress = letters.redrive(round).await.unwrap();
    assert!((1..6).contains(&progress.done), "{progress:?}");
    let left: Vec<_> = left(&letters).await;
    assert_eq!(left, (u32::try_from(progress.done).unwrap()..6).collect::<Vec<_>>());
}

pub(crate) async fn a_redriven_event_starts_anew_in_its_own_group<F: Future<Output = Broker>>(
    broker: impl Fn(BrokerConfig) -> F,
) {
    let broker = broker(config()).await;
    let (other, mut others) = numbers();
    let other = broker.for_service("other-service").subscribe("user.events", other).await.unwrap();
    let letters = buried(&broker, 2).await;
    assert_eq!((soon(others.recv()).await, soon(others.recv()).await), (Some(0), Some(1)));
    let (sender, mut attempts) = mpsc::unbounded_channel();
    let router = EventRouter::new().on(move |event: Event<UserCreated>| {
        let sent = sender.send((event.data.number, Context::current().attempt()));
        async move { Ok(sent?) }
    });
    let _handle = broker.subscribe("user.events", router).await.unwrap();
    assert_eq!(letters.redrive(1).await.unwrap().done, 1);
    assert_eq!(soon(attempts.recv()).await, Some((0, 1)));
    assert!(others.try_recv().is_err(), "only the group that failed gets it again");
    assert_eq!(letters.redrive_to_exchange("user.events", 1).await.unwrap().done, 1);
    assert_eq!(soon(attempts.recv()).await, Some((1, 1)));
    assert_eq!(soon(others.recv()).await, Some(1), "now every group does");
    other.stop().await;
}

pub(crate) async fn a_redrive_that_the_broker_refuses_leaves_the_dead_letters<F: Future<Output = Broker>>(
    broker: impl Fn(BrokerConfig) -> F,
) {
    let broker = broker(config()).await;
    let letters = buried(&broker, 3).await;
    let error = letters.redrive_to_exchange("order.events", Round::new()).await.unwrap_err();
    let DeadLetterError::Redrive { source, .. } = &error else { panic!("{error:?}") };
    assert!(matches!(&**source, PublishError::Unroutable { exchange, .. } if exchange == "order.events"), "{error}");
    assert_eq!(left(&letters).await, [0, 1, 2]);
    let error = letters.redrive(Round::new().rate(0.0)).await.unwrap_err();
    assert!(error.to_string().contains("rate: 0"), "{error}");
    let error = letters.redrive_to_exchange("", 1).await.unwrap_err();
    assert!(error.to_string().contains("exchange"), "{error}");
}

pub(crate) async fn a_dropped_redrive_loses_nothing<F: Future<Output = Broker>>(broker: impl Fn(BrokerConfig) -> F) {
    let broker = broker(config()).await;
    let letters = buried(&broker, 40).await;
    for _ in 0..4 {
        // Ends as soon as anything was sent back, with more of it on its way.
        let (sender, mut begun) = mpsc::unbounded_channel();
        let round = Round::new().filter(even()).limit(8).on_progress(move |progress| {
            // Nobody listens to the second.
            let _ = if progress.done > 0 { sender.send(()) } else { Ok(()) };
            ControlFlow::Continue(())
        });
        tokio::select! {
            biased;
            _ = begun.recv() => {}
            ended = letters.redrive(round) => { ended.unwrap(); }
        }
    }
    // RabbitMQ has what was held back only once it has noticed.
    soon(until(async || matches!(left(&letters).await, left if (1..40).step_by(2).all(|odd| left.contains(&odd)))))
        .await;
    let (router, mut numbers) = numbers();
    let _handle = broker.subscribe("user.events", router).await.unwrap();
    letters.redrive(Round::new()).await.unwrap();
    let mut missing: std::collections::BTreeSet<u32> = (0..40).collect();
    while !missing.is_empty() {
        missing.remove(&soon(numbers.recv()).await.unwrap());
    }
}

pub(crate) async fn two_redrives_at_once_lose_nothing<F: Future<Output = Broker>>(broker: impl Fn(BrokerConfig) -> F) {
    let broker = broker(config()).await;
    let letters = buried(&broker, 40).await;
    let (router, mut numbers) = numbers();
    let _handle = broker.subscribe("user.events", router).await.unwrap();
    let (one, two) = tokio::join!(letters.redrive(Round::new()), letters.redrive(Round::new()));
    let rest = letters.redrive(Round::new()).await.unwrap().done;
    assert_eq!(one.unwrap().done + two.unwrap().done + rest, 40);
    let mut arrived = Vec::new();
    for _ in 0..40 {
        arrived.push(soon(numbers.recv()).await.unwrap());
    }
    arrived.sort_unstable();
    assert_eq!(arrived, (0..40).collect::<Vec<_>>());
}

pub(crate) async fn the_queues_of_dead_letters_are_listed<F: Future<Output = Broker>>(
    broker: impl Fn(BrokerConfig) -> F,
) {
    let broker = broker(config()).await;
    buried(&broker, 3).await;
    let router = EventRouter::new().on(|_: Event<ReportRequested>| async { Err(HandlerError::permanent("broken")) });
    let _handle = broker.for_service("report-service").subscribe("report.events", router).await.unwrap();
    broker.publish("report.events", ReportRequested { number: 1 }).await.unwrap();
    let commands = broker.dead_commands("report.events", "report.requested");
    soon(until(async || commands.count().await.unwrap() > 0)).await;
    let queues = broker.dead_letter_queues().await.unwrap();
    let queues: Vec<_> = queues.iter().map(|queue| (queue.queue.as_str(), queue.count)).collect();
    assert_eq!(queues, [("report.events.commands.report.requested", 1), ("user.events.user-service", 3)]);
    assert_eq!(broker.dead_letters_of("user.events.user-service").count().await.unwrap(), 3);
}
