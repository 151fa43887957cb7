use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use axum::{Router, extract::State};
use futures_util::future::join_all;
use sap_comm_core::{ApiError, BoxError, ErrorCode};
use sap_comm_rest::{
    operation::{Contract, Operation},
    server::{
        ContractRouter, Created, Json,
        idempotency::{Claim, IdempotencyConfig, IdempotencyStore, KeptAnswer, MemoryIdempotencyStore},
        versioned,
    },
};
use tokio::sync::Notify;

use crate::support::{Answer, Connection, Issuer, Running, ask, client_of, serve};

const ORDER: Operation<(Json<String>,), Created<u32>> = Operation::post("/orders").idempotency_key();
const PAY: Operation<(Json<String>,), Created<u32>> = Operation::post("/payments").requires_idempotency_key();
const SHOP: Contract = Contract::new("shop", &[ORDER.definition(), PAY.definition()]);

#[derive(Clone, Default)]
struct Shop {
    orders: Arc<AtomicU32>,
    /// Given for each order that waits.
    go: Arc<Notify>,
    arrived: Arc<Notify>,
}

async fn order(State(shop): State<Shop>, Json(what): Json<String>) -> Result<Created<u32>, ApiError> {
    let number = shop.orders.fetch_add(1, Ordering::SeqCst) + 1;
    match what.as_str() {
        "wait" => {
            shop.arrived.notify_one();
            shop.go.notified().await;
        }
        "break" if number == 1 => return Err(ApiError::internal("the first one breaks")),
        "panic" => panic!("as asked for"),
        "refuse" => return Err(ApiError::new(ErrorCode::CONFLICT, format!("No, says attempt {number}"))),
        _ => {}
    }
    Ok(Created::at(format!("/orders/{number}"), number))
}

struct Selling {
    server: Running,
    shop: Shop,
    token: String,
    other: String,
}

async fn shop_with(config: IdempotencyConfig) -> Selling {
    shop_on(Arc::new(MemoryIdempotencyStore::new(100).unwrap()), config).await
}

async fn shop_on(store: Arc<dyn IdempotencyStore>, config: IdempotencyConfig) -> Selling {
    shop_at(store, config, |router| router).await
}

async fn shop_at(
    store: Arc<dyn IdempotencyStore>,
    config: IdempotencyConfig,
    place: impl FnOnce(Router) -> Router,
) -> Selling {
    let (issuer, shop) = (Issuer::new(), Shop::default());
    let router = ContractRouter::new(&SHOP).authenticate(issuer.verifier()).idempotency_with(store, config);
    let router = router.serve(ORDER, order).serve(PAY, order).build(shop.clone()).unwrap();
    let (token, other) = (issuer.token("usr_1", &[]), issuer.token("usr_2", &[]));
    Selling { server: serve(place(router)).await, shop, token, other }
}

async fn shop() -> Selling {
    shop_with(IdempotencyConfig::default()).await
}

impl Selling {
    fn request(&self, path: &str, token: &str, key: &str, body: &str) -> String {
        let body = format!("{body:?}");
        format!(
            "POST {path} HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {token}\r\ncontent-type: application/json\r\n\
             {key}content-length: {}\r\n\r\n{body}",
            body.len()
        )
    }

    async fn order(&self, key: &str, body: &str) -> Answer {
        ask(self.server.addr, &self.request("/orders", &self.token, &format!("idempotency-key: {key}\r\n"), body)).await
    }

    fn orders(&self) -> u32 {
        self.shop.orders.load(Ordering::SeqCst)
    }
}

#[tokio::test]
async fn a_repetition_gets_the_first_answer() {
    let shop = shop().await;
    let first = shop.order("a", "book").await;
    assert_eq!((first.status, first.body.as_str(), first.header("idempotency-replayed")), (201, "1", None));
    let again = shop.order("a", "book").await;
    assert_eq!((again.status, again.body.as_str(), again.header("location")), (201, "1", Some("/orders/1")));
    assert_eq!(again.header("idempotency-replayed"), Some("true"));
    assert_eq!(shop.order("b", "book").await.body, "2");
    let refused = shop.order("c", "refuse").await;
    assert_eq!((refused.status, shop.order("c", "refuse").await.body), (409, refused.body));
    assert_eq!(shop.orders(), 3);
}

