use std::time::Duration;

use futures_util::future::join_all;
use sap_comm_examples::{
    demo,
    smoke::http::{Answer, Http},
};
use sap_comm_testkit::Postgres;
use serde_json::{Value, json};
use tokio::time::{Instant, timeout};

use crate::program::{Program, admin_token, eventually};

/// How many want one address at once.
const RIVALS: usize = 6;

/// How long what happens in the background may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// The pause before asking again.
const PAUSE: Duration = Duration::from_millis(50);

/// Asks again until a body is there that is `wanted`.
async fn found(until: Instant, http: &Http, path: &str, token: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    eventually(until, PAUSE, async || {
        let body = http.get(path).token(token).expect(200).await.map_err(|error| error.to_string())?.body;
        if wanted(&body) { Ok(body) } else { Err(format!("{path}: {body}")) }
    })
    .await
}

async fn login(http: &Http, email: &str, password: &str) -> Answer {
    http.post("/api/v1/auth/login", &json!({"email": email, "password": password})).send().await.unwrap()
}

/// The roles that a token claims.
fn roles(token: &str) -> Value {
    use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
    let payload = BASE64_URL_SAFE_NO_PAD.decode(token.split('.').nth(1).unwrap()).unwrap();
    serde_json::from_slice::<Value>(&payload).unwrap()["roles"].clone()
}

async fn one_address_becomes_one_user(arguments: &[&str]) {
    let mut program = Program::start(arguments);
    let http = Http::new(program.gateway().await);
    let admin = admin_token(&http).await;
    let email = "rivals@example.com";
    let create = |rival: usize| {
        let roles = [format!("rival-{rival}")];
        let input = json!({"email": email, "password": format!("correct horse {rival}"), "roles": roles});
        let (http, admin) = (&http, &admin);
        async move { http.post("/api/v1/users", &input).token(admin).send().await.unwrap() }
    };
    let answers = join_all((0..RIVALS).map(create)).await;
    let winners: Vec<_> = (0..RIVALS).filter(|&rival| answers[rival].status == 201).collect();
    assert_eq!(winners.len(), 1, "{answers:?}");
    for (rival, answer) in answers.iter().enumerate() {
        if rival == winners[0] {
            let token = login(&http, email, &format!("correct horse {rival}")).await.text("/accessToken").unwrap();
            assert_eq!(roles(&token), json!([format!("rival-{rival}")]));
            http.get(&format!("/api/v1/users/{}", answer.text("/id").unwrap()))
                .token(&token)
                .expect(200)
                .await
                .unwrap();
        } else {
            assert_eq!((answer.status.as_u16(), &answer.body["error"]["code"]), (409, &json!("EMAIL_ALREADY_EXISTS")));
            assert_eq!(login(&http, email, &format!("correct horse {rival}")).await.status, 401);
        }
    }
}

#[tokio::test]
async fn of_many_who_want_one_address_one_becomes_a_user_and_can_log_in() {
    one_address_becomes_one_user(&["--listen", "127.0.0.1:0"]).await;
}

#[tokio::test]
async fn of_many_who_want_one_address_one_becomes_a_user_on_postgresql() {
    let postgres = Postgres::shared().await.unwrap().new_database().await.unwrap();
    one_address_becomes_one_user(&["--listen", "127.0.0.1:0", "--database", &postgres]).await;
}

#[tokio::test]
async fn a_change_reaches_the_next_login_and_leaves_the_rest() {
    changes_reach_the_next_login(&["--listen", "127.0.0.1:0"]).await;
}

#[tokio::test]
async fn a_change_reaches_the_next_login_on_postgresql() {
    let postgres = Postgres::shared().await.unwrap().new_database().await.unwrap();
    changes_reach_the_next_login(&["--listen", "127.0.0.1:0", "--database", &postgres]).await;
}

