use std::sync::{Arc, Mutex};

use axum::{Router, body::Body};
use http::Request;
use sap_comm_rest::{
    gateway::{Gateway, GatewayConfig, Quota, RequestLog, Route},
    server::{CorsConfig, Server, ServerConfig},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    runtime::{Builder, Runtime},
};
use tokio_util::sync::CancellationToken;
use tracing::{
    Dispatch, Event, Subscriber,
    field::{Field, Visit},
    span,
    subscriber::DefaultGuard,
};

use super::support::{Wire, bearer, echo, send, serve, to_service, until, upstream, verifier, within};

/// Keeps the lines of a gateway's request log.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<String>>>);

impl Lines {
    fn of_answers(&self) -> Vec<String> {
        let is_one = |line: &&String| line.contains("http.response.status_code=");
        self.0.lock().unwrap().iter().filter(is_one).cloned().collect()
    }
}

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        self.0.push_str(&format!("{}={value:?} ", field.name()));
    }
}

impl Subscriber for Lines {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        metadata.target().contains("gateway")
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut line = Line(String::new());
        event.record(&mut line);
        self.0.lock().unwrap().push(line.0);
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

/// Lines that are kept as long as the other is held.
fn kept() -> (Lines, (Dispatch, DefaultGuard)) {
    let lines = Lines::default();
    // With one dispatcher only, a thread without it could switch the call site off for all.
    let second = Dispatch::new(lines.clone());
    let guard = tracing::subscriber::set_default(lines.clone());
    (lines, (second, guard))
}

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

/// Asks so many times for what no route takes.
async fn ask_for_nothing(gateway: &Gateway, times: usize) {
    for _ in 0..times {
        let request = Request::get("/nothing").header("host", "a.test").body(Body::empty()).unwrap();
        assert_eq!(gateway.handle(request).await.status(), 404);
    }
}

/// Serves at a server that stops before anybody has come.
async fn serve_nobody(gateway: Gateway) {
    let server = Server::bind("127.0.0.1:0", ServerConfig::default()).await.unwrap();
    let shutdown = CancellationToken::new();
    shutdown.cancel();
    within(gateway.serve(server, shutdown)).await.unwrap();
}

#[tokio::test]
async fn each_request_leaves_one_line_with_its_ids() {
    let (lines, _log) = kept();
    let upstream = upstream(echo()).await;
    let gateway = to_service(&upstream)
        .authenticator(verifier())
        .route(Route::new("/users/{id}").to("test").authenticated())
        .build();
    let gateway = serve(gateway.unwrap()).await;
    let trace_id = "4bf92f3577b34da6a3ce929d0e0e4736";
    let parent = format!("00-{trace_id}-00f067aa0ba902b7-01");
    let token = bearer(&[]);
    let headers = [("traceparent", parent.as_str()), ("X-Request-Id", "req_1"), ("Authorization", &token)];
    send(&gateway, "GET", "/users/7?secret=1", &headers, "").await;
    send(&gateway, "GET", "/nothing", &headers[..2], "").await;

    // They are written by a task beside the requests.
    until(|| lines.of_answers().len() >= 2).await;
    let lines = lines.of_answers();
    assert_eq!(lines.len(), 2, "{lines:?}");
    for line in &lines {
        assert!(line.starts_with("message=\"request\" "), "{line}");
        assert!(line.contains(&format!("trace_id=\"{trace_id}\"")) && line.contains("request_id=\"req_1\""), "{line}");
        assert!(line.contains("http.request.method=\"GET\"") && line.contains("duration_ms="), "{line}");
        assert!(!line.contains("secret") && !line.contains(&token), "{line}");
    }
    let upstream = format!("upstream=\"test http://{}\" ", upstream.address);
    for part in [
        "service.name=\"api-gateway\"",
        "http.response.status_code=200",
        "http.route=\"/users/{id}\"",
        "url.path=\"/users/7\"",
        "user.id=\"usr_1\"",
        "client.address=\"127.0.0.1\"",
        &upstream,
    ] {
        assert!(lines[0].contains(part), "{part}: {}", lines[0]);
    }
    assert!(lines[1].contains("status_code=404") && lines[1].contains("error.type=\"NOT_FOUND\""), "{}", lines[1]);
}

#[tokio::test]
async fn a_client_that_goes_away_leaves_a_line() {
    let (lines, _log) = kept();
    let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
    let upstream = upstream(Router::new().fallback(async move || {
        tell.send(()).unwrap();
        std::future::pending::<()>().await;
    }));
    let upstream = upstream.await;
    let gateway = serve(to_service(&upstream).route(Route::new("/users").to("test").public()).build().unwrap()).await;
    let mut client = Wire::open(&gateway).await;
    client.write("GET /users HTTP/1.1\r\nhost: a\r\n\r\n").await;
    told.recv().await.unwrap();
    drop(client);
    let gone = "message=\"request given up unanswered\" ";
    let is_its_own = |line: &String| line.starts_with(gone) && line.contains("url.path=\"/users\"");
    until(|| lines.0.lock().unwrap().iter().any(is_its_own)).await;
}

#[tokio::test]
async fn a_preflight_leaves_a_line_under_its_id_that_names_the_client() {
    let (lines, _log) = kept();
    let upstream = upstream(echo()).await;
    let gateway = to_service(&upstream).route(Route::new("/users").to("test").public());
    let gateway = serve(gateway.cors(CorsConfig::any_origin().unwrap()).build().unwrap()).await;
    let asks = [("Origin", "https://a.example"), ("Access-Control-Request-Method", "PUT"), ("X-Request-Id", "req_1")];
    let answer = send(&gateway, "OPTIONS", "/users", &asks, "").await;
    assert_eq!((answer.status, answer.header("x-request-id")), (200, Some("req_1")));
    let parts = ["method=\"OPTIONS\"", "request_id=\"req_1\"", "client.address=\"127.0.0.1\""];
    let is_its_own = |line: &String| parts.iter().all(|part| line.contains(part));
    until(|| lines.0.lock().unwrap().iter().any(is_its_own)).await;
}

#[tokio::test]
async fn another_share_is_kept_after_a_reload() {
    let (lines, _log) = kept();
    let upstream = upstream(echo()).await;
    let sampling = |sample| {
        let mut config = GatewayConfig::default();
        config.log.sample = sample;
        config.routes = vec![Route::new("/api").to("test").public().into()];
        config
    };
    let gateway = to_service(&upstream).config(sampling(0.0)).build().unwrap();
    let edge = serve(gateway.clone()).await;
    for path in ["/api/before", "/api/after"] {
        assert_eq!(send(&edge, "GET", path, &[], "").await.status, 200);
        gateway.reload(sampling(1.0)).unwrap();
    }
    let count = |path: &str| lines.0.lock().unwrap().iter().filter(|line| line.contains(path)).count();
    until(|| count("/api/after") > 0).await;
    assert_eq!(count("/api/before"), 0);
}

#[tokio::test]
async fn sampling_leaves_out_what_went_well_and_never_what_failed() {
    let (lines, _log) = kept();
    let upstream = upstream(echo()).await;
    let mut log = RequestLog::default();
    log.sample = 0.25;
    let gateway = to_service(&upstream)
        .log(log)
        .route(Route::new("/well").to("test").public())
        .route(Route::new("/few").to("test").public().rate_limit(Quota::per_hour(1)))
        .route(Route::new("/gone").to("nowhere").public())
        .build();
    let gateway = serve(gateway.unwrap()).await;
    // Nobody chooses by a trace id to be left out, or to be kept.
    let ask = async |path: &str, low: &str| {
        let parent = format!("00-00000000000000ff{low}-00f067aa0ba902b7-01");
        send(&gateway, "GET", path, &[("traceparent", &parent)], "").await.status
    };
    for low in ["0000000000000001", "ffffffffffffffff"] {
        for _ in 0..20 {
            assert_eq!(ask("/well", low).await, 200);
            // What its client asked wrongly, or too often, went well for the gateway: a scanner is not to push others' lines out.
            assert_eq!(ask("/nothing", low).await, 404);
        }
        assert_eq!(ask("/gone", low).await, 503);
    }
    let written = || -> Vec<String> {
        let status = |line: &String| {
            let at = line.split("status_code=").nth(1)?;
            at.split(' ').next().map(str::to_owned)
        };
        lines.0.lock().unwrap().iter().filter_map(status).collect()
    };
    assert_eq!(ask("/few", "0000000000000001").await, 200);
    for _ in 0..39 {
        assert_eq!(ask("/few", "0000000000000001").await, 429);
    }
    assert_eq!(ask("/gone", "0000000000000001").await, 503);
    until(|| written().iter().filter(|status| *status == "503").count() >= 3).await;
    let written = written();
    let count = |of: &[String], status: &str| of.iter().filter(|it| *it == status).count();
    let halves: Vec<_> = written.split(|status| status == "503").collect();
    for half in &halves[..2] {
        let (well, wrong) = (count(half, "200"), count(half, "404"));
        assert!((9..=12).contains(&(well + wrong)) && well > 0 && wrong > 0, "a quarter of forty: {half:?}");
    }
    assert!((8..=12).contains(&count(halves[2], "429")), "a quarter of forty: {:?}", halves[2]);
}

#[tokio::test]
async fn the_lines_of_all_threads_are_written_before_serving_ends() {
    let (lines, _log) = kept();
    let upstream = upstream(echo()).await;
    let gateway = to_service(&upstream).route(Route::new("/users").to("test").public()).build().unwrap();
    let ask = || {
        let _log = tracing::subscriber::set_default(lines.clone());
        runtime().block_on(ask_for_nothing(&gateway, 25));
    };
    std::thread::scope(|scope| (0..4).for_each(|_| drop(scope.spawn(ask))));
    serve_nobody(gateway.clone()).await;
    assert_eq!(lines.of_answers().len(), 100);
}

#[test]
fn serving_ends_where_nobody_writes_any_more() {
    let first = runtime();
    let gateway = first.block_on(async {
        let upstream = upstream(echo()).await;
        to_service(&upstream).route(Route::new("/users").to("test").public()).build().unwrap()
    });
    drop(first);
    runtime().block_on(serve_nobody(gateway));
}

#[tokio::test]
async fn lines_that_cannot_wait_are_counted_and_told_of() {
    let (lines, _log) = kept();
    let upstream = upstream(echo()).await;
    let mut log = RequestLog::default();
    log.max_waiting = 2;
    let gateway = to_service(&upstream).route(Route::new("/users").to("test").public()).log(log).build().unwrap();
    // Meanwhile nothing else has a turn, and nothing is written.
    ask_for_nothing(&gateway, 50).await;
    assert_eq!(gateway.snapshot().dropped_log_lines, 48);
    let told = |line: &String| line.contains("could not keep up") && line.contains("lines=48");
    until(|| lines.0.lock().unwrap().iter().any(told)).await;
    assert_eq!(lines.of_answers().len(), 2);
}

#[tokio::test]
async fn the_last_lines_are_written_before_serving_ends() {
    let (lines, _log) = kept();
    let upstream = upstream(echo()).await;
    let gateway = to_service(&upstream).route(Route::new("/users").to("test").public()).build().unwrap();
    let server = Server::bind("127.0.0.1:0", ServerConfig::default()).await.unwrap();
    let (address, shutdown) = (server.local_addr(), CancellationToken::new());
    let serving = gateway.serve(server, shutdown.clone());
    let asking = async {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(b"GET /users HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n").await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        shutdown.cancel();
        answer
    };
    let (served, answer) = tokio::join!(serving, asking);
    served.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert_eq!(lines.of_answers().len(), 1);
}
