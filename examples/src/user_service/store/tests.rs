use super::*;
use crate::database::DatabaseUrl;

const EMAIL: &str = "grace@example.com";

async fn store() -> (tempfile::TempDir, Store) {
    let directory = tempfile::tempdir().unwrap();
    let url = DatabaseUrl::Sqlite(directory.path().to_owned());
    (directory, Store(Database::open(&url, "user-service", SCHEMA).await.unwrap()))
}

async fn activate(store: &Store, id: &str) -> bool {
    let mut tx = store.begin().await.unwrap();
    let done = store.activate(&mut tx, id).await.unwrap();
    tx.commit().await.unwrap();
    done
}

async fn add_profile(store: &Store, id: &str, profile: ProfileInput) -> bool {
    let mut tx = store.begin().await.unwrap();
    let done = store.add_profile(&mut tx, id, profile).await.unwrap();
    tx.commit().await.unwrap();
    done
}

fn named(first_name: Option<&str>, last_name: Option<&str>) -> ProfileInput {
    let (first_name, last_name) = (first_name.map(Into::into), last_name.map(Into::into));
    ProfileInput { first_name, last_name, ..ProfileInput::default() }
}

#[tokio::test]
async fn a_reservation_is_taken_over_under_another_id() {
    let (_directory, store) = store().await;
    let first = store.reserve(EMAIL, &["admin".into()]).await.unwrap().unwrap();
    let second = store.reserve(EMAIL, &["user".into()]).await.unwrap().unwrap();
    assert_ne!(first.id, second.id);
    assert!(!activate(&store, &first.id).await);
    assert!(activate(&store, &second.id).await);
    assert_eq!(store.find(&second.id).await.unwrap().unwrap().user.roles, ["user"]);
    assert!(store.reserve(EMAIL, &[]).await.unwrap().is_none());
}

#[tokio::test]
async fn a_profile_that_comes_late_overwrites_nothing() {
    let (_directory, store) = store().await;
    let user = store.reserve(EMAIL, &[]).await.unwrap().unwrap();
    activate(&store, &user.id).await;
    let change = UpdateUser { profile: Some(named(None, Some("Hopper"))), ..UpdateUser::default() };
    let mut tx = store.begin().await.unwrap();
    assert!(matches!(
        store.update(&mut tx, &user.id, &change).await.unwrap(),
        Updated::To(Versioned { version: 2, .. })
    ));
    tx.commit().await.unwrap();
    assert!(add_profile(&store, &user.id, named(Some("Grace"), Some("Murray"))).await);
    let profile = store.profiles(&[&user.id]).await.unwrap().remove(0);
    assert_eq!((profile.first_name.as_deref(), profile.last_name.as_deref()), (Some("Grace"), Some("Hopper")));
}

#[tokio::test]
async fn a_deleted_user_gets_no_profile() {
    let (_directory, store) = store().await;
    let user = store.reserve(EMAIL, &[]).await.unwrap().unwrap();
    assert!(!add_profile(&store, &user.id, named(Some("Grace"), None)).await);
    activate(&store, &user.id).await;
    let mut tx = store.begin().await.unwrap();
    assert!(store.delete(&mut tx, &user.id).await.unwrap());
    tx.commit().await.unwrap();
    assert!(!add_profile(&store, &user.id, named(Some("Grace"), None)).await);
    assert!(store.profiles(&[&user.id]).await.unwrap().is_empty());
}