async fn changes_reach_the_next_login(arguments: &[&str]) {
    let mut program = Program::start(arguments);
    let http = Http::new(program.gateway().await);
    let admin = admin_token(&http).await;
    let input = json!({"email": "old@example.com", "password": "correct horse", "profile": {"firstName": "Grace"}});
    let user = http.post("/api/v1/users", &input).token(&admin).expect(201).await.unwrap();
    let path = user.header("location").to_owned();
    // Before or after its profile is made from the event: nothing of it is lost.
    let change = json!({"email": "new@example.com", "profile": {"lastName": "Hopper"}}).to_string();
    let changed = http.call("PUT", &path).token(&admin).body(change).expect(200).await.unwrap();
    assert_eq!((&changed.body["email"], &changed.body["roles"]), (&json!("new@example.com"), &json!(["user"])));
    let change = json!({"roles": ["editor"]}).to_string();
    let changed = http.call("PUT", &path).token(&admin).body(change).expect(200).await.unwrap();
    assert_eq!((&changed.body["email"], &changed.body["roles"]), (&json!("new@example.com"), &json!(["editor"])));

    let until = Instant::now() + PATIENCE;
    // Guesses are limited, so this does not ask often.
    eventually(until, Duration::from_millis(500), async || {
        let answer = login(&http, "new@example.com", "correct horse").await;
        let changed = answer.status == 200 && roles(&answer.text("/accessToken").unwrap()) == json!(["editor"]);
        if changed { Ok(()) } else { Err(answer.body.to_string()) }
    })
    .await;
    assert_eq!(login(&http, "old@example.com", "correct horse").await.status, 401);
    let profile = path.replace("/users/", "/profiles/");
    let whole = |found: &Value| (&found["firstName"], &found["lastName"]) == (&json!("Grace"), &json!("Hopper"));
    found(until, &http, &profile, &admin, whole).await;
    // The address is free again, and taken addresses are refused.
    http.post("/api/v1/users", &input).token(&admin).expect(201).await.unwrap();
    let taken = json!({"email": "old@example.com"}).to_string();
    http.call("PUT", &path).token(&admin).body(taken).refused(409, "EMAIL_ALREADY_EXISTS").await.unwrap();
}

#[tokio::test]
async fn a_deleted_user_is_gone_everywhere() {
    let directory = tempfile::tempdir().unwrap();
    let database = format!("sqlite://{}", directory.path().display());
    let mut program = Program::start(&["--listen", "127.0.0.1:0", "--database", &database]);
    let http = Http::new(program.gateway().await);
    let admin = admin_token(&http).await;
    let input = json!({"email": "short@example.com", "password": "correct horse"});
    let user = http.post("/api/v1/users", &input).token(&admin).expect(201).await.unwrap();
    let (id, path) = (user.text("/id").unwrap(), user.header("location").to_owned());
    let own = login(&http, "short@example.com", "correct horse").await.text("/accessToken").unwrap();
    publish(&http, &admin, &[&id]).await;
    let until = Instant::now() + PATIENCE;
    found(until, &http, "/api/v1/notifications", &own, |body| body["pagination"]["total"] == 1).await;

    http.call("DELETE", &path).token(&admin).expect(204).await.unwrap();
    assert_eq!(login(&http, "short@example.com", "correct horse").await.status, 401);
    http.get(&path).token(&admin).refused(404, "USER_NOT_FOUND").await.unwrap();
    let profile = path.replace("/users/", "/profiles/");
    http.get(&profile).token(&admin).refused(404, "PROFILE_NOT_FOUND").await.unwrap();
    let until = Instant::now() + PATIENCE;
    // The token lives on for a while, the notifications do not.
    found(until, &http, "/api/v1/notifications", &own, |body| body["pagination"]["total"] == 0).await;
    // What user.deleted awaits is there: the outbox keeps nothing back.
    let outbox = format!("{database}/user-service.db");
    let outbox = sqlx::SqlitePool::connect(&outbox).await.unwrap();
    eventually(until, PAUSE, async || {
        let count = sqlx::query_scalar("SELECT COUNT(*) FROM sap_outbox WHERE sent_at IS NULL");
        let pending: i64 = count.fetch_one(&outbox).await.unwrap();
        if pending == 0 { Ok(()) } else { Err(format!("{pending} events stay in the outbox")) }
    })
    .await;
}

