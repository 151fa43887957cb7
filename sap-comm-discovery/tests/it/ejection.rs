//! Endpoints that keep failing are left out, but never so many that none would be left.

use std::time::Duration;

use sap_comm_discovery::{Balancer, BalancerConfig, Outcome};
use tokio::time::advance;

use crate::script::{Script, quick, shares};

/// Fails the endpoint of this name until it is ejected.
fn eject(balancer: &Balancer, name: &str) {
    for _ in 0..100_000 {
        let picked = balancer.pick().unwrap();
        let bad = picked.endpoint().authority().starts_with(name);
        picked.report(if bad { Outcome::Failure } else { Outcome::Success(Duration::from_secs(5)) });
        let snapshot = balancer.snapshot();
        let known = snapshot.endpoints.iter().find(|known| known.endpoint.authority().starts_with(name)).unwrap();
        if known.ejected_for_ms.is_some() {
            return;
        }
    }
    panic!("{name} was not ejected: {:?}", balancer.snapshot());
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_that_keeps_failing_is_left_out_and_comes_back_on_trial() {
    let script = Script::new();
    let balancer = script.balancer(BalancerConfig::default()).await;
    script.endpoints(&["http://a:1", "http://b:2"]).await;
    eject(&balancer, "b");
    let known = balancer.snapshot().endpoints.remove(1);
    assert_eq!((known.failures_in_a_row, known.ejected_for_ms), (5, Some(10_000)));
    assert_eq!(shares(&balancer, 1_000, quick)[1].1, 0);

    advance(Duration::from_secs(10)).await;
    assert_eq!(balancer.snapshot().endpoints[1].ejected_for_ms, None);
    assert_eq!(balancer.snapshot().endpoints[1].share, 0.1, "slow start after an ejection");
    eject(&balancer, "b");
    let known = balancer.snapshot().endpoints.remove(1);
    assert_eq!((known.failures_in_a_row, known.ejected_for_ms), (6, Some(20_000)));
}

#[tokio::test(start_paused = true)]
async fn below_the_panic_threshold_ejections_are_ignored() {
    let script = Script::new();
    let balancer = script.balancer(BalancerConfig::default()).await;
    script.endpoints(&["http://a:1", "http://b:2", "http://c:3"]).await;
    eject(&balancer, "b");
    assert!(!balancer.snapshot().panic);
    eject(&balancer, "c");
    assert!(balancer.snapshot().panic);
    let picked: Vec<_> = (0..300).map(|_| balancer.pick().unwrap()).collect();
    let asked = balancer.snapshot().endpoints.iter().filter(|known| known.in_flight > 0).count();
    assert_eq!(asked, 3);
    drop(picked);
}

#[tokio::test(start_paused = true)]
async fn the_only_endpoint_is_asked_however_often_it_fails() {
    let script = Script::new();
    let balancer = script.balancer(BalancerConfig::default()).await;
    script.endpoints(&["http://a:1"]).await;
    for _ in 0..20 {
        balancer.pick().unwrap().report(Outcome::Failure);
    }
    assert!(balancer.snapshot().panic);
    assert!(balancer.pick().is_ok());
}

#[tokio::test(start_paused = true)]
async fn failures_hint_the_resolver_once_a_second() {
    let script = Script::new();
    let balancer = script.balancer(BalancerConfig::default()).await;
    script.endpoints(&["http://a:1"]).await;
    for _ in 0..10 {
        balancer.pick().unwrap().report(Outcome::Failure);
    }
    assert_eq!(script.refreshes(), 1);
    advance(Duration::from_secs(1)).await;
    balancer.pick().unwrap().report(Outcome::Failure);
    assert_eq!(script.refreshes(), 2);
}
