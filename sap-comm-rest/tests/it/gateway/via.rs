//! Whom a request came through, and one that comes back.

use std::sync::Arc;

use sap_comm_core::{Endpoint, StaticResolver};
use sap_comm_rest::gateway::{Gateway, Quota, Route};

use super::support::{echo, get, send, serve, to, upstream};

#[tokio::test]
async fn services_hear_whom_a_request_came_through() {
    let upstream = upstream(echo()).await;
    let gateway = serve(to(&upstream).build().unwrap()).await;
    let other = serve(to(&upstream).build().unwrap()).await;
    let own = get(&gateway, "/api").await.sent("via").unwrap();
    let pseudonym = own.strip_prefix("1.1 ").unwrap();
    assert!(
        !pseudonym.is_empty() && pseudonym.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_'),
        "{own}"
    );
    assert_eq!(get(&gateway, "/api").await.sent("via").as_deref(), Some(own.as_str()), "made once");
    assert_ne!(get(&other, "/api").await.sent("via").unwrap(), own, "of one instance");

    let before = [("Via", "1.0 fred (a, b)"), ("Via", "1.1 p.example.net")];
    let answer = send(&gateway, "GET", "/api", &before, "").await;
    assert_eq!(answer.sent("via"), Some(format!("1.0 fred (a, b), 1.1 p.example.net, {own}")));
    assert_eq!(answer.header("via"), None);
}

#[tokio::test]
async fn a_request_that_comes_back_is_refused() {
    let resolver = Arc::new(StaticResolver::new());
    let gateway = Gateway::builder().resolver(resolver.clone()).without_rate_limit();
    let gateway = serve(gateway.route(Route::new("/").to("test").public()).build().unwrap()).await;
    let around = serve(to(&gateway).build().unwrap()).await;
    for (name, next) in [("itself", &gateway), ("another that leads here", &around)] {
        resolver.set("test", [Endpoint::parse(&format!("http://{}", next.address)).unwrap()]);
        let known = async {
            loop {
                let answer = get(&gateway, "/api").await;
                // Until the gateway knows of the endpoint.
                if answer.status != 503 {
                    return answer;
                }
            }
        };
        let answer = super::support::within(known).await;
        assert_eq!((answer.status, answer.code().as_str()), (508, "LOOP_DETECTED"), "{name}");
    }
}

#[tokio::test]
async fn who_makes_up_a_loop_is_counted() {
    let upstream = upstream(echo()).await;
    let gateway = serve(to(&upstream).rate_limit(Quota::per_hour(2)).build().unwrap()).await;
    let own = get(&gateway, "/api").await.sent("via").unwrap();
    for code in ["LOOP_DETECTED", "RATE_LIMITED"] {
        assert_eq!(send(&gateway, "GET", "/api", &[("Via", &own)], "").await.code(), code);
    }
}
