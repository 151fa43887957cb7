use futures_util::future::join_all;
use sap_comm_examples::database::{Database, DatabaseUrl};
use sap_comm_testkit::Postgres;

const SCHEMA: &str = "CREATE TABLE IF NOT EXISTS things (id TEXT PRIMARY KEY);
    CREATE INDEX IF NOT EXISTS things_by_id ON things (id);";

/// Instances of one service that start at the same moment.
const INSTANCES: usize = 6;

async fn many_open_at_once(url: &str) {
    let url: DatabaseUrl = url.parse().unwrap();
    let opened = join_all((0..INSTANCES).map(|_| Database::open(&url, "new-service", SCHEMA))).await;
    for database in opened {
        let database = database.unwrap();
        sqlx::query("SELECT COUNT(*) FROM things").execute(database.pool()).await.unwrap();
        database.close().await;
    }
}

#[tokio::test]
async fn instances_that_start_at_once_make_one_schema_in_postgresql() {
    many_open_at_once(&Postgres::shared().await.unwrap().new_database().await.unwrap()).await;
}

#[tokio::test]
async fn instances_that_start_at_once_make_one_schema_in_sqlite() {
    let directory = tempfile::tempdir().unwrap();
    many_open_at_once(&format!("sqlite://{}", directory.path().display())).await;
}
