//! What the gateway is told on the command line.

use std::time::Duration;

use sap_comm_examples::smoke::http::Http;
use serde_json::json;
use tokio::time::Instant;

use crate::program::{Program, admin_token, eventually};

/// A changed file is served by within a second; this is for a busy machine.
const BOUND: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(50);

/// A file of one route, which leads to the list of users.
fn route_at(path: &str) -> String {
    json!({"routes": [{
        "path": path, "methods": ["GET"], "target": {"service": "user-service"}, "rewrite": "/api/v1/users",
        "access": "authenticated", "roles": ["admin"],
    }]})
    .to_string()
}

#[tokio::test]
async fn routes_come_from_a_file_that_may_change_and_the_admin_page_shows_them() {
    let files = tempfile::tempdir().unwrap();
    let path = files.path().join("routes.json");
    std::fs::write(&path, route_at("/people")).unwrap();
    let file = path.display().to_string();
    let arguments = ["--listen", "127.0.0.1:0", "--routes-file", &file, "--admin-listen", "127.0.0.1:0"];
    let mut program = Program::start(&arguments);
    let gateway = Http::new(program.address("console").await);
    let admin = Http::new(program.address("gateway admin").await);
    let token = admin_token(&gateway).await;
    gateway.get("/people").expect(401).await.unwrap();
    gateway.get("/people").token(&token).expect(200).await.unwrap();
    gateway.get("/api/v1/users").token(&token).expect(200).await.unwrap();

    admin.get("/").expect(401).await.unwrap();
    let shown = admin.get("/").token(&token).expect(200).await.unwrap();
    let routes = shown.body["routes"].as_array().unwrap();
    assert!(routes.iter().any(|route| route["path"] == "/people"), "{routes:?}");
    assert_eq!(shown.body["routesFile"], json!({"generation": 0}));
    // The outside does not reach it.
    gateway.get("/upstreams").token(&token).expect(404).await.unwrap();

    std::fs::write(&path, route_at("/staff")).unwrap();
    eventually(Instant::now() + BOUND, PAUSE, async || {
        gateway.get("/staff").token(&token).expect(200).await.map_err(|error| error.to_string())
    })
    .await;
    gateway.get("/people").token(&token).expect(404).await.unwrap();

    std::fs::write(&path, "{").unwrap();
    let status = eventually(Instant::now() + BOUND, PAUSE, async || {
        let shown = admin.get("/").token(&token).expect(200).await.map_err(|error| error.to_string())?;
        let status = shown.body["routesFile"].clone();
        if status["error"].is_string() { Ok(status) } else { Err(status.to_string()) }
    })
    .await;
    assert_eq!(status["generation"], 1);
    gateway.get("/staff").token(&token).expect(200).await.unwrap();
}

#[cfg(feature = "redis")]
#[tokio::test]
async fn gateways_behind_a_proxy_count_its_clients_together() {
    const QUOTA: u32 = 10_000;

    let redis = sap_comm_testkit::Redis::start().await.unwrap();
    let files = tempfile::tempdir().unwrap();
    let path = files.path().join("routes.json");
    // Nothing is given back before the test has ended.
    let routes = json!({"routes": [{
        "path": "/keys", "methods": ["GET"], "target": {"service": "auth-service"}, "rewrite": "/.well-known/jwks.json",
        "access": "public", "rate_limit": {"requests": QUOTA, "per": "1day"},
    }]});
    std::fs::write(&path, routes.to_string()).unwrap();
    let (file, redis) = (path.display().to_string(), redis.url());
    let arguments = [
        &["--listen", "127.0.0.1:0", "--trusted-proxy", "127.0.0.0/8"][..],
        &["--routes-file", &file, "--shared-limits", &redis],
    ];
    let (mut one, mut two) = (Program::start(&arguments.concat()), Program::start(&arguments.concat()));
    let (one, two) = (Http::new(one.gateway().await), Http::new(two.gateway().await));
    let left = async |gateway: &Http, client: &str| -> u32 {
        let answer = gateway.get("/keys").header("x-forwarded-for", client).expect(200).await.unwrap();
        answer.headers["ratelimit-remaining"].to_str().unwrap().parse().unwrap()
    };
    // Gateways that counted alone would always agree; one that has to wait for Redis does for a while.
    eventually(Instant::now() + BOUND, PAUSE, async || {
        let (at_one, at_two) = (left(&one, "203.0.113.1").await, left(&two, "203.0.113.1").await);
        if at_two + 1 == at_one { Ok(()) } else { Err(format!("{at_one} and {at_two}")) }
    })
    .await;
    assert_eq!(left(&one, "203.0.113.2").await, QUOTA - 1, "another client has a quota of its own");
}

#[tokio::test]
async fn what_the_gateway_cannot_use_ends_the_program_with_the_reason() {
    for (option, value, reason) in [
        ("--routes-file", "/nowhere/routes.toml", "/nowhere/routes.toml"),
        ("--trusted-proxy", "10.0.0.0/99", "10.0.0.0/99"),
        #[cfg(feature = "redis")]
        ("--shared-limits", "http://secret@redis", "shared_limits.url"),
        ("--admin-listen", "0.0.0.0:0", "--insecure-plain-http"),
    ] {
        let (code, _, stderr) = crate::program::run(&["--listen", "127.0.0.1:0", option, value]).await;
        assert_eq!(code, Some(1), "{option}: {stderr}");
        assert!(stderr.contains(reason) && !stderr.contains("secret"), "{option}: {stderr}");
    }
}
