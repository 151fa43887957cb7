use sap_comm::auth::{ApiKey, ApiKeySet, ApiKeys};

use super::*;
use crate::database::DatabaseUrl;

const EMAIL: &str = "grace@example.com";

async fn store() -> (tempfile::TempDir, Store) {
    let directory = tempfile::tempdir().unwrap();
    let url = DatabaseUrl::Sqlite(directory.path().to_owned());
    (directory, Store(Database::open(&url, "auth-service", SCHEMA).await.unwrap()))
}

fn change(email: &str, role: &str, version: i64) -> UserUpdated {
    UserUpdated { user_id: "usr_1".into(), email: email.into(), roles: vec![role.into()], version }
}

#[tokio::test]
async fn nobody_logs_in_before_activation() {
    let (_directory, store) = store().await;
    for id in ["usr_1", "usr_2"] {
        store.prepare(id, EMAIL, "a hash", &[]).await.unwrap();
    }
    assert!(store.find_by_email(EMAIL).await.unwrap().is_none());
    let refresh = StoredRefresh { session: "ses_1".into(), hash: String::new(), expires_at: Timestamp::now() };
    store.begin_session("usr_1", &refresh).await.unwrap();
    assert!(store.find_by_session("ses_1").await.unwrap().is_none());
    assert!(store.activate("usr_2").await.unwrap());
    assert_eq!(store.find_by_email(EMAIL).await.unwrap().unwrap().user_id, "usr_2");
    // The other one's credentials never take an address that is in use.
    assert!(store.activate("usr_1").await.is_err());
    assert!(!store.activate("usr_3").await.unwrap());
}

#[tokio::test]
async fn a_late_call_changes_no_active_credentials() {
    let (_directory, store) = store().await;
    store.prepare("usr_1", EMAIL, "the hash", &[]).await.unwrap();
    store.activate("usr_1").await.unwrap();
    store.prepare("usr_1", "other@example.com", "another hash", &["admin".into()]).await.unwrap();
    let found = store.find_by_email(EMAIL).await.unwrap().unwrap();
    assert_eq!((&*found.password_hash, found.roles.len()), ("the hash", 0));
}

#[tokio::test]
async fn an_outdated_change_is_left_alone() {
    let (_directory, store) = store().await;
    store.prepare("usr_1", EMAIL, "the hash", &[]).await.unwrap();
    // Before the activation as well: events may overtake one another.
    assert!(store.update(&change("new@example.com", "editor", 3)).await.unwrap());
    store.activate("usr_1").await.unwrap();
    assert!(!store.update(&change("old@example.com", "user", 2)).await.unwrap());
    assert_eq!(store.find_by_email("new@example.com").await.unwrap().unwrap().roles, ["editor"]);
    assert!(!store.update(&UserUpdated { user_id: "usr_2".into(), ..change(EMAIL, "user", 9) }).await.unwrap());
}

#[tokio::test]
async fn an_owner_rotates_its_keys_without_a_gap() {
    let (_directory, store) = store().await;
    let keys = ApiKeys::load(store.clone(), ApiKeySet::default()).await.unwrap();
    let scopes = ["users:read".to_owned()];
    let (old, old_record) = keys.create("report-service", &scopes).await.unwrap();
    let (new, _) = keys.create("report-service", &scopes).await.unwrap();
    let accepts = |keys: &ApiKeys<Store>, key: &ApiKey| keys.accepted().verify(key.expose().expose()).is_ok();
    // Another process with the same database.
    let other = ApiKeys::load(store.clone(), ApiKeySet::default()).await.unwrap();
    for keys in [&keys, &other] {
        assert!(accepts(keys, &old) && accepts(keys, &new));
    }
    let revoked = keys.revoke(&old_record.prefix).await.unwrap().unwrap();
    assert!(revoked.revoked_at.is_some());
    assert!(!accepts(&keys, &old) && accepts(&keys, &new));
    other.refresh().await.unwrap();
    assert!(!accepts(&other, &old) && accepts(&other, &new));
    let again = keys.revoke(&old_record.prefix).await.unwrap().unwrap();
    assert_eq!(again.revoked_at, revoked.revoked_at, "the first time stays");
    assert_eq!(keys.revoke("nothing").await.unwrap(), None);
}

#[tokio::test]
async fn a_database_has_no_secret_and_takes_no_prefix_twice() {
    let (_directory, store) = store().await;
    let keys = ApiKeys::load(store.clone(), ApiKeySet::default()).await.unwrap();
    let (key, record) = keys.create("report-service", &[]).await.unwrap();
    assert_eq!(keys.list().await.unwrap(), std::slice::from_ref(&record));
    let secret = key.expose().expose().split_at("sap_".len() + record.prefix.len() + 1).1.to_owned();
    let columns = "prefix || hash || owner || scopes";
    let row = sqlx::query(AssertSqlSafe(format!("SELECT {columns} FROM service_keys"))).fetch_one(store.pool()).await;
    assert!(!row.unwrap().try_get::<String, _>(0).unwrap().contains(&secret));
    assert!(store.insert(&record).await.is_err(), "it would take another key's place");
}