#[tokio::test]
async fn a_key_stands_for_one_request_of_one_caller() {
    let shop = shop().await;
    shop.order("a", "book").await;
    let other_body = shop.order("a", "pen").await;
    assert_eq!((other_body.status, other_body.code().as_str()), (422, "IDEMPOTENCY_VALIDATION_FAILED"));
    let key = "idempotency-key: a\r\n";
    for request in [
        shop.request("/orders", &shop.other, key, "book"),
        shop.request("/orders?x=1", &shop.token, key, "book"),
        shop.request("/payments", &shop.token, key, "book"),
    ] {
        assert_eq!(ask(shop.server.addr, &request).await.status, 422, "{request}");
    }
    assert_eq!(shop.orders(), 1);
}

#[tokio::test]
async fn a_key_stands_for_one_path_also_where_routers_are_nested() {
    let both = |router: Router| versioned("v1", router.clone()).merge(versioned("v2", router));
    let store = Arc::new(MemoryIdempotencyStore::new(100).unwrap());
    let shop = shop_at(store, IdempotencyConfig::default(), both).await;
    for (path, status) in [("/api/v1/orders", 201), ("/api/v2/orders", 422), ("/api/v1/orders", 201)] {
        let request = shop.request(path, &shop.token, "idempotency-key: a\r\n", "book");
        assert_eq!(ask(shop.server.addr, &request).await.status, status, "{path}");
    }
    assert_eq!(shop.orders(), 1);
}

#[tokio::test]
async fn a_caller_with_too_many_keys_is_told_when_to_come_back() {
    let store = MemoryIdempotencyStore::new(100).unwrap().max_keys_per_caller(1).unwrap();
    let shop = shop_on(Arc::new(store), IdempotencyConfig::default()).await;
    assert_eq!(shop.order("a", "book").await.status, 201);
    let answer = shop.order("b", "book").await;
    assert_eq!((answer.status, answer.code().as_str()), (429, "RATE_LIMITED"));
    let seconds: u64 = answer.header("retry-after").unwrap().parse().unwrap();
    assert!((86_000..=86_400).contains(&seconds), "{seconds}");
    assert_eq!(shop.order("a", "book").await.status, 201);
    let other = shop.request("/orders", &shop.other, "idempotency-key: c\r\n", "book");
    assert_eq!(ask(shop.server.addr, &other).await.status, 201);
}

#[tokio::test]
async fn of_many_at_once_one_is_carried_out() {
    let shop = shop().await;
    let mut first = Connection::open(shop.server.addr).await;
    first.send(shop.request("/orders", &shop.token, "idempotency-key: a\r\n", "wait").as_bytes()).await;
    shop.shop.arrived.notified().await;
    for answer in join_all((0..8).map(|_| shop.order("a", "wait"))).await {
        assert_eq!((answer.status, answer.code().as_str()), (409, "IDEMPOTENCY_CONFLICT"));
        assert_eq!(answer.header("retry-after"), Some("1"));
    }
    shop.shop.go.notify_one();
    assert_eq!(first.answer().await.status, 201);
    assert_eq!((shop.order("a", "wait").await.status, shop.orders()), (201, 1));
}

#[tokio::test]
async fn what_failed_unforeseen_is_carried_out_again() {
    let shop = shop().await;
    assert_eq!(shop.order("a", "break").await.status, 500);
    let again = shop.order("a", "break").await;
    assert_eq!((again.status, again.body.as_str(), again.header("idempotency-replayed")), (201, "2", None));
}

/// Tells when an answer was kept.
#[derive(Debug)]
struct Telling(MemoryIdempotencyStore, Arc<Notify>);

#[async_trait::async_trait]
impl IdempotencyStore for Telling {
    async fn claim(&self, key: &str, fingerprint: &str, caller: &str, lease: Duration) -> Result<Claim, BoxError> {
        self.0.claim(key, fingerprint, caller, lease).await
    }

