//! Calls whose first answer is lost, so that their retry meets what they did themselves.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::extract::State;
use parking_lot::Mutex;
use sap_comm_core::{ApiError, Endpoint, ErrorCode, id};
use sap_comm_resilience::Retry;
use sap_comm_rest::{
    client::{CallError, Client},
    conditional::{EntityTag, Preconditions, Tagged},
    error_codes,
    operation::{Contract, ErrorCodes, Operation, ResourceId},
    server::{ContractRouter, Json, NoContent, Path, idempotency::MemoryIdempotencyStore},
};
use tokio::{
    io::{AsyncReadExt, copy_bidirectional},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

use crate::support::{Running, client_of, serve};

error_codes! {
    /// Why things are refused.
    pub enum ThingError {
        /// There is no such thing.
        NotFound = "THING_NOT_FOUND",
        /// There is such a thing.
        Taken = "THING_ALREADY_EXISTS",
        /// It is in another version.
        Changed = "PRECONDITION_FAILED",
    }
}

type Id = Path<ResourceId>;

const MAKE: Operation<(Id,), NoContent, ThingError> =
    Operation::put("/things/{id}").public().errors(&[ThingError::Taken]);
const REMOVE: Operation<(Id,), NoContent, ThingError> =
    Operation::delete("/things/{id}").public().errors(&[ThingError::NotFound]);
const COUNT: Operation<(Id, Preconditions), Tagged<Json<u64>>, ThingError> =
    Operation::put("/things/{id}/count").public().errors(&[ThingError::Changed, ThingError::NotFound]);
const REMOVE_ONCE: Operation<(Id,), NoContent, ThingError> =
    Operation::delete("/things/{id}/once").public().idempotency_key().errors(&[ThingError::NotFound]);
const THINGS: Contract =
    Contract::new("things", &[MAKE.definition(), REMOVE.definition(), COUNT.definition(), REMOVE_ONCE.definition()]);

/// What there is, and how often each was counted.
type Things = Arc<Mutex<BTreeMap<String, u64>>>;

async fn make(State(things): State<Things>, Path(id): Id) -> Result<NoContent, ApiError> {
    match things.lock().insert(id.to_string(), 0) {
        None => Ok(NoContent),
        Some(_) => Err(ThingError::Taken.error("There is such a thing")),
    }
}

async fn remove(State(things): State<Things>, Path(id): Id) -> Result<NoContent, ApiError> {
    match things.lock().remove(&*id) {
        Some(_) => Ok(NoContent),
        None => Err(ThingError::NotFound.error("There is no such thing")),
    }
}

async fn count(
    State(things): State<Things>,
    Path(id): Id,
    preconditions: Preconditions,
) -> Result<Tagged<Json<u64>>, ApiError> {
    let mut things = things.lock();
    let count = things.get_mut(&*id).ok_or_else(|| ThingError::NotFound.error("There is no such thing"))?;
    preconditions.check(Some(&EntityTag::of_version(*count)))?;
    *count += 1;
    Ok(Tagged(EntityTag::of_version(*count), Json(*count)))
}

/// A service behind a relay that loses the first answer.
struct Scene {
    things: Things,
    client: Client,
    connections: Arc<AtomicUsize>,
    relay: JoinHandle<()>,
    _service: Running,
}

impl Scene {
    async fn with(things: &[&str]) -> Self {
        let things: Things = Arc::new(Mutex::new(things.iter().map(|&id| (id.to_owned(), 0)).collect()));
        let router = ContractRouter::new(&THINGS)
            .idempotency(Arc::new(MemoryIdempotencyStore::new(10).unwrap()))
            .serve(MAKE, make)
            .serve(REMOVE, remove)
            .serve(COUNT, count)
            .serve(REMOVE_ONCE, remove);
        let service = serve(router.build(Arc::clone(&things)).unwrap()).await;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = Endpoint::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
        let connections = Arc::new(AtomicUsize::new(0));
        let relay = tokio::spawn(relay(listener, service.addr, Arc::clone(&connections)));
        let retry = Retry::builder().max_retries(1).min_delay(Duration::from_millis(1)).build().unwrap();
        let client = client_of(endpoint).without_circuit_breaker().retry(retry).build().unwrap();
        Self { things, client, connections, relay, _service: service }
    }

    /// How often a call was made.
    fn attempts(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        self.relay.abort();
    }
}

async fn relay(listener: TcpListener, to: std::net::SocketAddr, connections: Arc<AtomicUsize>) {
    loop {
        let (mut client, _) = listener.accept().await.unwrap();
        let mut service = TcpStream::connect(to).await.unwrap();
        let first = connections.fetch_add(1, Ordering::SeqCst) == 0;
        tokio::spawn(async move {
            if !first {
                let _ = copy_bidirectional(&mut client, &mut service).await;
                return;
            }
            let (mut asked, mut asks) = service.split();
            tokio::select! {
                // The service has answered, and so has carried it out.
                _ = asked.read_u8() => {}
                _ = tokio::io::copy(&mut client, &mut asks) => {}
            }
        });
    }
}

fn code<T: std::fmt::Debug>(result: Result<T, CallError<ThingError>>) -> ThingError {
    match result {
        Err(CallError::Declared { code, .. }) => code,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_delete_that_had_succeeded_is_answered_with_404() {
    let scene = Scene::with(&["a"]).await;
    assert_eq!(code(scene.client.call(&REMOVE, ("a",)).await), ThingError::NotFound);
    assert_eq!((scene.attempts(), scene.things.lock().len()), (2, 0), "it was carried out");
}

#[tokio::test]
async fn a_put_that_had_succeeded_is_answered_with_409() {
    let scene = Scene::with(&[]).await;
    assert_eq!(code(scene.client.call(&MAKE, ("a",)).await), ThingError::Taken);
    assert_eq!((scene.attempts(), scene.things.lock().len()), (2, 1), "it was carried out");
}

#[tokio::test]
async fn a_change_of_a_version_that_had_succeeded_is_answered_with_412_and_the_version_it_made() {
    let scene = Scene::with(&["a"]).await;
    let seen = EntityTag::of_version(0);
    let Err(CallError::Declared { code, error }) = scene.client.call(&COUNT, ("a", Some(&seen))).await else {
        panic!("it was changed by the first attempt");
    };
    assert_eq!((code, error.code()), (ThingError::Changed, &ErrorCode::PRECONDITION_FAILED));
    assert_eq!(error.details()["etag"], "\"v1\"");
    assert_eq!((scene.attempts(), scene.things.lock()["a"]), (2, 1), "it was carried out once");
}

#[tokio::test]
async fn with_an_idempotency_key_the_retry_gets_the_answer_that_was_lost() {
    let scene = Scene::with(&["a"]).await;
    scene.client.call(&REMOVE_ONCE, ("a",)).await.unwrap();
    assert_eq!((scene.attempts(), scene.things.lock().len()), (2, 0));
    // Another call is another key, and meets what the first did.
    assert_eq!(code(scene.client.call(&REMOVE_ONCE, ("a",)).await), ThingError::NotFound);
    // One's own key serves for later calls too.
    let key = id::prefixed("idk");
    scene.client.call(&MAKE, ("b",)).await.unwrap();
    for _ in 0..2 {
        scene.client.call(&REMOVE_ONCE, ("b",)).idempotency_key(&key).await.unwrap();
    }
}
