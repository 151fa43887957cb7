//! What every store does, in the way that stores are asked.

use std::time::Duration;

use futures_util::future::join_all;
use sap_comm_rest::server::idempotency::{Claim, IdempotencyStore, KeptAnswer, MemoryIdempotencyStore};

const LEASE: Duration = Duration::from_secs(60);

fn answer(body: Option<&'static [u8]>) -> KeptAnswer {
    KeptAnswer {
        status: 201,
        headers: vec![("location".into(), "/orders/1".into())],
        body: body.map(bytes::Bytes::from_static),
    }
}

fn token(claim: Claim) -> String {
    match claim {
        Claim::Taken(token) => token,
        other => panic!("not taken: {other:?}"),
    }
}

async fn keys_are_claimed_kept_and_released(store: &dyn IdempotencyStore) {
    let claim = async |key: &str, fingerprint: &str| store.claim(key, fingerprint, key, LEASE).await.unwrap();
    let mine = token(claim("a", "x").await);
    assert!(matches!(claim("a", "x").await, Claim::InProgress(left) if left <= LEASE && left > LEASE / 2));
    assert_eq!(claim("a", "y").await, Claim::Reused);
    store.keep("a", "another", &answer(None), LEASE).await.unwrap();
    assert!(matches!(claim("a", "x").await, Claim::InProgress(_)));
    store.keep("a", &mine, &answer(Some(b"\x00\xff")), LEASE).await.unwrap();
    assert_eq!(claim("a", "x").await, Claim::Done(answer(Some(b"\x00\xff"))));
    assert_eq!(claim("a", "y").await, Claim::Reused);
    store.release("a", &mine).await.unwrap();
    assert!(matches!(claim("a", "x").await, Claim::Done(_)), "what is kept is not released");

    let mine = token(claim("b", "x").await);
    store.release("b", "another").await.unwrap();
    assert!(matches!(claim("b", "x").await, Claim::InProgress(_)));
    store.release("b", &mine).await.unwrap();
    let mine = token(claim("b", "y").await);
    store.keep("b", &mine, &answer(None), LEASE).await.unwrap();
    assert_eq!(claim("b", "y").await, Claim::Done(answer(None)));

    let claims = join_all((0..16).map(|_| claim("c", "x"))).await;
    assert_eq!(claims.iter().filter(|claim| matches!(claim, Claim::Taken(_))).count(), 1, "{claims:?}");
}

/// A lease that has ended is over at once; nobody waits for it.
async fn who_crashed_loses_the_key(store: &dyn IdempotencyStore) {
    let crashed = token(store.claim("d", "x", "d", Duration::ZERO).await.unwrap());
    let mine = token(store.claim("d", "y", "d", LEASE).await.unwrap());
    store.keep("d", &crashed, &answer(Some(b"late")), LEASE).await.unwrap();
    store.release("d", &crashed).await.unwrap();
    assert!(matches!(store.claim("d", "y", "d", LEASE).await.unwrap(), Claim::InProgress(_)));
    store.keep("d", &mine, &answer(Some(b"mine")), Duration::ZERO).await.unwrap();
    token(store.claim("d", "z", "d", LEASE).await.unwrap());
}

/// Of two keys.
async fn one_caller_has_its_share(store: &dyn IdempotencyStore) {
    let claim = async |key: &str, caller: &str, lease| store.claim(key, "x", caller, lease).await.unwrap();
    let is_soon = |wait| wait > LEASE / 2 && wait <= LEASE;
    let mine = token(claim("m1", "mallory", LEASE).await);
    token(claim("m2", "mallory", Duration::ZERO).await);
    let other = token(claim("m2", "mallory", LEASE * 3).await);
    for _ in 0..2 {
        let refused = claim("m3", "mallory", LEASE).await;
        assert!(
            matches!(refused, Claim::TooMany { limit: 2, retry_after } if is_soon(retry_after)),
            "until the first of them is over: {refused:?}"
        );
    }
    assert!(matches!(claim("m1", "mallory", LEASE).await, Claim::InProgress(_)), "what it has stays");
    for caller in ["alice", ""] {
        for number in 0..2 {
            token(claim(&format!("{caller}{number}"), caller, LEASE).await);
        }
        assert!(matches!(claim("m3", caller, LEASE).await, Claim::TooMany { .. }), "{caller:?}");
    }
    store.release("m1", &mine).await.unwrap();
    token(claim("m3", "mallory", LEASE).await);
    assert!(matches!(claim("m4", "mallory", LEASE).await, Claim::TooMany { .. }));
    store.keep("m2", &other, &answer(None), Duration::ZERO).await.unwrap();
    token(claim("m4", "mallory", LEASE).await);
}

#[tokio::test]
async fn in_memory() {
    let store = MemoryIdempotencyStore::new(10).unwrap();
    keys_are_claimed_kept_and_released(&store).await;
    who_crashed_loses_the_key(&store).await;
    one_caller_has_its_share(&MemoryIdempotencyStore::new(8).unwrap()).await;
}

