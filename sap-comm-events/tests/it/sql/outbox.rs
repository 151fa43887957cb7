//! What is written with a transaction is published when it commits.

use std::time::Duration;

use sap_comm_core::{Context, Principal};
use sap_comm_events::{
    BrokerConfig, OverflowPolicy,
    outbox::{Outbox, RelayConfig, Unroutable},
    sql::SqlError,
};
use tokio::time::Instant;

use crate::sql::stage::{NOTES, Sink, Stage, all_sent, brisk, broker, count, eventually, note, on_both_databases};

const RARELY: Duration = Duration::from_secs(3_600);

on_both_databases! {
    async fn an_event_is_sent_if_its_transaction_commits(stage: &Stage) {
        let (pool, outbox) = stage.outbox().await;
        let broker = broker();
        let mut sink = Sink::new(&broker).await;
        let relay = outbox.relay(broker.clone(), brisk()).unwrap();

        let mut transaction = stage.begin(&pool).await;
        outbox.write(&mut transaction, NOTES, &note("a", 1)).await.unwrap();
        transaction.rollback().await.unwrap();
        let mut transaction = stage.begin(&pool).await;
        outbox.write(&mut *transaction, NOTES, &note("a", 2)).await.unwrap();
        let written = note("a", 3);
        outbox.write(&mut *transaction, NOTES, &written).await.unwrap();
        transaction.commit().await.unwrap();

        assert_eq!(sink.number().await, 2);
        assert_eq!(sink.next().await.0, written);
        all_sent(&outbox).await;
        relay.stop().await.unwrap();
        assert!(sink.so_far().is_empty());
        assert_eq!(count(&pool, "SELECT COUNT(*) FROM sap_outbox").await, 2, "sent events are kept for a while");
    }

    async fn a_commit_is_seen_without_waiting_for_the_poll(stage: &Stage) {
        let (pool, outbox) = stage.outbox().await;
        let broker = broker();
        let mut sink = Sink::new(&broker).await;
        let relay = outbox.relay(broker.clone(), brisk().poll_interval(RARELY)).unwrap();
        for number in 0..3 {
            let mut transaction = stage.begin(&pool).await;
            outbox.write(&mut transaction, NOTES, &note("a", number)).await.unwrap();
            transaction.commit().await.unwrap();
            assert_eq!(sink.number().await, number);
            let mut transaction = stage.begin(&pool).await;
            outbox.write(&mut transaction, NOTES, &note("a", 10 + number)).await.unwrap();
            outbox.commit(transaction).await.unwrap();
            assert_eq!(sink.number().await, 10 + number);
        }
        relay.stop().await.unwrap();
    }

    async fn the_context_of_the_writer_reaches_the_handler(stage: &Stage) {
        let (pool, outbox) = stage.outbox().await;
        let broker = broker();
        let mut sink = Sink::new(&broker).await;
        let _relay = outbox.relay(broker.clone(), brisk()).unwrap();
        let context = Context::root()
            .with_request_id("req_1")
            .with_principal(Principal::user("usr_1", ["admin"]))
            .with_timeout(Duration::from_millis(1));
        context.clone().scope(stage.note(&pool, &outbox, "a", 1)).await;
        let (event, arrived) = sink.next().await;
        assert_eq!(arrived.trace().trace_id(), context.trace().trace_id());
        assert_eq!((arrived.request_id(), arrived.deadline()), ("req_1", None));
        assert_eq!(arrived.principal(), context.principal());
        assert_eq!(event.correlation_id, context.correlation_id());
        assert_eq!(event.metadata.user_id.as_deref(), Some("usr_1"));
    }

    async fn an_event_that_nobody_wants_is_kept_until_somebody_does(stage: &Stage) {
        let (pool, outbox) = stage.outbox().await;
        let broker = broker();
        let relay = outbox.relay(broker.clone(), brisk()).unwrap();
        stage.note(&pool, &outbox, "a", 1).await;
        eventually("a second attempt", || async {
            outbox.failing(10).await.unwrap().first().is_some_and(|event| event.attempts >= 2)
        })
        .await;
        let failing = outbox.failing(10).await.unwrap().remove(0);
        assert!(failing.error.contains("no queue wants"), "{failing:?}");
        assert_eq!((failing.exchange.as_str(), failing.key.as_deref()), (NOTES, Some("a")));
        assert_eq!(outbox.pending().await.unwrap(), 1);
        let mut sink = Sink::new(&broker).await;
        assert_eq!(sink.number().await, 1);
        all_sent(&outbox).await;
        relay.stop().await.unwrap();
        assert!(outbox.failing(10).await.unwrap().is_empty());
    }

    async fn an_event_that_nobody_wants_is_given_up_where_the_policy_says_so(stage: &Stage) {
        let (pool, outbox) = stage.outbox().await;
        stage.note(&pool, &outbox, "a", 1).await;
        let relay = outbox.relay(broker(), brisk().unroutable(Unroutable::Discard)).unwrap();
        all_sent(&outbox).await;
        relay.stop().await.unwrap();
    }

    async fn an_event_given_up_by_hand_lets_those_behind_it_go(stage: &Stage) {
        let (pool, outbox) = stage.outbox().await;
        let broker = broker();
        let mut sink = Sink::new(&broker).await;
        let unwanted = stage.unwanted_before(&pool, &outbox, [note("a", 2), note("b", 3)]).await;
        let relay = outbox.relay(broker.clone(), brisk()).unwrap();
        assert_eq!(sink.number().await, 3, "another key does not wait");
        eventually("a failure", || async { !outbox.failing(1).await.unwrap().is_empty() }).await;
        let failing = outbox.failing(1).await.unwrap().remove(0);
        assert_eq!(failing.event_id, unwanted.id);
        assert!(sink.so_far().is_empty());
        assert!(outbox.discard(failing.number).await.unwrap());
        assert!(!outbox.discard(failing.number).await.unwrap());
        assert_eq!(sink.number().await, 2);
        relay.stop().await.unwrap();
    }

    async fn stopping_sends_what_is_there(stage: &Stage) {
        let (pool, outbox) = stage.outbox().await;
        let broker = broker();
        let mut sink = Sink::new(&broker).await;
        let mut transaction = stage.begin(&pool).await;
        for number in 0..250 {
            outbox.write(&mut transaction, NOTES, &note("a", number)).await.unwrap();
        }
        transaction.commit().await.unwrap();
        let relay = outbox.relay(broker.clone(), brisk()).unwrap();
        relay.stop().await.unwrap();
        assert_eq!(outbox.pending().await.unwrap(), 0);
        for number in 0..250 {
            assert_eq!(sink.number().await, number, "in the order they were written");
        }
    }

    async fn stopping_hands_back_what_the_broker_does_not_take(stage: &Stage) {
        let (pool, outbox) = stage.outbox().await;
        let config = BrokerConfig::new("note-service").queue_capacity(1).overflow(OverflowPolicy::Wait);
        let stuck = sap_comm_events::Broker::memory(config).unwrap();
        // A queue that nobody consumes any more.
        drop(Sink::new(&stuck).await);
        for number in 0..3 {
            stage.note(&pool, &outbox, "a", number).await;
        }
        let relay = outbox.relay(stuck, brisk().drain_timeout(Duration::from_millis(100))).unwrap();
        eventually("one event is in the queue", || async { outbox.pending().await.unwrap() == 2 }).await;
        let start = Instant::now();
        relay.stop().await.unwrap();
        assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());

        let broker = broker();
        let mut sink = Sink::new(&broker).await;
        let _relay = outbox.relay(broker.clone(), brisk().lease(RARELY)).unwrap();
        assert_eq!((sink.number().await, sink.number().await), (1, 2), "at once, not when a lease ends");
    }

    async fn a_claim_takes_no_more_bytes_than_it_may_and_one_event_at_least(stage: &Stage) {
        let (pool, outbox) = stage.outbox().await;
        let stuck = sap_comm_events::Broker::memory(BrokerConfig::new("note-service").queue_capacity(1)).unwrap();
        // A queue that nobody consumes yet, and that takes one event.
        drop(Sink::new(&stuck).await);
        for (number, bytes) in (0..).zip([5_000, 1_000, 1_000, 1_000]) {
            let mut transaction = stage.begin(&pool).await;
            outbox.write(&mut transaction, NOTES, &note(&"é".repeat(bytes / 2), number)).await.unwrap();
            transaction.commit().await.unwrap();
        }
        let relay = outbox.relay(stuck.clone(), brisk().batch_bytes(3_000)).unwrap();
        // The first alone, though it is larger; then as many as fit.
        eventually("two in hand", || async {
            let claimed = "SELECT COUNT(*) FROM sap_outbox WHERE lease_owner IS NOT NULL AND sent_at IS NULL";
            outbox.pending().await.unwrap() == 3 && count(&pool, claimed).await == 2
        })
        .await;
        let mut sink = Sink::new(&stuck).await;
        let mut arrived = Vec::new();
        for _ in 0..4 {
            arrived.push(sink.number().await);
        }
        arrived.sort_unstable();
        assert_eq!(arrived, [0, 1, 2, 3]);
        relay.stop().await.unwrap();
    }

    async fn sent_events_are_removed_when_their_time_is_over(stage: &Stage) {
        let (pool, outbox) = stage.outbox().await;
        let broker = broker();
        let _sink = Sink::new(&broker).await;
        stage.note(&pool, &outbox, "a", 1).await;
        outbox.relay(broker.clone(), brisk()).unwrap().stop().await.unwrap();
        assert_eq!(count(&pool, "SELECT COUNT(*) FROM sap_outbox").await, 1);
        stage.note(&pool, &outbox, "a", 2).await;
        let _relay = outbox.relay(broker.clone(), brisk().retention(Duration::ZERO)).unwrap();
        eventually("an empty table", || async { count(&pool, "SELECT COUNT(*) FROM sap_outbox").await == 0 }).await;
    }

    async fn what_could_never_be_published_is_refused_by_the_write(stage: &Stage) {
        let (pool, outbox) = stage.outbox().await;
        let mut transaction = stage.begin(&pool).await;
        let error = outbox.write(&mut transaction, "", &note("a", 1)).await.unwrap_err();
        assert!(matches!(&error, SqlError::Unpublishable { reason } if reason.contains("exchange")), "{error}");
        let mut event = note("a", 1);
        event.event_type = "x".repeat(256).into();
        let error = outbox.write(&mut transaction, NOTES, &event).await.unwrap_err();
        assert!(error.to_string().contains("256 bytes"), "{error}");
        let small = outbox.clone().max_event_bytes(100);
        let error = small.write(&mut transaction, NOTES, &note("a", 1)).await.unwrap_err();
        assert!(matches!(&error, SqlError::TooLarge { size, limit: 100, .. } if *size > 100), "{error}");
        let large = note(&"x".repeat(4 << 20), 1);
        let error = outbox.write(&mut transaction, NOTES, &large).await.unwrap_err();
        assert!(matches!(&error, SqlError::TooLarge { id, limit: 4_194_304, .. } if *id == large.id), "{error}");
        // The transaction still serves.
        outbox.write(&mut transaction, NOTES, &note("a", 1)).await.unwrap();
        transaction.commit().await.unwrap();
        assert_eq!(outbox.pending().await.unwrap(), 1);
    }

    async fn tables_may_be_made_by_many_at_once(stage: &Stage) {
        let outboxes = [stage.pool().await, stage.pool().await, stage.pool().await].map(Outbox::new);
        let [one, two, three] = &outboxes;
        let (one, two, three) = tokio::join!(one.migrate(), two.migrate(), three.migrate());
        one.and(two).and(three).unwrap();
    }

    async fn without_a_table_the_error_says_what_was_tried(stage: &Stage) {
        let outbox = Outbox::new(stage.pool().await);
        let error = outbox.pending().await.unwrap_err().to_string();
        assert!(error.starts_with("cannot count the events of the outbox: "), "{error}");
    }
}

