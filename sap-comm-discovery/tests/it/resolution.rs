//! What the balancer makes of the resolver's answers.

use std::{sync::Arc, time::Duration};

use sap_comm_core::{Context, EnvResolver, Resolver};
use sap_comm_discovery::{Balancer, BalancerConfig, Outcome, PickError, ResolutionStatus};
use tokio::time::{Instant, advance};

use crate::script::{Script, settle};

fn no_endpoints() -> PickError {
    PickError::NoEndpoints { service: "user-service".into() }
}

#[tokio::test(start_paused = true)]
async fn picking_fails_fast_until_there_is_an_answer() {
    let script = Script::new();
    let balancer = script.balancer(BalancerConfig::default()).await;
    let error = balancer.pick().unwrap_err();
    assert!(matches!(&error, PickError::Unresolved(_)), "{error:?}");
    assert_eq!(error.service(), "user-service");
    script.unavailable(Duration::from_secs(1)).await;
    let error = balancer.pick().unwrap_err().to_string();
    assert_eq!(error, r#"cannot resolve service "user-service": the registry is down"#);
    assert_eq!(balancer.snapshot().status, ResolutionStatus::Unavailable);
    script.endpoints(&["http://a:1"]).await;
    assert_eq!(balancer.pick().unwrap().endpoint().authority(), "a:1");
}

#[tokio::test(start_paused = true)]
async fn an_empty_answer_empties_at_once() {
    let script = Script::new();
    let balancer = script.balancer(BalancerConfig::default()).await;
    script.endpoints(&["http://a:1"]).await;
    script.endpoints(&[]).await;
    assert_eq!(balancer.pick().unwrap_err(), no_endpoints());
    assert_eq!(script.refreshes(), 1, "a pick that finds nothing hints the resolver");
}

#[tokio::test(start_paused = true)]
async fn a_passing_empty_answer_is_doubted_where_the_policy_says_so() {
    let script = Script::new();
    let config = BalancerConfig::builder().empty_grace(Duration::from_secs(5)).build().unwrap();
    let balancer = script.balancer(config).await;
    script.endpoints(&["http://a:1"]).await;
    script.endpoints(&[]).await;
    advance(Duration::from_secs(4)).await;
    script.endpoints(&[]).await;
    assert!(balancer.pick().is_ok());
    script.endpoints(&["http://a:1"]).await;
    script.endpoints(&[]).await;
    advance(Duration::from_secs(4)).await;
    script.endpoints(&[]).await;
    advance(Duration::from_millis(1_001)).await;
    settle().await;
    assert_eq!(balancer.pick().unwrap_err(), no_endpoints());
}

#[tokio::test(start_paused = true)]
async fn the_last_endpoints_serve_until_they_are_too_old() {
    let script = Script::new();
    let balancer = script.balancer(BalancerConfig::default()).await;
    script.endpoints(&["http://a:1"]).await;
    for _ in 0..4 {
        script.unavailable(Duration::from_secs(60)).await;
        assert!(balancer.pick().is_ok());
        advance(Duration::from_secs(74)).await;
        settle().await;
    }
    assert!(balancer.pick().is_ok());
    advance(Duration::from_secs(5)).await;
    settle().await;
    assert!(matches!(balancer.pick(), Err(PickError::Unresolved(_))));
    script.endpoints(&["http://a:1"]).await;
    assert!(balancer.pick().is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_call_in_flight_ends_although_its_endpoint_is_gone() {
    let script = Script::new();
    let balancer = script.balancer(BalancerConfig::default()).await;
    script.endpoints(&["http://a:1"]).await;
    let picked = balancer.pick().unwrap();
    script.endpoints(&["http://b:2"]).await;
    assert_eq!(picked.endpoint().authority(), "a:1");
    picked.report(Outcome::Success(Duration::from_millis(1)));
    assert_eq!(balancer.pick().unwrap().endpoint().authority(), "b:2");
}

#[tokio::test(start_paused = true)]
async fn a_new_weight_keeps_the_record() {
    let script = Script::new();
    let balancer = script.balancer(BalancerConfig::default()).await;
    script.endpoints(&["http://a:1"]).await;
    let picked = balancer.pick().unwrap();
    script.endpoints(&["http://a:1*5"]).await;
    let known = balancer.snapshot().endpoints.remove(0);
    assert_eq!((known.weight, known.in_flight, known.share), (5, 1, 1.0));
    drop(picked);
    assert_eq!(balancer.snapshot().endpoints[0].in_flight, 0);
}

#[tokio::test(start_paused = true)]
async fn ready_waits_for_the_first_answer() {
    let script = Script::new();
    let balancer = script.balancer(BalancerConfig::default()).await;
    let waiting = tokio::spawn({
        let balancer = balancer.clone();
        async move { balancer.ready().await }
    });
    settle().await;
    script.unavailable(Duration::from_secs(1)).await;
    assert!(!waiting.is_finished(), "the resolver asks again before the deadline");
    script.endpoints(&["http://a:1"]).await;
    assert_eq!(waiting.await.unwrap(), Ok(()));
    script.endpoints(&[]).await;
    assert_eq!(balancer.ready().await, Err(no_endpoints()));
}

#[tokio::test(start_paused = true)]
async fn ready_gives_up_at_the_deadline() {
    let script = Script::new();
    let balancer = script.balancer(BalancerConfig::default()).await;
    let start = Instant::now();
    assert!(matches!(balancer.ready().await, Err(PickError::Unresolved(_))));
    assert_eq!(start.elapsed(), Duration::from_secs(5));
    let context = Context::root().with_timeout(Duration::from_secs(2));
    assert!(context.scope(balancer.ready()).await.is_err());
    assert_eq!(start.elapsed(), Duration::from_secs(7));
}

#[tokio::test(start_paused = true)]
async fn ready_does_not_wait_for_what_cannot_come() {
    let balancer = Balancer::new(Arc::new(EnvResolver::new()), "no-such-service", BalancerConfig::default());
    let start = Instant::now();
    let error = balancer.ready().await.unwrap_err().to_string();
    assert!(error.contains("NO_SUCH_SERVICE_URL"), "{error}");
    assert_eq!(start.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn the_watch_ends_with_the_last_clone() {
    let script = Script::new();
    let balancer = script.balancer(BalancerConfig::default()).await;
    script.endpoints(&["http://a:1"]).await;
    let clone = balancer.clone();
    let picked = balancer.pick().unwrap();
    drop(balancer);
    settle().await;
    assert_eq!(script.watched(), 1);
    drop(clone);
    settle().await;
    assert_eq!(script.watched(), 0, "a call in flight does not hold the watch");
    drop(picked);
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_ends_is_begun_anew() {
    let script = Script::new();
    let balancer = script.balancer(BalancerConfig::default()).await;
    script.endpoints(&["http://a:1"]).await;
    script.end();
    settle().await;
    assert_eq!(balancer.snapshot().status, ResolutionStatus::Unavailable);
    assert!(balancer.pick().is_ok());
    advance(Duration::from_secs(1)).await;
    settle().await;
    assert_eq!(script.watched(), 1);
    script.endpoints(&["http://b:2"]).await;
    assert_eq!(balancer.pick().unwrap().endpoint().authority(), "b:2");
}

#[tokio::test(start_paused = true)]
async fn a_snapshot_is_json_for_an_admin_page() {
    let script = Script::new();
    let balancer = script.balancer(BalancerConfig::default()).await;
    script.endpoints(&["http://a:1"]).await;
    let json = serde_json::to_value(balancer.snapshot()).unwrap();
    assert_eq!(json["service"], "user-service");
    assert_eq!(json["status"], "resolved");
    assert_eq!(json["panic"], false);
    let known = &json["endpoints"][0];
    assert_eq!(known["endpoint"], "http://a:1");
    assert_eq!((&known["inFlight"], &known["failuresInARow"]), (&0.into(), &0.into()));
    assert!(known.get("ejectedForMs").is_none() && json.get("error").is_none());
}

#[tokio::test(start_paused = true)]
async fn a_balancer_works_over_any_resolver() {
    let resolver: Arc<dyn Resolver> =
        sap_comm_discovery::resolver_from_url("static:user-service=http://127.0.0.1:1").unwrap();
    let balancer = Balancer::new(resolver, "user-service", BalancerConfig::default());
    balancer.ready().await.unwrap();
    assert_eq!(balancer.pick().unwrap().endpoint().authority(), "127.0.0.1:1");
}