#[tokio::test]
async fn one_unknown_user_keeps_nobody_else_from_a_notification() {
    let mut program = Program::start(&["--listen", "127.0.0.1:0"]);
    let http = Http::new(program.gateway().await);
    let admin = admin_token(&http).await;
    let input = json!({"email": "known@example.com", "password": "correct horse"});
    let user = http.post("/api/v1/users", &input).token(&admin).expect(201).await.unwrap().text("/id").unwrap();
    let own = login(&http, "known@example.com", "correct horse").await.text("/accessToken").unwrap();
    publish(&http, &admin, &["usr_nobody", &user, &user]).await;
    publish(&http, &admin, &[&user]).await;
    let until = Instant::now() + PATIENCE;
    let told = |body: &Value| body["pagination"]["total"].as_u64() >= Some(2);
    let list = found(until, &http, "/api/v1/notifications", &own, told).await;
    assert_eq!(list["pagination"]["total"], 2);
    // The unknown one is left out, and what cannot be an id is retried; the known one has theirs once.
    publish(&http, &admin, &["no id", &user]).await;
    let buried = async {
        let mut left_out = false;
        while let Some(line) = program.stderr.recv().await {
            left_out |= line.contains("no such user to notify") && line.contains("usr_nobody");
            if line.contains("handling failed for good") {
                assert!(left_out && !line.contains("USER_NOT_FOUND"), "{line}");
                return;
            }
        }
        panic!("the program has ended");
    };
    timeout(Duration::from_secs(30), buried).await.expect("a dead letter in the end");
    let list = found(Instant::now() + PATIENCE, &http, "/api/v1/notifications", &own, |_| true).await;
    assert_eq!(list["pagination"]["total"], 3);
}

/// Drafts and publishes content.
async fn publish(http: &Http, admin: &str, audience: &[&str]) {
    let draft = json!({"title": "News", "body": "…", "audience": audience});
    let content = http.post("/api/v1/contents", &draft).token(admin).expect(201).await.unwrap();
    let path = format!("{}/publish", content.header("location"));
    http.call("POST", &path).token(admin).expect(200).await.unwrap();
}

#[tokio::test]
async fn an_update_of_another_version_is_refused_and_an_order_is_carried_out_once() {
    let mut program = Program::start(&["--listen", "127.0.0.1:0"]);
    let http = Http::new(program.gateway().await);
    let admin = admin_token(&http).await;
    let input = json!({"email": "once@example.com", "password": "correct horse"});
    let create = || http.post("/api/v1/users", &input).token(&admin).header("idempotency-key", "order-1");
    let user = create().expect(201).await.unwrap();
    let again = create().expect(201).await.unwrap();
    assert_eq!((&again.body, again.header("idempotency-replayed")), (&user.body, "true"));
    let other = json!({"email": "other@example.com", "password": "correct horse"});
    let reused = http.post("/api/v1/users", &other).token(&admin).header("idempotency-key", "order-1");
    reused.refused(422, "IDEMPOTENCY_VALIDATION_FAILED").await.unwrap();

    let path = user.header("location").to_owned();
    let seen = user.header("etag").to_owned();
    let known = http.get(&path).token(&admin).header("if-none-match", &seen).expect(304).await.unwrap();
    assert_eq!(known.header("etag"), seen);
    let change = |tag: &str| {
        let body = json!({"roles": ["editor"]}).to_string();
        http.call("PUT", &path).token(&admin).header("if-match", tag).body(body)
    };
    let changed = change(&seen).expect(200).await.unwrap();
    assert_ne!(changed.header("etag"), seen);
    let lost = change(&seen).refused(412, "PRECONDITION_FAILED").await.unwrap();
    assert_eq!(lost.text("/error/details/etag").unwrap(), changed.header("etag"));
    let delete = |tag: &str| http.call("DELETE", &path).token(&admin).header("if-match", tag);
    delete(&seen).refused(412, "PRECONDITION_FAILED").await.unwrap();
    http.get(&path).token(&admin).expect(200).await.unwrap();
    delete(changed.header("etag")).expect(204).await.unwrap();
    http.get(&path).token(&admin).refused(404, "USER_NOT_FOUND").await.unwrap();
    delete("*").refused(412, "PRECONDITION_FAILED").await.unwrap();
}

