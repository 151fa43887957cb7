//! Breakers by name.

use sap_comm_resilience::{BreakerRegistry, CircuitBreaker};

use crate::support::hasty;

#[tokio::test(start_paused = true)]
async fn a_health_page_sees_every_breaker() {
    let registry = BreakerRegistry::new();
    let users = registry.get_or_build("users", |name| CircuitBreaker::builder(name).build()).unwrap();
    registry.register(hasty().build().unwrap());
    registry.get("test").unwrap().try_acquire().unwrap().failure();
    users.try_acquire().unwrap().success();
    let json = serde_json::to_value(registry.snapshot_all()).unwrap();
    assert_eq!(json[0]["name"], "test");
    assert_eq!(json[0]["state"], "open");
    assert_eq!(json[0]["retry_after"], "30s");
    assert_eq!(json[1]["name"], "users");
    assert_eq!(json[1]["state"], "closed");
    assert_eq!(json[1]["succeeded"], 1);
}

#[test]
fn a_name_is_built_once_and_an_error_adds_nothing() {
    let registry = BreakerRegistry::new();
    let broken = registry.get_or_build("users", |name| CircuitBreaker::builder(name).failure_rate(2.0).build());
    assert_eq!(broken.unwrap_err().field(), "failure_rate");
    assert!(registry.get("users").is_none());
    let first = registry.get_or_build("users", |name| CircuitBreaker::builder(name).build()).unwrap();
    first.isolate();
    let second = registry.get_or_build("users", |_| panic!("it is there")).unwrap();
    assert_eq!(second.state(), first.state());
    assert!(registry.remove("users").is_some() && registry.snapshot_all().is_empty());
}

#[test]
fn a_breaker_of_another_name_is_refused() {
    let registry = BreakerRegistry::new();
    let other = registry.get_or_build("users", |_| hasty().build());
    assert_eq!(other.unwrap_err().field(), "name");
    assert!(registry.snapshot_all().is_empty());
}
