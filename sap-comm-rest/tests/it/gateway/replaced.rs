//! Certificates, signing keys and routes, all replaced in one run while requests are served.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{Router, routing::get};
use parking_lot::Mutex;
use sap_comm_core::{Endpoint, Secret, auth::JwtVerifier};
use sap_comm_rest::{
    client::{Client, ClientError},
    gateway::Gateway,
    server::{
        Server, ServerConfig,
        auth::{Authenticator, JwksSource, KeyRefreshConfig},
    },
    tls::{ClientTls, ClientTlsConfig, ServerTls},
};
use sap_comm_testkit::tls::TestCa;
use tokio::{task::yield_now, time::Instant};
use tokio_util::sync::CancellationToken;

use super::support::{Running, resolver, upstream, within};
use crate::{
    support::{Files, Issuer, PATIENCE, client_of, key_document},
    tls::support::{der, server_options, sharing, shown},
};

/// How often the routes are looked at.
const EVERY: Duration = Duration::from_millis(5);
/// The shortest time between two fetches of keys, and the longest that one may take.
const COOL_DOWN: Duration = Duration::from_millis(100);
/// How often each of them is replaced.
const TURNS: usize = 10;
/// Requests that are served between two steps.
const BETWEEN: usize = 8;

/// The gateway, what it depends on, and where that lies.
struct Scene {
    files: Files,
    ca: TestCa,
    address: SocketAddr,
    gateway: Gateway,
    tls: ServerTls,
    published: Arc<Mutex<String>>,
    fetches: Arc<AtomicUsize>,
    _services: [Running; 3],
}

/// What those who ask and those who replace know of each other.
struct Load {
    over: AtomicBool,
    served: AtomicUsize,
    /// A token of a current key. Whoever shows it holds it.
    good: Mutex<Arc<String>>,
    /// Tokens of keys that are gone.
    retired: Mutex<Vec<String>>,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn certificates_keys_and_routes_are_replaced_under_load_without_a_wrong_answer() {
    let first = Issuer::new();
    let (begun, load) = (Instant::now(), Arc::new(Load::new(first.token("usr_1", &[]))));
    let (scene, server) = Scene::new(&first).await;
    let stop = CancellationToken::new();
    let serving = tokio::spawn(scene.gateway.clone().serve(server, stop.clone()));
    // Until the first keys are there, which a busy machine may not fetch in time at once.
    let token = first.token("usr_1", &[]);
    while ask(&scene.fresh(), "/api", Some(&token)).await.is_err() {}
    let callers: Vec<_> = [scene.fresh(), scene.fresh(), scene.keeping(), scene.keeping()]
        .map(|client| tokio::spawn(Arc::clone(&load).ask_on(client)))
        .into();
    let stranger = tokio::spawn(Arc::clone(&load).make_keys_up(scene.fresh()));

    within(async {
        tokio::join!(scene.replace_certificates(&load), scene.replace_keys(&load, first), scene.replace_routes(&load))
    })
    .await;

    load.over.store(true, Ordering::Relaxed);
    for caller in callers.into_iter().chain([stranger]) {
        caller.await.expect("no request fails, and no answer is wrong");
    }
    stop.cancel();
    serving.await.unwrap().unwrap();
    assert!(load.served.load(Ordering::Relaxed) >= 2 * TURNS * BETWEEN);
    // One fetch a cool-down at most, although keys were made up all the time.
    let most = begun.elapsed().as_millis() / COOL_DOWN.as_millis() + 1;
    assert!(scene.fetches.load(Ordering::Relaxed) <= usize::try_from(most).unwrap());
}

impl Scene {
    async fn new(first: &Issuer) -> (Self, Server) {
        let (files, ca) = (Files::new(), TestCa::new().unwrap());
        let (one, two) = (named("one").await, named("two").await);
        let (published, fetches) = (Arc::new(Mutex::new(first.jwks())), Arc::new(AtomicUsize::new(0)));
        let issuer = publisher(&published, &fetches).await;
        let gateway = Gateway::builder()
            .resolver(resolver(&[("one", &[&one]), ("two", &[&two])]))
            .authenticator(authenticator(&issuer))
            .without_rate_limit()
            // Keys are made up as fast as they can be, from the one address that the callers have, too.
            .failed_credentials(None)
            .routes_file(files.write("routes.toml", &routes(0)), EVERY)
            .build()
            .unwrap();
        let mut options = server_options(&files, &ca);
        // So that every state of the files is seen, the half-written ones too.
        options.reload_interval = Duration::from_millis(1);
        files.write("ca.pem", ca.pem());
        let tls = ServerTls::load(options).unwrap();
        let mut config = ServerConfig::default();
        config.workers = 2;
        let server = Server::bind("127.0.0.1:0", config).await.unwrap().with_tls(tls.clone());
        let address = server.local_addr();
        (Self { files, ca, address, gateway, tls, published, fetches, _services: [one, two, issuer] }, server)
    }

    fn endpoint(&self) -> Endpoint {
        Endpoint::parse(&format!("https://{}", self.address)).unwrap()
    }

    fn trust(&self) -> ClientTls {
        ClientTls::load(ClientTlsConfig::default().ca(self.files.path("ca.pem"))).unwrap()
    }

    /// A client that makes a connection for each request.
    fn fresh(&self) -> Client {
        sharing(self.endpoint(), self.trust())
    }

    /// A client that keeps its connections.
    fn keeping(&self) -> Client {
        let client = client_of(self.endpoint()).tls(self.trust()).timeout(PATIENCE);
        client.without_circuit_breaker().without_retry().build().unwrap()
    }