#[tokio::test]
async fn content_is_listed_by_cursor_and_the_old_list_is_deprecated() {
    let mut program = Program::start(&["--listen", "127.0.0.1:0"]);
    let http = Http::new(program.gateway().await);
    let admin = admin_token(&http).await;
    for number in 0..5 {
        let draft = json!({"title": format!("Draft {number}"), "body": "…"});
        http.post("/api/v1/contents", &draft).token(&admin).expect(201).await.unwrap();
    }
    let old = http.get("/api/v1/contents").token(&admin).expect(200).await.unwrap();
    assert!(old.header("deprecation").starts_with('@') && old.header("sunset").ends_with("GMT"));
    let mut titles = Vec::new();
    let mut path = "/api/v2/contents?limit=2".to_owned();
    loop {
        let page = http.get(&path).token(&admin).expect(200).await.unwrap();
        titles.extend(page.body["data"].as_array().unwrap().iter().map(|content| content["title"].clone()));
        // A draft that comes meanwhile moves nothing.
        let draft = json!({"title": "Late", "body": "…"});
        http.post("/api/v1/contents", &draft).token(&admin).expect(201).await.unwrap();
        match page.body["pagination"]["next"].as_str() {
            Some(cursor) => path = format!("/api/v2/contents?limit=2&cursor={cursor}"),
            None => break,
        }
    }
    assert_eq!(json!(titles), json!(["Draft 4", "Draft 3", "Draft 2", "Draft 1", "Draft 0"]));
    let foreign =
        http.get("/api/v2/contents?cursor=AAAA").token(&admin).refused(400, "INVALID_ARGUMENT").await.unwrap();
    assert_eq!(foreign.text("/error/details/parameter").unwrap(), "cursor");
}

#[tokio::test]
async fn a_refresh_token_that_comes_again_ends_its_session() {
    let postgres = Postgres::shared().await.unwrap().new_database().await.unwrap();
    let directory = tempfile::tempdir().unwrap();
    for database in [postgres, format!("sqlite://{}", directory.path().display())] {
        let mut program = Program::start(&["--listen", "127.0.0.1:0", "--database", &database]);
        let http = Http::new(program.gateway().await);
        let (email, password) = demo::USER;
        let begin = async || login(&http, email, password).await.text("/refreshToken").unwrap();
        let refresh = |token: &str| http.post("/api/v1/auth/refresh", &json!({"refreshToken": token}));
        let (first, other) = (begin().await, begin().await);
        let second = refresh(&first).expect(200).await.unwrap().text("/refreshToken").unwrap();
        let third = refresh(&second).expect(200).await.unwrap().text("/refreshToken").unwrap();
        for token in [&first, &third, "rubbish", ""] {
            refresh(token).refused(401, "INVALID_TOKEN").await.unwrap();
        }
        let other = refresh(&other).expect(200).await.unwrap().text("/refreshToken").unwrap();
        // Of several who trade one token at once, one at most succeeds, and nobody afterwards.
        let answers = join_all((0..RIVALS).map(|_| refresh(&other).send())).await;
        let won: Vec<_> = answers.into_iter().map(Result::unwrap).filter(|answer| answer.status == 200).collect();
        assert_eq!(won.len(), 1);
        for answer in won {
            refresh(&answer.text("/refreshToken").unwrap()).refused(401, "INVALID_TOKEN").await.unwrap();
        }
    }
}