#[tokio::test]
async fn the_drivers_own_pools_serve_too() {
    let broker = broker();
    let mut sink = Sink::new(&broker).await;

    let stage = Stage::sqlite();
    let pool = sqlx::SqlitePool::connect(&stage.url()).await.unwrap();
    let outbox = Outbox::new(pool.clone());
    outbox.migrate().await.unwrap();
    let relay = outbox.relay(broker.clone(), brisk()).unwrap();
    let mut transaction = pool.begin_with("BEGIN IMMEDIATE").await.unwrap();
    outbox.write(&mut transaction, NOTES, &note("a", 1)).await.unwrap();
    outbox.commit(transaction).await.unwrap();
    assert_eq!(sink.number().await, 1);
    relay.stop().await.unwrap();

    let stage = Stage::postgres().await;
    let pool = sqlx::PgPool::connect(&stage.url()).await.unwrap();
    let outbox = Outbox::new(pool.clone());
    outbox.migrate().await.unwrap();
    let relay = outbox.relay(broker.clone(), brisk()).unwrap();
    let mut connection = pool.acquire().await.unwrap();
    outbox.write(&mut *connection, NOTES, &note("a", 2)).await.unwrap();
    assert_eq!(sink.number().await, 2);
    relay.stop().await.unwrap();
}

#[tokio::test]
async fn a_wrong_option_is_named() {
    let (_, outbox) = Stage::sqlite().outbox().await;
    let error = outbox.relay(broker(), RelayConfig::new().batch(0)).unwrap_err().to_string();
    assert!(error.contains("batch: 0"), "{error}");
}
