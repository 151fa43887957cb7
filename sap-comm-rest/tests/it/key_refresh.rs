use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use async_trait::async_trait;
use axum::{Router, extract::RawQuery, routing::get};
use futures_util::future::join_all;
use parking_lot::Mutex;
use sap_comm_core::auth::{JwtVerifier, KeySet};
use sap_comm_rest::server::auth::{Authenticator, JwksSource, KeyRefreshConfig, KeySource, KeySourceError};
use tokio::{sync::Semaphore, time::timeout};

use crate::support::{Issuer, PATIENCE, plain_client, serve};

/// Publishes what a test tells it to.
#[derive(Debug, Clone, Default)]
struct Published {
    keys: Arc<Mutex<Option<KeySet>>>,
    fetches: Arc<AtomicUsize>,
}

#[async_trait]
impl KeySource for Published {
    async fn fetch(&self) -> Result<KeySet, KeySourceError> {
        self.fetches.fetch_add(1, Ordering::SeqCst);
        tokio::task::yield_now().await;
        self.keys.lock().clone().ok_or_else(|| KeySourceError::new("the source is down"))
    }
}

impl Published {
    fn publish(&self, issuer: &Issuer) {
        *self.keys.lock() = Some(issuer.keys());
    }

    fn fetches(&self) -> usize {
        self.fetches.load(Ordering::SeqCst)
    }

    fn authenticator(&self) -> Authenticator {
        let verifier = JwtVerifier::builder("auth-service", "sap").build().unwrap();
        Authenticator::builder().jwt(verifier).key_source(self.clone()).build().unwrap()
    }
}

async fn status(authenticator: &Authenticator, token: &str) -> u16 {
    authenticator.verify_token(token).await.map_or_else(|error| error.status().as_u16(), |_| 200)
}

