//! What was committed is sent at least once, whatever ends in between; an inbox makes it once.

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use sap_comm_core::Event;
use sap_comm_events::{EventRouter, inbox::Inbox};
use sap_comm_testkit::Postgres;
use sqlx::Executor;
use tokio::time::sleep;

use super::stage::{
    NOTES, NoteTaken, Sink, Stage, all_sent, brisk, broker, count, eventually, note, on_both_databases,
};

/// So that what a relay had claimed when it died is free soon.
const LEASE: Duration = Duration::from_millis(200);

/// From now on no event can be marked as sent.
async fn refuse_marks(stage: &Stage, pool: &sqlx::AnyPool) {
    let trigger = match stage {
        Stage::Sqlite(_) => {
            "CREATE TRIGGER unmarked BEFORE UPDATE OF sent_at ON sap_outbox
             BEGIN SELECT RAISE(ABORT, 'no marks'); END"
        }
        Stage::Postgres(_) => {
            "CREATE FUNCTION no_marks() RETURNS trigger LANGUAGE plpgsql
             AS $$ BEGIN RAISE EXCEPTION 'no marks'; END $$;
             CREATE TRIGGER unmarked BEFORE UPDATE OF sent_at ON sap_outbox FOR EACH ROW EXECUTE FUNCTION no_marks()"
        }
    };
    pool.execute(trigger).await.unwrap();
}

async fn allow_marks(stage: &Stage, pool: &sqlx::AnyPool) {
    let statement = match stage {
        Stage::Sqlite(_) => "DROP TRIGGER unmarked",
        Stage::Postgres(_) => "DROP TRIGGER unmarked ON sap_outbox",
    };
    pool.execute(statement).await.unwrap();
}