#[tokio::test(start_paused = true)]
async fn a_full_store_refuses_until_keys_are_over() {
    let store = MemoryIdempotencyStore::new(2).unwrap();
    token(store.claim("a", "x", "a", LEASE).await.unwrap());
    token(store.claim("b", "x", "b", LEASE).await.unwrap());
    assert!(store.claim("c", "x", "c", LEASE).await.unwrap_err().to_string().contains("2 idempotency keys"));
    assert!(matches!(store.claim("a", "x", "a", LEASE).await.unwrap(), Claim::InProgress(_)));
    tokio::time::advance(LEASE).await;
    token(store.claim("c", "x", "c", LEASE).await.unwrap());
    assert_eq!((store.len(), store.is_empty()), (1, false));
}

#[tokio::test(start_paused = true)]
async fn one_caller_leaves_keys_to_others() {
    let store = MemoryIdempotencyStore::new(8).unwrap();
    let claim = async |key: &str, caller: &str| store.claim(key, "x", caller, LEASE).await.unwrap();
    let mine = token(claim("a", "mallory").await);
    token(claim("b", "mallory").await);
    assert_eq!(claim("c", "mallory").await, Claim::TooMany { limit: 2, retry_after: LEASE });
    assert!(matches!(claim("a", "mallory").await, Claim::InProgress(_)), "what it has stays");
    token(claim("c", "alice").await);
    for key in ["d", "e"] {
        token(claim(key, "").await);
    }
    assert!(matches!(claim("f", "").await, Claim::TooMany { .. }), "those without a name are one");
    store.release("a", &mine).await.unwrap();
    let mine = token(claim("f", "mallory").await);
    store.keep("f", &mine, &answer(None), LEASE * 3).await.unwrap();
    tokio::time::advance(LEASE / 2).await;
    let soon = Claim::TooMany { limit: 2, retry_after: LEASE / 2 };
    assert_eq!(claim("g", "mallory").await, soon, "until the first of them is over");
    tokio::time::advance(LEASE / 2).await;
    token(claim("a", "mallory").await);
    assert!(matches!(claim("b", "mallory").await, Claim::TooMany { .. }), "one that is kept, and a new one");
    assert_eq!(store.len(), 2, "what is over takes no room");
    let store = MemoryIdempotencyStore::new(8).unwrap();
    assert_eq!(store.max_keys_per_caller(9).unwrap_err().field(), "max_keys_per_caller");
}

#[cfg(feature = "sqlite")]
#[tokio::test]
async fn in_sqlite() {
    let directory = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}?mode=rwc", directory.path().join("keys.db").display());
    in_sql(&url, &["PRAGMA journal_mode = WAL", "PRAGMA busy_timeout = 10000"]).await;
}

#[cfg(feature = "postgres")]
#[tokio::test]
async fn in_postgresql() {
    let url = sap_comm_testkit::Postgres::shared().await.unwrap().new_database().await.unwrap();
    in_sql(&url, &[]).await;
}

#[cfg(feature = "sql")]
async fn in_sql(url: &str, session: &'static [&'static str]) {
    use sap_comm_rest::server::idempotency::SqlIdempotencyStore;
    use sqlx::Executor;

    sqlx::any::install_default_drivers();
    let options = sqlx::any::AnyPoolOptions::new().max_connections(4).after_connect(move |connection, _| {
        Box::pin(async move {
            for statement in session {
                connection.execute(*statement).await?;
            }
            Ok(())
        })
    });
    let pool = options.connect(url).await.unwrap();
    let store = SqlIdempotencyStore::new(pool.clone()).unwrap();
    // As it was before callers had a share.
    let table = "CREATE TABLE sap_idempotency (idempotency_key TEXT PRIMARY KEY, fingerprint TEXT NOT NULL, claim TEXT NOT NULL,
        answer TEXT, ends_at BIGINT NOT NULL)";
    pool.execute(table).await.unwrap();
    pool.execute("INSERT INTO sap_idempotency VALUES ('old', 'x', 'clm', NULL, 4000000000000)").await.unwrap();
    for migrated in join_all([store.migrate(), store.migrate()]).await {
        migrated.unwrap();
    }
    assert_eq!(store.claim("old", "y", "", LEASE).await.unwrap(), Claim::Reused);
    keys_are_claimed_kept_and_released(&store).await;
    who_crashed_loses_the_key(&store).await;
    one_caller_has_its_share(&store.clone().max_keys_per_caller(2).unwrap()).await;
    assert_eq!(store.clone().max_keys_per_caller(0).unwrap_err().field(), "max_keys_per_caller");
    for number in 0..25 {
        token(store.claim(&format!("over-{number}"), "x", "", Duration::ZERO).await.unwrap());
    }
    for number in 0..5 {
        token(store.claim(&format!("clean-{number}"), "x", "", LEASE).await.unwrap());
    }
    let left = "SELECT COUNT(*) FROM sap_idempotency WHERE idempotency_key LIKE 'over-%'";
    let left: i64 = sqlx::Row::try_get(&sqlx::query(left).fetch_one(&pool).await.unwrap(), 0).unwrap();
    assert_eq!(left, 0);
    pool.close().await;
}
