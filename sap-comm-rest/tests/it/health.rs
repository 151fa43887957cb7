use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use sap_comm_rest::server::{CheckStatus, HealthRegistry};

use crate::support::{ask, serve};

const LIVE: &str = "GET /health/live HTTP/1.1\r\nhost: a\r\n\r\n";
const READY: &str = "GET /health/ready HTTP/1.1\r\nhost: a\r\n\r\n";

#[tokio::test]
async fn readiness_follows_the_checks_and_liveness_does_not() {
    let health = HealthRegistry::new();
    health.register("broker", || async { Ok::<_, std::io::Error>(()) });
    let server = serve(health.router()).await;
    let answer = ask(server.addr, READY).await;
    assert_eq!((answer.status, answer.json()["checks"]["broker"].as_str()), (200, Some("up")));
    health.register("database", || async { Err("password=hunter2") });
    let answer = ask(server.addr, READY).await;
    assert_eq!((answer.status, answer.code().as_str()), (503, "SERVICE_UNAVAILABLE"));
    assert_eq!(answer.error()["details"]["checks"], serde_json::json!({"broker": "up", "database": "down"}));
    assert!(!answer.body.contains("hunter2"));
    assert_eq!(ask(server.addr, LIVE).await.status, 200);
}

#[tokio::test]
async fn a_service_that_drains_is_not_ready() {
    let health = HealthRegistry::new();
    let server = serve(health.router()).await;
    assert_eq!(ask(server.addr, READY).await.status, 200);
    health.set_draining();
    let answer = ask(server.addr, READY).await;
    assert_eq!((answer.status, answer.error()["details"]["status"].as_str()), (503, Some("draining")));
    assert_eq!(ask(server.addr, LIVE).await.status, 200);
}

#[tokio::test(start_paused = true)]
async fn a_check_that_hangs_is_given_up() {
    let health = HealthRegistry::new();
    health.register("database", std::future::pending::<Result<(), std::io::Error>>);
    let report = health.report().await;
    assert_eq!(report.checks["database"], CheckStatus::Timeout);
    assert!(!report.is_ready());
}

#[tokio::test(start_paused = true)]
async fn a_flood_of_probes_costs_one_round_a_second() {
    let (health, runs) = (HealthRegistry::new(), Arc::new(AtomicUsize::new(0)));
    let counted = Arc::clone(&runs);
    health.register("database", move || {
        counted.fetch_add(1, Ordering::SeqCst);
        async { Ok::<_, std::io::Error>(()) }
    });
    for _ in 0..100 {
        assert!(health.report().await.is_ready());
    }
    assert_eq!(runs.load(Ordering::SeqCst), 1);
    tokio::time::advance(Duration::from_secs(1)).await;
    health.report().await;
    assert_eq!(runs.load(Ordering::SeqCst), 2);
}
