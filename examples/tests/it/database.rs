use futures_util::future::join_all;
use sap_comm_examples::{
    database::{Database, DatabaseUrl},
    smoke::http::Http,
};
use sap_comm_testkit::Postgres;
use serde_json::json;

use crate::program::Program;

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

#[tokio::test]
async fn text_that_postgresql_cannot_hold_is_the_caller_s_fault() {
    let database = Postgres::shared().await.unwrap().new_database().await.unwrap();
    let mut program = Program::start(&["--listen", "127.0.0.1:0", "--database", &database]);
    let http = Http::new(program.gateway().await);
    let login = json!({"email": "a\u{0}", "password": "x"});
    http.post("/api/v1/auth/login", &login).refused(422, "VALIDATION_FAILED").await.unwrap();
}
