//! Events of one key stay in order, however many relays share the work.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use sap_comm_events::{Broker, BrokerConfig};

use crate::sql::stage::{NOTES, Sink, Stage, all_sent, brisk, broker, failed, note, on_both_databases, want};

const KEYS: [&str; 5] = ["a", "b", "c", "d", "e"];
const EACH: u32 = 40;

on_both_databases! {
    async fn two_relays_share_the_work_and_keep_the_order_of_each_key(stage: &Stage) {
        let (pool, outbox) = stage.outbox().await;
        let (_, other) = stage.outbox().await;
        let broker = broker();
        let mut sink = Sink::new(&broker).await;
        let config = brisk().batch(7).poll_interval(Duration::from_millis(5));
        let relays =
            [outbox.relay(broker.clone(), config.clone()).unwrap(), other.relay(broker.clone(), config).unwrap()];
        stage.notes(&pool, &outbox, &KEYS, EACH).await;
        let mut next = HashMap::new();
        for _ in 0..EACH as usize * KEYS.len() {
            let data = sink.next().await.0.data;
            let next = next.entry(data.key.clone()).or_insert(0);
            assert_eq!(data.number, *next, "of key {}", data.key);
            *next += 1;
        }
        all_sent(&outbox).await;
        for relay in relays {
            relay.stop().await.unwrap();
        }
        assert!(sink.so_far().is_empty(), "nothing is sent twice");
    }

    async fn events_of_a_key_are_sent_ahead_of_their_confirms_in_their_order(stage: &Stage) {
        let (pool, outbox) = stage.outbox().await;
        let broker = Broker::memory(BrokerConfig::new("note-service").queue_capacity(1)).unwrap();
        let mut sink = Sink::new(&broker).await;
        let mut transaction = stage.begin(&pool).await;
        for number in 0..60 {
            outbox.write_ordered(&mut transaction, NOTES, "a", &note("a", number)).await.unwrap();
        }
        transaction.commit().await.unwrap();
        let most = Arc::new(AtomicUsize::new(0));
        let (watched, seen) = (broker.clone(), Arc::clone(&most));
        let watching = tokio::spawn(async move {
            loop {
                seen.fetch_max(watched.health().pending, Ordering::Relaxed);
                tokio::task::yield_now().await;
            }
        });
        let relay = outbox.relay(broker.clone(), brisk().key_window(8)).unwrap();
        for number in 0..60 {
            assert_eq!(sink.number().await, number);
        }
        all_sent(&outbox).await;
        watching.abort();
        relay.stop().await.unwrap();
        let most = most.load(Ordering::Relaxed);
        assert!((2..=8).contains(&most), "{most} at once");
        assert!(sink.so_far().is_empty(), "nothing is sent twice");
    }

    async fn an_event_that_failed_is_tried_again_alone(stage: &Stage) {
        let (pool, outbox) = stage.outbox().await;
        let broker = broker();
        let mut sink = Sink::new(&broker).await;
        stage.unwanted_before(&pool, &outbox, (0..5).map(|number| note("a", number))).await;
        let _relay = outbox.relay(broker.clone(), brisk().key_window(8)).unwrap();
        failed(&outbox, 4).await;
        let ahead = sink.so_far();
        assert!(ahead.len() <= 5, "those behind it are sent ahead at its first attempt only: {ahead:?}");
        let _subscription = want(&broker).await;
        for number in 0..5 {
            assert_eq!(sink.number().await, number);
        }
        all_sent(&outbox).await;
    }

    async fn an_event_that_fails_holds_back_its_own_key_only(stage: &Stage) {
        let (pool, outbox) = stage.outbox().await;
        let (_, other) = stage.outbox().await;
        let broker = broker();
        let mut sink = Sink::new(&broker).await;
        let notes = (0..5).flat_map(|number| ["a", "b"].map(|key| note(key, number)));
        stage.unwanted_before(&pool, &outbox, notes).await;
        let config = brisk().batch(2).poll_interval(Duration::from_millis(5));
        let _relays =
            [outbox.relay(broker.clone(), config.clone()).unwrap(), other.relay(broker.clone(), config).unwrap()];
        for number in 0..5 {
            assert_eq!(sink.next().await.0.data, note("b", number).data);
        }
        failed(&outbox, 3).await;
        assert!(sink.so_far().is_empty());
        let _subscription = want(&broker).await;
        for number in 0..5 {
            assert_eq!(sink.next().await.0.data, note("a", number).data);
        }
        all_sent(&outbox).await;
    }
}