    async fn replace_certificates(&self, load: &Load) {
        for turn in 0..TURNS {
            let next = self.ca.server(&["localhost", "127.0.0.1"]).unwrap();
            self.files.write("server.pem", &next.certificate);
            load.further().await;
            self.files.write("server.key", &next.key);
            // Whoever looks first takes it; afterwards it is there for certain.
            self.tls.reload().unwrap();
            assert_eq!(shown(self.address, &self.ca).await, der(&next), "turn {turn}");
            load.further().await;
        }
    }

    async fn replace_keys(&self, load: &Load, mut current: Issuer) {
        let client = self.fresh();
        let publish = |issuers: &[&Issuer]| *self.published.lock() = key_document(issuers);
        for _ in 0..TURNS {
            let next = Issuer::new();
            publish(&[&current, &next]);
            let token = next.token("usr_1", &[]);
            while ask(&client, "/api", Some(&token)).await.is_err() {}
            let before = std::mem::replace(&mut *load.good.lock(), Arc::new(token));
            // Until whoever read it has shown it.
            while Arc::strong_count(&before) > 1 {
                yield_now().await;
            }
            publish(&[&next]);
            while ask(&client, "/api", Some(&before)).await.is_ok() {}
            load.retired.lock().push(before.to_string());
            load.further().await;
            current = next;
        }
    }

    async fn replace_routes(&self, load: &Load) {
        let (client, mut status) = (self.fresh(), self.gateway.routes_status().unwrap());
        for turn in 1..=TURNS {
            self.files.write("routes.toml", &routes(turn));
            while status.borrow_and_update().generation < u64::try_from(turn).unwrap() {
                status.changed().await.unwrap();
            }
            assert_eq!(status.borrow().error, None);
            let token = Arc::clone(&load.good.lock());
            assert_eq!(ask(&client, "/api", Some(&token)).await, Ok(service(turn).to_owned()));
            drop(token);
            assert_eq!(ask(&client, &format!("/turn-{turn}"), None).await, Ok(service(turn).to_owned()));
            assert_eq!(ask(&client, &format!("/turn-{}", turn - 1), None).await, Err(404));
            load.further().await;
        }
    }
}

impl Load {
    fn new(token: String) -> Self {
        let (over, served) = (AtomicBool::new(false), AtomicUsize::new(0));
        Self { over, served, good: Mutex::new(Arc::new(token)), retired: Mutex::default() }
    }

    async fn ask_on(self: Arc<Self>, client: Client) {
        while !self.over.load(Ordering::Relaxed) {
            let token = Arc::clone(&self.good.lock());
            let answer = ask(&client, "/api", Some(&token)).await;
            assert!(answer.as_ref().is_ok_and(|name| name == "one" || name == "two"), "{answer:?}");
            drop(token);
            let retired = self.retired.lock().last().cloned();
            if let Some(token) = retired {
                assert_eq!(ask(&client, "/api", Some(&token)).await, Err(401));
            }
            self.served.fetch_add(1, Ordering::Relaxed);
        }
    }

    async fn make_keys_up(self: Arc<Self>, client: Client) {
        while !self.over.load(Ordering::Relaxed) {
            let token = Issuer::new().token("usr_1", &[]);
            assert_eq!(ask(&client, "/api", Some(&token)).await, Err(401));
        }
    }

    /// Waits for further requests.
    async fn further(&self) {
        let from = self.served.load(Ordering::Relaxed);
        while self.served.load(Ordering::Relaxed) < from + BETWEEN {
            yield_now().await;
        }
    }
}

/// The body, or the status of a refusal; anything else has failed.
async fn ask(client: &Client, path: &str, token: Option<&str>) -> Result<String, u16> {
    let request = client.request(http::Method::GET, path, []);
    let request = match token {
        Some(token) => request.bearer(&Secret::new(token.to_owned())),
        None => request,
    };
    match request.send().await {
        Ok(response) => Ok(String::from_utf8(response.bytes().await.unwrap().into()).unwrap()),
        Err(ClientError::Api(error)) => Err(error.status().as_u16()),
        Err(error) => panic!("{path}: {error:?}"),
    }
}

async fn named(name: &'static str) -> Running {
    upstream(Router::new().fallback(async move || name)).await
}

/// The service that a turn's routes lead to.
fn service(turn: usize) -> &'static str {
    if turn.is_multiple_of(2) { "one" } else { "two" }
}

fn routes(turn: usize) -> String {
    let service = service(turn);
    format!(
        "[[routes]]\npath = \"/api\"\naccess = \"authenticated\"\ntarget = {{ service = \"{service}\" }}\n\
         [[routes]]\npath = \"/turn-{turn}\"\naccess = \"public\"\ntarget = {{ service = \"{service}\" }}\n"
    )
}

/// Publishes what a test tells it to, and counts who asks.
async fn publisher(published: &Arc<Mutex<String>>, fetches: &Arc<AtomicUsize>) -> Running {
    let (published, fetches) = (Arc::clone(published), Arc::clone(fetches));
    let document = async move || {
        fetches.fetch_add(1, Ordering::Relaxed);
        published.lock().clone()
    };
    upstream(Router::new().route("/jwks.json", get(document))).await
}

fn authenticator(publisher: &Running) -> Authenticator {
    let mut refresh = KeyRefreshConfig::default();
    (refresh.cool_down, refresh.interval) = (COOL_DOWN, 10 * COOL_DOWN);
    let keys = JwksSource::url(&format!("{}/jwks.json", publisher.endpoint()).parse().unwrap()).unwrap();
    let verifier = JwtVerifier::builder("auth-service", "sap").build().unwrap();
    Authenticator::builder().jwt(verifier).key_source(keys).key_refresh(refresh).build().unwrap()
}