    async fn keep(&self, key: &str, claim: &str, answer: &KeptAnswer, keep: Duration) -> Result<(), BoxError> {
        self.0.keep(key, claim, answer, keep).await?;
        self.1.notify_one();
        Ok(())
    }

    async fn release(&self, key: &str, claim: &str) -> Result<(), BoxError> {
        self.0.release(key, claim).await
    }
}

#[tokio::test]
async fn who_goes_away_finds_the_answer_later() {
    let kept = Arc::new(Notify::new());
    let store = Telling(MemoryIdempotencyStore::new(100).unwrap(), kept.clone());
    let shop = shop_on(Arc::new(store), IdempotencyConfig::default()).await;
    let mut first = Connection::open(shop.server.addr).await;
    first.send(shop.request("/orders", &shop.token, "idempotency-key: a\r\n", "wait").as_bytes()).await;
    shop.shop.arrived.notified().await;
    drop(first);
    shop.shop.go.notify_one();
    kept.notified().await;
    let again = shop.order("a", "wait").await;
    assert_eq!((again.status, again.header("idempotency-replayed"), shop.orders()), (201, Some("true"), 1));
}

#[tokio::test]
async fn a_handler_that_panics_gives_the_key_back() {
    let shop = shop().await;
    for _ in 0..2 {
        let answer = shop.order("a", "panic").await;
        assert_eq!((answer.status, answer.code().as_str()), (500, "INTERNAL_ERROR"));
    }
    assert_eq!(shop.orders(), 2);
}

#[tokio::test]
async fn keys_are_read_strictly() {
    let shop = shop().await;
    for key in ["", "a b", "é", &"x".repeat(256), "a\r\nidempotency-key: b"] {
        let answer = shop.order(key, "book").await;
        assert_eq!((answer.status, answer.code().as_str()), (400, "BAD_REQUEST"), "{key}");
    }
    let without = ask(shop.server.addr, &shop.request("/payments", &shop.token, "", "book")).await;
    assert_eq!((without.status, without.error()["details"]["header"].as_str()), (400, Some("idempotency-key")));
    assert_eq!(ask(shop.server.addr, &shop.request("/orders", &shop.token, "", "book")).await.status, 201);
    assert_eq!(shop.orders(), 1);
}

#[tokio::test]
async fn an_answer_too_large_to_keep_is_not_given_by_a_second_order() {
    let mut config = IdempotencyConfig::default();
    config.max_answer = 1;
    let shop = shop_with(config).await;
    shop.shop.orders.store(9, Ordering::SeqCst);
    assert_eq!(shop.order("a", "book").await.body, "10");
    let again = shop.order("a", "book").await;
    assert_eq!((again.status, again.code().as_str(), shop.orders()), (410, "ANSWER_GONE", 10));
}

#[tokio::test]
async fn the_typed_client_retries_with_one_key() {
    let shop = shop().await;
    let retries = sap_comm_resilience::Retry::builder().max_retries(2).build().unwrap();
    let client = client_of(shop.server.endpoint()).retry(retries).without_circuit_breaker().build().unwrap();
    let token = shop.token.clone().into();
    let order = client.call(&ORDER, (&"break".to_owned(),)).bearer(&token).await.unwrap();
    assert_eq!((order, shop.orders()), (2, 2));
    let mine = || client.call(&ORDER, (&"book".to_owned(),)).bearer(&token).idempotency_key("mine");
    assert_eq!((mine().await.unwrap(), mine().await.unwrap(), shop.orders()), (3, 3, 3));
    assert_ne!(client.call(&ORDER, (&"book".to_owned(),)).bearer(&token).await.unwrap(), 3);
}

#[test]
fn a_store_is_asked_for() {
    let issuer = Issuer::new();
    let router = ContractRouter::new(&SHOP).authenticate(issuer.verifier()).serve(ORDER, order).serve(PAY, order);
    let error = router.build(Shop::default()).unwrap_err().to_string();
    assert!(error.contains("POST /orders") && error.contains("idempotency"), "{error}");
    let mut config = IdempotencyConfig::default();
    config.lease = Duration::ZERO;
    assert_eq!(config.validate().unwrap_err().field(), "idempotency.lease");
    assert!(MemoryIdempotencyStore::new(0).is_err());
}
