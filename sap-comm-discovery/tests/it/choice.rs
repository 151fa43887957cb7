//! Which endpoint is picked.

use std::time::Duration;

use sap_comm_discovery::{BalancerConfig, Outcome};
use tokio::time::advance;

use crate::script::{Script, quick, shares};

const CALLS: usize = 10_000;

fn no_ejection() -> BalancerConfig {
    BalancerConfig::builder().ejection_failures(0).build().unwrap()
}

#[tokio::test(start_paused = true)]
async fn equal_endpoints_get_equal_shares_of_concurrent_calls() {
    let script = Script::new();
    let balancer = script.balancer(BalancerConfig::default()).await;
    script.endpoints(&["http://a:1", "http://b:2", "http://c:3"]).await;
    let picked: Vec<_> = (0..300).map(|_| balancer.pick().unwrap()).collect();
    for known in balancer.snapshot().endpoints {
        assert!((95..=105).contains(&known.in_flight), "{known:?}");
    }
    drop(picked);
    assert!(balancer.snapshot().endpoints.iter().all(|known| known.in_flight == 0));
}

#[tokio::test(start_paused = true)]
async fn a_slow_endpoint_gets_less() {
    let script = Script::new();
    let balancer = script.balancer(BalancerConfig::default()).await;
    script.endpoints(&["http://fast:1", "http://slow:2"]).await;
    let shares = shares(&balancer, CALLS, |picked| {
        let slow = picked.endpoint().authority().starts_with("slow");
        Outcome::Success(Duration::from_millis(if slow { 200 } else { 5 }))
    });
    assert!(shares[1].1 < CALLS / 100, "{shares:?}");
}

#[tokio::test(start_paused = true)]
async fn another_endpoint_is_found_however_slow_it_is() {
    let script = Script::new();
    let balancer = script.balancer(BalancerConfig::default()).await;
    script.endpoints(&["http://fast:1", "http://slow:2"]).await;
    let _ = shares(&balancer, 100, |picked| {
        let slow = picked.endpoint().authority().starts_with("slow");
        Outcome::Success(Duration::from_millis(if slow { 200 } else { 5 }))
    });
    let fast = balancer.snapshot().endpoints[0].endpoint.clone();
    for _ in 0..100 {
        assert!(balancer.pick_except(&fast).unwrap().endpoint().authority().starts_with("slow"));
    }
    script.endpoints(&["http://fast:1", "http://zero:3*0"]).await;
    assert!(balancer.pick_except(&fast).is_none(), "what never serves does not serve now");
    script.endpoints(&["http://fast:1"]).await;
    assert!(balancer.pick_except(&fast).is_none());
}

#[tokio::test(start_paused = true)]
async fn failing_fast_attracts_nothing() {
    let script = Script::new();
    let balancer = script.balancer(no_ejection()).await;
    script.endpoints(&["http://good:1", "http://bad:2"]).await;
    let shares = shares(&balancer, CALLS, |picked| {
        if picked.endpoint().authority().starts_with("bad") {
            Outcome::Failure
        } else {
            Outcome::Success(Duration::from_millis(20))
        }
    });
    assert!(shares[0].1 < CALLS / 100, "sorted by name, the bad one is first: {shares:?}");
}

#[tokio::test(start_paused = true)]
async fn a_failed_endpoint_is_tried_again_once_its_penalty_has_faded() {
    let script = Script::new();
    let balancer = script.balancer(no_ejection()).await;
    script.endpoints(&["http://a:1", "http://b:2"]).await;
    let first = balancer.pick().unwrap();
    first.report(Outcome::Failure);
    let failed = first.endpoint().clone();
    drop(first);
    for _ in 0..120 {
        let picked = balancer.pick().unwrap();
        picked.report(quick(&picked));
        if *picked.endpoint() == failed {
            return;
        }
        advance(Duration::from_secs(1)).await;
    }
    panic!("{failed} was not asked again within two minutes");
}

#[tokio::test(start_paused = true)]
async fn weights_share_out_sequential_calls() {
    let script = Script::new();
    let balancer = script.balancer(BalancerConfig::default()).await;
    script.endpoints(&["http://a:1*3", "http://b:2*1", "http://zero:3*0"]).await;
    let shares = shares(&balancer, CALLS, quick);
    assert!((7_000..8_000).contains(&shares[0].1), "{shares:?}");
    assert_eq!(shares[2].1, 0, "{shares:?}");
}

#[tokio::test(start_paused = true)]
async fn weights_share_out_concurrent_calls() {
    let script = Script::new();
    let balancer = script.balancer(BalancerConfig::default()).await;
    script.endpoints(&["http://a:1*9", "http://b:2*1"]).await;
    let picked: Vec<_> = (0..1_000).map(|_| balancer.pick().unwrap()).collect();
    let snapshot = balancer.snapshot();
    assert!((50..=200).contains(&snapshot.endpoints[1].in_flight), "{snapshot:?}");
    drop(picked);
}

#[tokio::test(start_paused = true)]
async fn weights_of_zero_everywhere_say_nothing() {
    let script = Script::new();
    let balancer = script.balancer(BalancerConfig::default()).await;
    script.endpoints(&["http://a:1*0", "http://b:2*0"]).await;
    let shares = shares(&balancer, CALLS, quick);
    assert!(shares.iter().all(|share| share.1 > CALLS / 4), "{shares:?}");
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_that_joins_gets_its_share_by_and_by() {
    let script = Script::new();
    let balancer = script.balancer(BalancerConfig::default()).await;
    script.endpoints(&["http://a:1"]).await;
    script.endpoints(&["http://a:1", "http://new:2"]).await;
    assert_eq!(balancer.snapshot().endpoints[1].share, 0.1);
    let picked: Vec<_> = (0..100).map(|_| balancer.pick().unwrap()).collect();
    let early = balancer.snapshot().endpoints[1].in_flight;
    assert!((1..=25).contains(&early), "{early}");
    drop(picked);
    advance(Duration::from_secs(10)).await;
    let picked: Vec<_> = (0..100).map(|_| balancer.pick().unwrap()).collect();
    let late = balancer.snapshot().endpoints[1].in_flight;
    assert!((45..=55).contains(&late), "{late}");
    drop(picked);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_was_given_up_counts_with_the_time_it_took() {
    let script = Script::new();
    let balancer = script.balancer(BalancerConfig::default()).await;
    script.endpoints(&["http://a:1"]).await;
    let hanging = balancer.pick().unwrap();
    advance(Duration::from_secs(3)).await;
    drop(hanging);
    let known = balancer.snapshot().endpoints.remove(0);
    assert_eq!(known.in_flight, 0);
    assert!((known.latency_ms - 3_000.0).abs() < 1.0, "{known:?}");
}

#[tokio::test(start_paused = true)]
async fn a_call_whose_answer_began_counts_with_the_time_until_then_and_no_outcome() {
    let script = Script::new();
    let balancer = script.balancer(BalancerConfig::default()).await;
    script.endpoints(&["http://a:1"]).await;
    let picked = balancer.pick().unwrap();
    advance(Duration::from_secs(3)).await;
    picked.report(Outcome::Begun(Duration::from_millis(5)));
    drop(picked);
    let known = balancer.snapshot().endpoints.remove(0);
    assert_eq!((known.in_flight, known.successes, known.failures), (0, 0, 0));
    assert!(known.latency_ms < 50.0, "{known:?}");
}