on_both_databases! {
    async fn a_relay_killed_before_its_mark_has_the_event_sent_again_and_taken_once(stage: &Stage) {
        let (pool, outbox) = stage.outbox().await;
        let inbox = Inbox::new(pool.clone(), "note-service");
        inbox.migrate().await.unwrap();
        pool.execute("CREATE TABLE effects (number BIGINT NOT NULL)").await.unwrap();
        let broker = broker();
        let deliveries = Arc::new(AtomicUsize::new(0));
        let router = EventRouter::new().on({
            let (pool, deliveries) = (pool.clone(), Arc::clone(&deliveries));
            let begin = if matches!(stage, Stage::Sqlite(_)) { "BEGIN IMMEDIATE" } else { "BEGIN" };
            move |event: Event<NoteTaken>| {
                let (pool, inbox, deliveries) = (pool.clone(), inbox.clone(), Arc::clone(&deliveries));
                async move {
                    let mut transaction = pool.begin_with(begin).await?;
                    if inbox.once(&mut transaction, &event.id).await? {
                        let insert = sqlx::query("INSERT INTO effects (number) VALUES ($1)");
                        insert.bind(i64::from(event.data.number)).execute(&mut *transaction).await?;
                        transaction.commit().await?;
                    }
                    deliveries.fetch_add(1, Ordering::SeqCst);
                    Ok(())
                }
            }
        });
        let _subscription = broker.subscribe(NOTES, router).await.unwrap();

        refuse_marks(stage, &pool).await;
        stage.note(&pool, &outbox, "a", 1).await;
        let (relay_pool, first) = stage.outbox().await;
        let relay = first.relay(broker.clone(), brisk().lease(LEASE)).unwrap();
        eventually("a delivery", || async { deliveries.load(Ordering::SeqCst) == 1 }).await;
        drop(relay);
        relay_pool.close().await;
        allow_marks(stage, &pool).await;
        assert_eq!(outbox.pending().await.unwrap(), 1);

        let relay = outbox.relay(broker.clone(), brisk().lease(LEASE)).unwrap();
        all_sent(&outbox).await;
        relay.stop().await.unwrap();
        eventually("another delivery", || async { deliveries.load(Ordering::SeqCst) == 2 }).await;
        assert_eq!(count(&pool, "SELECT COUNT(*) FROM effects").await, 1);
    }

    async fn a_database_that_takes_no_marks_does_not_make_the_relay_repeat_itself(stage: &Stage) {
        let (pool, outbox) = stage.outbox().await;
        let broker = broker();
        let mut sink = Sink::new(&broker).await;
        refuse_marks(stage, &pool).await;
        let relay = outbox.relay(broker.clone(), brisk()).unwrap();
        stage.note(&pool, &outbox, "a", 1).await;
        stage.note(&pool, &outbox, "b", 2).await;
        let first = sink.number().await;
        eventually("a claim", || async {
            count(&pool, "SELECT COUNT(*) FROM sap_outbox WHERE lease_owner IS NOT NULL").await > 0
        })
        .await;
        allow_marks(stage, &pool).await;
        all_sent(&outbox).await;
        relay.stop().await.unwrap();
        let rest: Vec<_> = sink.so_far().iter().map(|note| note.number).collect();
        assert_eq!((first, rest), (1, vec![2]));
    }

    async fn what_a_process_left_behind_the_next_one_sends(stage: &Stage) {
        let (pool, outbox) = stage.outbox().await;
        for number in 0..5 {
            stage.note(&pool, &outbox, "a", number).await;
        }
        pool.close().await;
        drop(outbox);

        let (_, outbox) = stage.outbox().await;
        assert_eq!(outbox.pending().await.unwrap(), 5);
        let broker = broker();
        let mut sink = Sink::new(&broker).await;
        let _relay = outbox.relay(broker.clone(), brisk()).unwrap();
        for number in 0..5 {
            assert_eq!(sink.number().await, number);
        }
    }

    async fn nothing_committed_is_missing_although_relays_are_killed_at_random(stage: &Stage) {
        let (pool, outbox) = stage.outbox().await;
        let broker = broker();
        let mut sink = Sink::new(&broker).await;
        let mut random = fastrand::Rng::with_seed(7);
        let config = brisk().batch(5).lease(LEASE).poll_interval(Duration::from_millis(5));
        let mut relays = Vec::new();
        let mut committed = HashSet::new();
        for number in 0..150 {
            let key = if random.bool() { "a" } else { "b" };
            let mut transaction = stage.begin(&pool).await;
            outbox.write_ordered(&mut transaction, NOTES, key, &note(key, number)).await.unwrap();
            if random.u8(0..4) == 0 {
                transaction.rollback().await.unwrap();
            } else {
                transaction.commit().await.unwrap();
                committed.insert((key.to_owned(), number));
            }
            match random.u8(0..6) {
                0 => relays.push(outbox.relay(broker.clone(), config.clone()).unwrap()),
                1 if !relays.is_empty() => drop(relays.swap_remove(random.usize(0..relays.len()))),
                // A moment for the relays, not a wait for anything.
                _ => sleep(Duration::from_millis(random.u64(0..4))).await,
            }
        }
        drop(relays);
        // On a busy machine its last writes may take long, and that is not what is looked at here.
        let relay = outbox.relay(broker.clone(), config.drain_timeout(Duration::from_secs(60))).unwrap();
        all_sent(&outbox).await;
        relay.stop().await.unwrap();

        let mut sent = HashSet::new();
        let mut last = HashMap::new();
        while sent.len() < committed.len() {
            let note = sink.next().await.0.data;
            if sent.insert((note.key.clone(), note.number)) {
                let before = last.insert(note.key.clone(), note.number);
                assert!(before < Some(note.number), "{note:?} first came after {before:?}");
            }
        }
        assert_eq!(sent, committed);
    }
}

#[tokio::test]
async fn a_relay_outlives_its_database() {
    let server = Postgres::start().await.unwrap();
    let stage = Stage::Postgres(server.new_database().await.unwrap());
    let (pool, outbox) = stage.outbox().await;
    let broker = broker();
    let mut sink = Sink::new(&broker).await;
    let relay = outbox.relay(broker.clone(), brisk()).unwrap();
    stage.note(&pool, &outbox, "a", 1).await;
    assert_eq!(sink.number().await, 1);
    all_sent(&outbox).await;
    server.kill().await.unwrap();
    server.restart().await.unwrap();
    let (pool, outbox) = stage.outbox().await;
    stage.note(&pool, &outbox, "a", 2).await;
    assert_eq!(sink.number().await, 2);
    relay.stop().await.unwrap();
}