#[tokio::test(start_paused = true)]
async fn keys_are_fetched_at_first_use_and_once_for_many() {
    let (source, issuer) = (Published::default(), Issuer::new());
    source.publish(&issuer);
    let (authenticator, token) = (source.authenticator(), issuer.token("usr_1", &[]));
    let all = join_all((0..100).map(|_| status(&authenticator, &token))).await;
    assert!(all.iter().all(|status| *status == 200));
    assert_eq!(source.fetches(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_new_key_is_found_and_a_flood_of_unknown_ones_costs_one_fetch_a_cool_down() {
    let (source, old, new) = (Published::default(), Issuer::new(), Issuer::new());
    source.publish(&old);
    let authenticator = source.authenticator();
    assert_eq!(status(&authenticator, &old.token("usr_1", &[])).await, 200);
    source.publish(&new);
    assert_eq!(status(&authenticator, &new.token("usr_1", &[])).await, 401, "the cool-down is not over");
    tokio::time::advance(Duration::from_secs(10)).await;
    assert_eq!(status(&authenticator, &new.token("usr_1", &[])).await, 200);
    assert_eq!(status(&authenticator, &old.token("usr_1", &[])).await, 401, "a revoked key goes");
    let before = source.fetches();
    tokio::time::advance(Duration::from_secs(10)).await;
    for _ in 0..100 {
        assert_eq!(status(&authenticator, &Issuer::new().token("usr_1", &[])).await, 401);
    }
    assert_eq!(source.fetches(), before + 1);
}

#[tokio::test(start_paused = true)]
async fn keys_serve_through_an_outage_up_to_a_bound() {
    let (source, issuer) = (Published::default(), Issuer::new());
    source.publish(&issuer);
    let authenticator = source.authenticator();
    let token = issuer.token("usr_1", &[]);
    assert_eq!(status(&authenticator, &token).await, 200);
    *source.keys.lock() = None;
    tokio::time::sleep(Duration::from_secs(3_500)).await;
    assert_eq!(status(&authenticator, &token).await, 200);
    tokio::time::sleep(Duration::from_secs(200)).await;
    assert_eq!(status(&authenticator, &token).await, 503, "nobody can say whether the key still holds");
    source.publish(&issuer);
    tokio::time::sleep(Duration::from_secs(20)).await;
    assert_eq!(status(&authenticator, &token).await, 200);
}

#[tokio::test(start_paused = true)]
async fn keys_are_fetched_now_and_then_until_the_authenticator_goes() {
    let (source, issuer) = (Published::default(), Issuer::new());
    source.publish(&issuer);
    let authenticator = source.authenticator();
    assert_eq!(status(&authenticator, &issuer.token("usr_1", &[])).await, 200);
    tokio::time::sleep(Duration::from_secs(1_000)).await;
    assert_eq!(source.fetches(), 4);
    drop(authenticator);
    tokio::time::sleep(Duration::from_secs(1_000)).await;
    assert_eq!(source.fetches(), 4);
}

#[tokio::test]
async fn a_key_document_is_fetched_over_http() {
    let issuer = Issuer::new();
    let document = issuer.jwks();
    let tenant_a = document.clone();
    let of_tenant = move |RawQuery(query): RawQuery| async move {
        if query.as_deref() == Some("tenant=a+b&v=1") { tenant_a } else { String::new() }
    };
    let router = Router::new()
        .route("/.well-known/jwks.json", get(move || async move { document }))
        .route("/keys", get(of_tenant));
    let server = serve(router).await;
    let sources = [
        JwksSource::url(&format!("{}/keys?tenant=a%20b&v=1", server.endpoint()).parse().unwrap()).unwrap(),
        JwksSource::new(plain_client(server.endpoint()), "/.well-known/jwks.json"),
        JwksSource::url(&format!("{}/.well-known/jwks.json", server.endpoint()).parse().unwrap()).unwrap(),
    ];
    for source in sources {
        let verifier = JwtVerifier::builder("auth-service", "sap").build().unwrap();
        let authenticator = Authenticator::builder().jwt(verifier).key_source(source).build().unwrap();
        let principal = authenticator.verify_token(&issuer.token("usr_1", &["admin"])).await.unwrap();
        assert!(principal.id == "usr_1" && principal.has_role("admin"));
    }
}

fn often() -> KeyRefreshConfig {
    let mut often = KeyRefreshConfig::default();
    (often.cool_down, often.interval) = (Duration::from_millis(100), Duration::from_millis(100));
    often
}

/// Waits until a token is answered with this status.
async fn becomes(authenticator: &Authenticator, token: &str, expected: u16) {
    let waiting = async {
        while status(authenticator, token).await != expected {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, waiting).await.unwrap_or_else(|_| panic!("it is not answered with {expected}"));
}

/// Runs on a runtime that ends behind it.
fn elsewhere<T: Send>(future: impl Future<Output = T> + Send) -> T {
    let run = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future);
    thread::scope(|scope| scope.spawn(run).join().unwrap())
}

#[tokio::test]
async fn keys_are_fetched_on_when_the_runtime_of_the_first_request_ends() {
    let (source, issuer) = (Published::default(), Issuer::new());
    source.publish(&issuer);
    let verifier = JwtVerifier::builder("auth-service", "sap").build().unwrap();
    let authenticator = Authenticator::builder().jwt(verifier).key_source(source.clone()).key_refresh(often());
    let (authenticator, token) = (authenticator.build().unwrap(), issuer.token("usr_1", &[]));
    assert_eq!(elsewhere(status(&authenticator, &token)), 200);
    assert_eq!(status(&authenticator, &token).await, 200);
    let before = source.fetches();
    let fetched_on = async {
        while source.fetches() < before + 2 {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, fetched_on).await.unwrap();
}

/// Does not answer the first fetch.
#[derive(Debug)]
struct LateSource {
    begun: Arc<Semaphore>,
    keys: KeySet,
}

#[async_trait]
impl KeySource for LateSource {
    async fn fetch(&self) -> Result<KeySet, KeySourceError> {
        if !self.begun.is_closed() {
            self.begun.close();
            std::future::pending::<()>().await;
        }
        Ok(self.keys.clone())
    }
}

#[tokio::test]
async fn a_fetch_that_ended_with_its_runtime_is_waited_for_by_nobody() {
    let (issuer, begun) = (Issuer::new(), Arc::new(Semaphore::new(0)));
    let source = LateSource { begun: Arc::clone(&begun), keys: issuer.keys() };
    let verifier = JwtVerifier::builder("auth-service", "sap").build().unwrap();
    let authenticator = Authenticator::builder().jwt(verifier).key_source(source).key_refresh(often());
    let (authenticator, token) = (authenticator.build().unwrap(), issuer.token("usr_1", &[]));
    elsewhere(async {
        tokio::select! {
            status = status(&authenticator, &token) => panic!("answered with {status}"),
            closed = begun.acquire() => assert!(closed.is_err()),
        }
    });
    becomes(&authenticator, &token, 200).await;
}

#[tokio::test(start_paused = true)]
async fn a_fetch_on_a_runtime_that_stands_still_holds_nobody_up_for_long() {
    let (issuer, begun) = (Issuer::new(), Arc::new(Semaphore::new(0)));
    let source = LateSource { begun: Arc::clone(&begun), keys: issuer.keys() };
    let verifier = JwtVerifier::builder("auth-service", "sap").build().unwrap();
    let authenticator = Authenticator::builder().jwt(verifier).key_source(source).build().unwrap();
    let token = issuer.token("usr_1", &[]);
    let first = async {
        tokio::select! {
            status = status(&authenticator, &token) => panic!("answered with {status}"),
            closed = begun.acquire() => assert!(closed.is_err()),
        }
    };
    let still = thread::scope(|scope| {
        let run = || {
            let still = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            still.block_on(first);
            still
        };
        scope.spawn(run).join().unwrap()
    });
    let cool_down = KeyRefreshConfig::default().cool_down;
    let joined = timeout(2 * cool_down, status(&authenticator, &token)).await;
    assert_eq!(joined, Ok(503), "its runtime moves no more");
    tokio::time::sleep(2 * cool_down).await;
    assert_eq!(status(&authenticator, &token).await, 200, "it counts as ended");
    still.shutdown_background();
}

#[tokio::test]
async fn keys_that_are_published_no_more_stop_at_once() {
    // Neither is an outage: the issuer says what is valid, and nothing is that we could use.
    for none in [r#"{"keys": []}"#, r#"{"keys": [{"kty": "oct", "kid": "a", "k": "c2VjcmV0"}]}"#] {
        let issuer = Issuer::new();
        let document = Arc::new(Mutex::new(issuer.jwks()));
        let published = Arc::clone(&document);
        let server = serve(Router::new().route("/keys", get(async move || published.lock().clone()))).await;
        let source = JwksSource::new(plain_client(server.endpoint()), "/keys");
        let verifier = JwtVerifier::builder("auth-service", "sap").build().unwrap();
        let authenticator = Authenticator::builder().jwt(verifier).key_source(source).key_refresh(often());
        let (authenticator, token) = (authenticator.build().unwrap(), issuer.token("usr_1", &[]));
        becomes(&authenticator, &token, 200).await;
        *document.lock() = none.to_owned();
        becomes(&authenticator, &token, 401).await;
    }
}

#[test]
fn times_that_contradict_each_other_are_named() {
    let mut config = KeyRefreshConfig::default();
    config.interval = Duration::from_secs(7_200);
    let builder = Authenticator::builder().jwt(Issuer::new().verifier()).key_source(Published::default());
    let error = builder.key_refresh(config).build().unwrap_err();
    assert_eq!(error.to_string(), "configuration: `interval` = 2h: must be at most `max_stale`");
}
