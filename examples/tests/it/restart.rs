use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use futures_util::future::join_all;
use sap_comm_examples::smoke::http::Http;
use sap_comm_testkit::RabbitNode;
use serde_json::json;
use tokio::time::Instant;

use crate::program::{Program, admin_token, eventually};

const USERS: usize = 40;
/// How many answers come before the blow.
const ANSWERS_BEFORE: usize = 12;

/// Creates users at once, and stops the program with `signal` in the middle of it; those that were confirmed.
async fn confirmed_before(signal: &str, arguments: &[&str]) -> Vec<String> {
    let mut program = Program::start(arguments);
    let http = Http::new(program.gateway().await);
    let admin = admin_token(&http).await;
    let (answers, blow) = (AtomicUsize::new(0), tokio::sync::Notify::new());
    let create = |number: usize| {
        let input = json!({"email": format!("user-{number}@example.com"), "password": "correct horse"});
        let (http, admin, answers, blow) = (&http, &admin, &answers, &blow);
        async move {
            let answer = http.post("/api/v1/users", &input).token(admin).send().await;
            if answers.fetch_add(1, Ordering::Relaxed) + 1 == ANSWERS_BEFORE {
                blow.notify_one();
            }
            let created = answer.ok().filter(|answer| answer.status == 201)?;
            Some(created.text("/id").unwrap())
        }
    };
    let strike = async {
        blow.notified().await;
        program.signal(signal).await;
    };
    let (created, ()) = tokio::join!(join_all((0..USERS).map(create)), strike);
    program.ended(Duration::from_secs(30)).await;
    created.into_iter().flatten().collect()
}

/// Every confirmed user has a profile in the end: neither the row nor its event was lost.
async fn all_have_profiles(users: &[String], arguments: &[&str]) {
    let mut program = Program::start(arguments);
    let http = Http::new(program.gateway().await);
    let admin = admin_token(&http).await;
    let until = Instant::now() + Duration::from_secs(60);
    for user in users {
        let path = format!("/api/v1/profiles/{user}");
        eventually(until, Duration::from_millis(100), async || {
            http.get(&path).token(&admin).expect(200).await.map_err(|error| error.to_string())
        })
        .await;
    }
}

async fn nothing_confirmed_is_lost(signal: &str) {
    let broker = RabbitNode::shared().await.unwrap().new_vhost().await.unwrap();
    let directory = tempfile::tempdir().unwrap();
    let database = format!("sqlite://{}", directory.path().display());
    let arguments = ["--listen", "127.0.0.1:0", "--broker", &broker, "--database", &database];
    let users = confirmed_before(signal, &arguments).await;
    assert!(users.len() >= ANSWERS_BEFORE / 2, "only {} users were confirmed", users.len());
    all_have_profiles(&users, &arguments).await;
}

#[tokio::test]
async fn nothing_confirmed_is_lost_by_ctrl_c() {
    nothing_confirmed_is_lost("INT").await;
}

#[tokio::test]
async fn nothing_confirmed_is_lost_by_kill_9() {
    nothing_confirmed_is_lost("KILL").await;
}
