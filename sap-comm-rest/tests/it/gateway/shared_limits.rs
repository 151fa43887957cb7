//! One quota at several gateways, counted on a real Redis that comes and goes.

use std::time::Duration;

use sap_comm_rest::gateway::{GatewayConfig, Quota, Route, SharedLimits, WhenAway};
use sap_comm_testkit::{redis::Redis, tls::TestCa};

use super::support::{Answer, Running, bearer_for, echo, get, send, serve, to_service, upstream, verifier, within};
use crate::support::Files;

const QUOTA: Quota = Quota::per_hour(100).burst(10);

async fn gateway(service: &Running, redis: &str, when_away: WhenAway) -> Running {
    let mut shared = SharedLimits::new(redis);
    shared.when_away = when_away;
    gateway_by(service, shared).await
}

async fn gateway_by(service: &Running, mut shared: SharedLimits) -> Running {
    // A debug build on a busy machine may take a while to connect.
    shared.timeout = Duration::from_secs(1);
    let mut config = GatewayConfig::default();
    config.rate_limit = Some(Quota::per_hour(2).into());
    config.shared_limits = Some(shared);
    let gateway = to_service(service)
        .config(config)
        .authenticator(verifier())
        .route(Route::new("/api").to("test").public())
        .route(Route::new("/own").to("test").authenticated().rate_limit(QUOTA));
    serve(gateway.build().unwrap()).await
}

fn left(answer: &Answer) -> &str {
    answer.header("ratelimit-remaining").unwrap_or("unknown")
}

#[tokio::test]
async fn two_gateways_share_one_quota() {
    let (redis, service) = (Redis::start().await.unwrap(), upstream(echo()).await);
    let one = gateway(&service, &redis.url(), WhenAway::Closed).await;
    let two = gateway(&service, &redis.url(), WhenAway::Closed).await;
    assert_eq!(left(&get(&one, "/api").await), "1");
    let second = get(&two, "/api").await;
    assert_eq!((second.status, left(&second)), (200, "0"));
    for edge in [&one, &two] {
        let refused = get(edge, "/api").await;
        assert_eq!((refused.status, refused.code().as_str()), (429, "RATE_LIMITED"));
        let seconds: u64 = refused.header("retry-after").unwrap().parse().unwrap();
        assert!((1_700..=1_800).contains(&seconds), "{seconds}: half an hour earns one of two an hour");
    }
    // A route's own quota, and each principal's, is another.
    let ask = async |edge: &Running, id: &str| {
        let token = bearer_for(id, &[], 600);
        send(edge, "GET", "/own", &[("Authorization", &token)], "").await
    };
    assert_eq!(left(&ask(&one, "usr_1").await), "9");
    assert_eq!(left(&ask(&two, "usr_1").await), "8");
    assert_eq!(left(&ask(&two, &"long".repeat(100)).await), "9");
    assert_eq!(left(&ask(&one, &"long".repeat(100)).await), "8");
}

#[tokio::test]
async fn the_policy_holds_while_redis_is_away_and_the_count_goes_on_when_it_is_back() {
    let (redis, service) = (Redis::start().await.unwrap(), upstream(echo()).await);
    let local = gateway(&service, &redis.url(), WhenAway::Local).await;
    let open = gateway(&service, &redis.url(), WhenAway::Open).await;
    let closed = gateway(&service, &redis.url(), WhenAway::Closed).await;
    assert_eq!(left(&get(&local, "/api").await), "1");
    for frozen in [true, false] {
        if frozen {
            redis.pause().await.unwrap()
        } else {
            redis.kill().await.unwrap()
        }
        for _ in 0..4 {
            let answer = get(&open, "/api").await;
            assert_eq!((answer.status, left(&answer)), (200, "unknown"));
            let refused = get(&closed, "/api").await;
            assert_eq!((refused.status, refused.code().as_str()), (503, "SERVICE_UNAVAILABLE"));
        }
        if frozen {
            // It counts for itself, with the whole quota.
            for (status, rest) in [(200, "1"), (200, "0"), (429, "0"), (429, "0")] {
                let answer = get(&local, "/api").await;
                assert_eq!((answer.status, left(&answer)), (status, rest));
            }
        }
        if frozen {
            redis.resume().await.unwrap()
        } else {
            redis.restart().await.unwrap()
        }
        // What Redis knows is what was counted there, and those who ask find that it is back.
        let back = async {
            while get(&closed, "/own").await.status != 401 {
                tokio::task::yield_now().await;
            }
        };
        within(back).await;
    }
}

#[tokio::test]
async fn a_count_is_shared_over_tls_with_whom_the_authorities_know() {
    let (files, ca, other) = (Files::new(), TestCa::new().unwrap(), TestCa::new().unwrap());
    let redis = Redis::start_with_tls(&ca.server(&["127.0.0.1"]).unwrap()).await.unwrap();
    let service = upstream(echo()).await;
    let by = async |authority: &TestCa, when_away| {
        let mut shared = SharedLimits::new(redis.tls_url().unwrap());
        shared.ca = Some(files.write("redis-ca.pem", authority.pem()));
        shared.when_away = when_away;
        gateway_by(&service, shared).await
    };
    let (one, two) = (by(&ca, WhenAway::Closed).await, by(&ca, WhenAway::Closed).await);
    assert_eq!(left(&get(&one, "/api").await), "1");
    assert_eq!(left(&get(&two, "/api").await), "0");
    assert_eq!(get(&by(&other, WhenAway::Closed).await, "/api").await.status, 503);
    assert_eq!(left(&get(&by(&other, WhenAway::Local).await, "/api").await), "1");
}

#[tokio::test]
async fn authorities_that_cannot_be_used_are_named() {
    let (files, service) = (Files::new(), upstream(echo()).await);
    for (url, ca, reason) in [
        ("redis://127.0.0.1", files.write("ca.pem", TestCa::new().unwrap().pem()), "is for rediss:// URLs"),
        ("rediss://127.0.0.1", files.write("empty.pem", ""), "has no certificate in it"),
        ("rediss://127.0.0.1", "/nowhere/ca.pem".into(), "No such file"),
    ] {
        let mut shared = SharedLimits::new(url);
        shared.ca = Some(ca);
        let mut config = GatewayConfig::default();
        config.shared_limits = Some(shared);
        let error = to_service(&service).config(config).route(Route::new("/").to("test").public()).build().unwrap_err();
        assert_eq!(error.field(), "shared_limits.ca", "{error}");
        assert!(error.to_string().contains(reason), "{error}");
    }
}

#[tokio::test]
async fn what_cannot_be_shared_is_refused_without_its_password() {
    let service = upstream(echo()).await;
    for url in ["http://:hunter2@127.0.0.1", "redis://", "hunter2", "rediss://:hunter2@127.0.0.1/#insecure"] {
        let mut config = GatewayConfig::default();
        config.shared_limits = Some(SharedLimits::new(url));
        let error = to_service(&service).config(config).route(Route::new("/").to("test").public()).build().unwrap_err();
        assert_eq!(error.field(), "shared_limits.url");
        assert!(!error.to_string().contains("hunter2"), "{error}");
    }
}
