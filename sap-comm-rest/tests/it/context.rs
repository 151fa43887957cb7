use std::{
    io,
    sync::{Arc, Mutex},
};

use axum::{Router, body::Body, extract::Request, routing::get};
use http_body_util::BodyExt;
use sap_comm_core::Context;
use sap_comm_rest::server::{KitConfig, kit};
use serde_json::{Value, json};
use tower::ServiceExt;
use tracing::instrument::WithSubscriber;

use crate::support::{ask, serve};

fn router() -> Router {
    let tell = async || {
        let context = Context::current();
        tracing::info!("handling");
        axum::Json(json!({
            "requestId": context.request_id(),
            "correlationId": context.correlation_id(),
            "traceId": context.trace().trace_id(),
            "attempt": context.attempt(),
            "principal": context.principal().map(|principal| principal.id.clone()),
            "remaining": context.remaining().map(|remaining| remaining.as_secs()),
        }))
    };
    Router::new().route("/users/{id}", get(tell))
}

#[tokio::test]
async fn ids_and_trace_are_taken_over_and_the_id_is_echoed() {
    let server = serve(router()).await;
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    let request = format!(
        "GET /users/1 HTTP/1.1\r\nhost: a\r\nx-request-id: req_a\r\nx-correlation-id: req_b\r\n\
         traceparent: 00-{trace}-00f067aa0ba902b7-01\r\n\r\n"
    );
    let answer = ask(server.addr, &request).await;
    assert_eq!(answer.header("x-request-id"), Some("req_a"));
    let told = answer.json();
    assert_eq!((&told["requestId"], &told["correlationId"]), (&"req_a".into(), &"req_b".into()));
    assert_eq!(told["traceId"], trace);
}

#[tokio::test]
async fn a_request_without_an_id_or_with_a_hostile_one_gets_a_new_one() {
    let server = serve(router()).await;
    for header in ["", "x-request-id: a b\r\n", "x-request-id: \r\n"] {
        let answer = ask(server.addr, &format!("GET /users/1 HTTP/1.1\r\nhost: a\r\n{header}\r\n")).await;
        let id = answer.header("x-request-id").unwrap().to_owned();
        assert!(id.starts_with("req_"), "{id}");
        assert_eq!(answer.json()["requestId"], id);
    }
}

#[tokio::test]
async fn an_outsider_forges_neither_principal_nor_attempt_nor_deadline() {
    let server = serve(router()).await;
    let principal = "eyJpZCI6InJvb3QiLCJraW5kIjoidXNlciIsInJvbGVzIjpbImFkbWluIl19";
    let request = format!(
        "GET /users/1 HTTP/1.1\r\nhost: a\r\nx-principal: {principal}\r\nx-attempt: 9\r\nx-timeout-ms: 1\r\n\r\n"
    );
    let told = ask(server.addr, &request).await.json();
    assert_eq!((&told["principal"], &told["attempt"]), (&Value::Null, &1.into()));
    assert_eq!(told["remaining"], 29, "the handler's own timeout is the deadline");
}

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A log, and a second one: where there is one alone, threads that have none decide for all what is logged.
fn logs(log: &Log) -> [tracing::Dispatch; 2] {
    [log.clone(), Log::default()].map(|writer| {
        let subscriber = tracing_subscriber::fmt().json().with_writer(move || writer.clone());
        tracing::Dispatch::new(subscriber.finish())
    })
}

#[tokio::test]
async fn one_trace_id_is_found_in_every_line_of_a_request_and_one_line_tells_how_it_ended() {
    let log = Log::default();
    let [dispatch, _second] = logs(&log);
    let router = kit(router(), KitConfig::new("user-service"));
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    let request = Request::get("/users/7")
        .header("traceparent", format!("00-{trace}-00f067aa0ba902b7-01"))
        .header("x-request-id", "req_a")
        .body(Body::empty())
        .unwrap();
    let response = router.oneshot(request).with_subscriber(dispatch).await.unwrap();
    response.into_body().collect().await.unwrap();
    let text = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 2, "{text}");
    for line in &lines {
        assert_eq!((&line["span"]["trace_id"], &line["span"]["request_id"]), (&trace.into(), &"req_a".into()));
    }
    let (last, span) = (&lines[1]["fields"], &lines[1]["span"]);
    assert_eq!(last["http.response.status_code"], 200);
    assert!(last["duration_ms"].is_number());
    assert_eq!((&span["http.route"], &span["service.name"]), (&"/users/{id}".into(), &"user-service".into()));
}

#[tokio::test]
async fn a_request_that_its_client_gives_up_leaves_a_line_too() {
    let log = Log::default();
    let [dispatch, _second] = logs(&log);
    let router = Router::new().route("/", get(async || std::future::pending::<()>().await));
    let request = Request::get("/").header("x-request-id", "req_a").body(Body::empty()).unwrap();
    let mut asked = Box::pin(kit(router, KitConfig::default()).oneshot(request).with_subscriber(dispatch.clone()));
    assert!(futures_util::poll!(&mut asked).is_pending());
    tracing::dispatcher::with_default(&dispatch, || drop(asked));
    let text = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    let line: Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
    assert_eq!(line["fields"]["message"], "request given up unanswered");
    assert_eq!(line["span"]["request_id"], "req_a");
}
