use sap_comm_testkit::Postgres;

use crate::{eventually, is_alive};

#[tokio::test]
async fn postgres_keeps_what_was_committed_through_kill_and_restart() {
    let postgres = Postgres::start().await.unwrap();
    let url = postgres.new_database().await.unwrap();
    let database = url.rsplit('/').next().unwrap();
    postgres.execute(database, "CREATE TABLE t (x int); INSERT INTO t VALUES (42)").await.unwrap();
    let postmaster = postgres.execute(database, "SELECT pg_backend_pid()").await.unwrap();
    postgres.kill().await.unwrap();
    assert!(postgres.execute(database, "SELECT 1").await.is_err());
    let backend: u32 = postmaster.parse().unwrap();
    eventually("no backend outlives the server", || !is_alive(backend)).await;
    postgres.restart().await.unwrap();
    assert_eq!(postgres.execute(database, "SELECT x FROM t").await.unwrap(), "42");
}

#[tokio::test]
async fn each_database_of_a_shared_server_is_empty() {
    let postgres = Postgres::shared().await.unwrap();
    let (one, other) = (postgres.new_database().await.unwrap(), postgres.new_database().await.unwrap());
    assert_ne!(one, other);
    for url in [one, other] {
        let database = url.rsplit('/').next().unwrap();
        postgres.execute(database, "CREATE TABLE only_here (x int)").await.unwrap();
    }
    let error = postgres.execute("nowhere", "SELECT 1").await.unwrap_err().to_string();
    assert!(error.contains("\"nowhere\" does not exist"), "{error}");
}
