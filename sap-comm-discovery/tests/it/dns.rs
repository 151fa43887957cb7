//! Discovery by DNS, against a real BIND.

use std::{sync::Arc, time::Duration};

use sap_comm_core::Resolver;
use sap_comm_discovery::{Balancer, BalancerConfig, resolver_from_url};
use tokio::time::Instant;

use crate::{bind::Bind, watching::next};

fn resolver(bind: &Bind, options: &str) -> Arc<dyn Resolver> {
    resolver_from_url(&bind.url(options)).unwrap()
}

#[tokio::test]
async fn addresses_come_and_go() {
    let mut bind = Bind::start("user-service A 10.0.0.1\nuser-service A 10.0.0.2").await.unwrap();
    let mut watch = resolver(&bind, "?port=8080&domain=example.test").watch("user-service");
    assert_eq!(next(&mut watch).await.unwrap(), ["http://10.0.0.1:8080 (weight 1)", "http://10.0.0.2:8080 (weight 1)"]);
    bind.serve("user-service A 10.0.0.2\nuser-service A 10.0.0.3").await.unwrap();
    assert_eq!(next(&mut watch).await.unwrap(), ["http://10.0.0.2:8080 (weight 1)", "http://10.0.0.3:8080 (weight 1)"]);
    bind.serve("user-service A 10.0.0.3").await.unwrap();
    assert_eq!(next(&mut watch).await.unwrap(), ["http://10.0.0.3:8080 (weight 1)"]);
    bind.serve("").await.unwrap();
    assert!(next(&mut watch).await.unwrap().is_empty(), "that the name is gone is an answer");
    bind.serve("user-service A 10.0.0.4").await.unwrap();
    assert_eq!(next(&mut watch).await.unwrap(), ["http://10.0.0.4:8080 (weight 1)"]);
}

#[tokio::test]
async fn hosts_without_an_ipv4_address_are_found_by_ipv6() {
    let bind = Bind::start("six AAAA fd00::1\nboth A 10.0.0.1\nboth AAAA fd00::1").await.unwrap();
    let resolver = resolver(&bind, "");
    let mut six = resolver.watch("six.example.test.:80");
    assert_eq!(next(&mut six).await.unwrap(), ["http://[fd00::1]:80 (weight 1)"]);
    let mut both = resolver.watch("both.example.test.:80");
    assert_eq!(next(&mut both).await.unwrap(), ["http://10.0.0.1:80 (weight 1)"], "a host is one endpoint");
}

#[tokio::test]
async fn srv_records_say_port_priority_and_weight() {
    let mut bind = Bind::start(
        "_http._tcp.user-service SRV 10 3 8080 a\n_http._tcp.user-service SRV 10 0 8081 b\n\
         _http._tcp.user-service SRV 20 1 9090 spare\na A 10.0.0.1\nb A 10.0.0.2\nspare A 10.0.0.9",
    )
    .await
    .unwrap();
    let mut watch = resolver(&bind, "?domain=example.test").watch("user-service");
    assert_eq!(next(&mut watch).await.unwrap(), ["http://10.0.0.1:8080 (weight 3)", "http://10.0.0.2:8081 (weight 1)"]);
    bind.serve(
        "_http._tcp.user-service SRV 10 3 8080 gone\n_http._tcp.user-service SRV 20 1 9090 spare\nspare A 10.0.0.9",
    )
    .await
    .unwrap();
    assert_eq!(next(&mut watch).await.unwrap(), ["http://10.0.0.9:9090 (weight 1)"]);
    bind.serve("_http._tcp.user-service SRV 0 0 0 .").await.unwrap();
    assert!(next(&mut watch).await.unwrap().is_empty(), "the root as target says that there is no such service");
}

#[tokio::test]
async fn with_https_the_names_of_hosts_are_kept() {
    let bind = Bind::start("_https._tcp.user-service SRV 10 1 8443 a\na A 10.0.0.1\na A 10.0.0.2").await.unwrap();
    let resolver = resolver(&bind, "?domain=example.test&scheme=https");
    let mut watch = resolver.watch("user-service");
    assert_eq!(next(&mut watch).await.unwrap(), ["https://a.example.test:8443 (weight 1)"]);
    let mut host = resolver.watch("a:443");
    assert_eq!(next(&mut host).await.unwrap(), ["https://a.example.test:443 (weight 1)"]);
}

#[tokio::test]
async fn an_alias_is_followed() {
    let bind = Bind::start("alias CNAME user-service\nuser-service A 10.0.0.1").await.unwrap();
    let mut watch = resolver(&bind, "?port=80").watch("alias.example.test.");
    assert_eq!(next(&mut watch).await.unwrap(), ["http://10.0.0.1:80 (weight 1)"]);
}

#[tokio::test]
async fn an_answer_too_long_for_udp_comes_whole() {
    let records: String = (1..=90).map(|i| format!("many A 10.0.0.{i}\n")).collect();
    let bind = Bind::start(&records).await.unwrap();
    let mut watch = resolver(&bind, "?port=80").watch("many.example.test.");
    assert_eq!(next(&mut watch).await.unwrap().len(), 90);
}

#[tokio::test]
async fn a_server_that_fails_is_no_empty_set() {
    let bind = Bind::start("").await.unwrap();
    let resolver = resolver(&bind, "?port=80");
    let mut broken = resolver.watch("user-service.broken.test.");
    let error = next(&mut broken).await.unwrap_err();
    assert!(error.contains("user-service.broken.test"), "{error}");
    let mut none = resolver.watch("no-such-service.example.test.");
    assert!(next(&mut none).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_server_that_is_gone_is_unavailable_until_it_is_back() {
    let bind = Bind::start("user-service A 10.0.0.1").await.unwrap();
    let mut watch = resolver(&bind, "?port=80").watch("user-service.example.test.");
    assert_eq!(next(&mut watch).await.unwrap().len(), 1);
    bind.kill().await.unwrap();
    assert!(next(&mut watch).await.is_err());
    bind.restart().await.unwrap();
    while next(&mut watch).await.is_err() {}
}

#[tokio::test]
async fn a_hint_has_a_long_answer_asked_for_anew() {
    let mut bind = Bind::start("user-service 3600 A 10.0.0.1").await.unwrap();
    let resolver = resolver(&bind, "?port=80");
    let balancer = Balancer::new(Arc::clone(&resolver), "user-service.example.test.", BalancerConfig::default());
    balancer.ready().await.unwrap();
    bind.serve("user-service 3600 A 10.0.0.2").await.unwrap();
    let mut watch = resolver.watch("user-service.example.test.");
    assert_eq!(next(&mut watch).await.unwrap(), ["http://10.0.0.2:80 (weight 1)"]);
    let start = Instant::now();
    resolver.refresh("other-service");
    resolver.refresh("user-service.example.test.");
    while balancer.pick().unwrap().endpoint().authority() != "10.0.0.2:80" {
        assert!(start.elapsed() < Duration::from_secs(10), "{:?}", balancer.snapshot());
        tokio::task::yield_now().await;
    }
}
