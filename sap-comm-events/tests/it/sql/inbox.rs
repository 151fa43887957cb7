//! An event has its effect once.

use std::time::Duration;

use sap_comm_events::inbox::Inbox;

use super::stage::{Stage, count, eventually, on_both_databases};

on_both_databases! {
    async fn an_event_is_new_once_for_each_group(stage: &Stage) {
        let pool = stage.pool().await;
        let (audit, mail) = (Inbox::new(pool.clone(), "audit"), Inbox::new(pool.clone(), "mail"));
        audit.migrate().await.unwrap();
        mail.migrate().await.unwrap();
        let mut transaction = stage.begin(&pool).await;
        assert!(audit.once(&mut transaction, "evt_1").await.unwrap());
        assert!(!audit.once(&mut *transaction, "evt_1").await.unwrap());
        assert!(mail.once(&mut transaction, "evt_1").await.unwrap());
        assert!(audit.once(&mut transaction, "evt_2").await.unwrap());
        transaction.commit().await.unwrap();
        let mut transaction = stage.begin(&pool).await;
        assert!(!audit.once(&mut transaction, "evt_1").await.unwrap());
    }

    async fn an_event_may_have_any_id(stage: &Stage) {
        let pool = stage.pool().await;
        let inbox = Inbox::new(pool.clone(), "audit");
        inbox.migrate().await.unwrap();
        let mut connection = pool.acquire().await.unwrap();
        // Text that nothing compresses into an entry of an index.
        let long: String = (0..2_000).map(|number| format!("{:08x}", number * 2_654_435_761_u64)).collect();
        let longer = format!("{long}.");
        for id in ["a\0b", "a\0c", &long, &longer, "", "é"] {
            assert!(inbox.once(&mut connection, id).await.unwrap(), "{}", id.len());
            assert!(!inbox.once(&mut connection, id).await.unwrap(), "{}", id.len());
        }
        // All that fits into an index is noted as it is, as it was before there were digests.
        for group in ["audit", &long[..100], &long[..126], &long[..300]] {
            let id = &long[300..2_980 - group.len()];
            let note = "INSERT INTO sap_inbox (consumer_group, event_id, taken_at) VALUES ($1, $2, 0)";
            sqlx::query(note).bind(group).bind(id).execute(&mut *connection).await.unwrap();
            assert!(!Inbox::new(pool.clone(), group).once(&mut connection, id).await.unwrap(), "{}", group.len());
        }
    }

    async fn a_rollback_forgets_the_event(stage: &Stage) {
        let pool = stage.pool().await;
        let inbox = Inbox::new(pool.clone(), "audit");
        inbox.migrate().await.unwrap();
        let mut transaction = stage.begin(&pool).await;
        assert!(inbox.once(&mut transaction, "evt_1").await.unwrap());
        transaction.rollback().await.unwrap();
        let mut transaction = stage.begin(&pool).await;
        assert!(inbox.once(&mut transaction, "evt_1").await.unwrap());
    }

    async fn of_two_at_once_one_takes_the_event(stage: &Stage) {
        let pool = stage.pool().await;
        let inbox = Inbox::new(pool.clone(), "audit");
        inbox.migrate().await.unwrap();
        let take = || async {
            let mut transaction = stage.begin(&pool).await;
            let first = inbox.once(&mut transaction, "evt_1").await.unwrap();
            tokio::task::yield_now().await;
            transaction.commit().await.unwrap();
            first
        };
        let (one, two, three) = tokio::join!(take(), take(), take());
        assert_eq!([one, two, three].iter().filter(|first| **first).count(), 1);
    }

    async fn old_events_are_forgotten(stage: &Stage) {
        let pool = stage.pool().await;
        let inbox = Inbox::new(pool.clone(), "audit");
        inbox.migrate().await.unwrap();
        let mut connection = pool.acquire().await.unwrap();
        for number in 0..2_500 {
            inbox.once(&mut connection, &format!("evt_{number}")).await.unwrap();
        }
        Inbox::new(pool.clone(), "mail").once(&mut connection, "evt_1").await.unwrap();
        sqlx::query("UPDATE sap_inbox SET taken_at = taken_at - 3600000 WHERE event_id <> 'evt_7'")
            .execute(&mut *connection)
            .await
            .unwrap();
        assert_eq!(inbox.forget(Duration::from_secs(7_200)).await.unwrap(), 0);
        assert_eq!(inbox.forget(Duration::from_secs(1_800)).await.unwrap(), 2_499);
        assert_eq!(count(&pool, "SELECT COUNT(*) FROM sap_inbox").await, 2, "the other group's is its own");
        assert!(inbox.once(&mut connection, "evt_1").await.unwrap());
        drop(connection);
        assert!(inbox.cleanup(Duration::ZERO).unwrap_err().to_string().contains("age"));
        let _cleanup = Inbox::new(pool.clone(), "mail").cleanup(Duration::from_secs(60)).unwrap();
        eventually("a clean inbox", || async {
            count(&pool, "SELECT COUNT(*) FROM sap_inbox WHERE consumer_group = 'mail'").await == 0
        })
        .await;
    }
}
