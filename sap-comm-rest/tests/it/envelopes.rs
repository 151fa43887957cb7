use std::time::Duration;

use axum::{
    Router,
    extract::Query as AxumQuery,
    routing::{get, post},
};
use http::StatusCode;
use sap_comm_core::{ApiError, ErrorCode};
use sap_comm_rest::server::{Json, KitConfig, Path, Query, ServerConfig, Verbatim, kit, versioned};
use serde::Deserialize;

use crate::support::{Connection, ask, serve, serve_with};

#[derive(Debug, Deserialize)]
struct Named {
    #[serde(rename = "name")]
    _name: String,
}

#[derive(Debug, Deserialize)]
struct Window {
    #[serde(rename = "days")]
    _days: u8,
}

async fn panics() -> StatusCode {
    panic!("the password is hunter2")
}

fn router() -> Router {
    let routes = Router::new()
        .route("/json", post(async |_: Json<Named>| StatusCode::OK))
        .route("/text", post(async |text: String| text))
        .route("/numbers/{number}", get(async |Path(number): Path<u32>| number.to_string()))
        .route("/window", get(async |_: Query<Window>| StatusCode::OK))
        .route("/foreign", get(async |_: AxumQuery<Window>| StatusCode::OK))
        .route("/panic", get(panics))
        .route("/slow", get(async || tokio::time::sleep(Duration::from_secs(3_600)).await))
        .route("/bare", get(async || (StatusCode::INTERNAL_SERVER_ERROR, "the password is hunter2")))
        .route("/verbatim", get(async || (StatusCode::NOT_FOUND, axum::Extension(Verbatim), "as it is")))
        .route(
            "/later",
            get(async || {
                let error = ApiError::new(ErrorCode::OVERLOADED, "Later").retry_after(Duration::from_millis(1_500));
                Err::<(), _>(error)
            }),
        );
    versioned("v1", routes)
}

fn config() -> KitConfig {
    let mut config = KitConfig::new("test-service");
    config.max_body = 64;
    config.body_pause = Duration::from_millis(200);
    config.handler_timeout = Duration::from_millis(400);
    config
}

fn with_body(path: &str, content_type: &str, body: &str) -> String {
    let length = body.len();
    format!("POST {path} HTTP/1.1\r\nhost: a\r\n{content_type}content-length: {length}\r\n\r\n{body}")
}

fn get_of(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nhost: a\r\n\r\n")
}

#[tokio::test]
async fn every_refusal_is_the_envelope() {
    let server = serve_with(kit(router(), config()), "127.0.0.1:0", ServerConfig::default()).await;
    let json = "content-type: application/json\r\n";
    let chunked = format!(
        "POST /api/v1/json HTTP/1.1\r\nhost: a\r\n{json}transfer-encoding: chunked\r\n\r\n50\r\n{}\r\n0\r\n\r\n",
        "x".repeat(0x50)
    );
    for (request, status, code) in [
        (get_of("/"), 404, "NOT_FOUND"),
        (get_of("/api/v1/nothing"), 404, "NOT_FOUND"),
        (get_of("/json"), 404, "NOT_FOUND"),
        (get_of("/api/v1/json"), 405, "METHOD_NOT_ALLOWED"),
        (get_of("/api/v1/panic"), 500, "INTERNAL_ERROR"),
        (get_of("/api/v1/bare"), 500, "INTERNAL_ERROR"),
        (get_of("/api/v1/later"), 503, "OVERLOADED"),
        (get_of("/api/v1/slow"), 504, "DEADLINE_EXCEEDED"),
        (get_of("/api/v1/numbers/seven"), 400, "INVALID_ARGUMENT"),
        (get_of("/api/v1/numbers/%ff"), 400, "INVALID_ARGUMENT"),
        (get_of("/api/v1/window"), 400, "INVALID_ARGUMENT"),
        (get_of("/api/v1/window?days=256"), 400, "INVALID_ARGUMENT"),
        (get_of("/api/v1/foreign?days=x"), 400, "BAD_REQUEST"),
        (with_body("/api/v1/json", json, "{"), 400, "MALFORMED_BODY"),
        (with_body("/api/v1/json", json, ""), 400, "MALFORMED_BODY"),
        (with_body("/api/v1/json", json, "{\"name\": 1}"), 400, "MALFORMED_BODY"),
        (with_body("/api/v1/json", json, "{\"name\": \"\\ud800\"}"), 400, "MALFORMED_BODY"),
        (with_body("/api/v1/json", json, "{\"name\": \"a\"} b"), 400, "MALFORMED_BODY"),
        (with_body("/api/v1/json", "", "{}"), 415, "UNSUPPORTED_MEDIA_TYPE"),
        (with_body("/api/v1/json", "content-type: text/plain\r\n", "{}"), 415, "UNSUPPORTED_MEDIA_TYPE"),
        (with_body("/api/v1/json", json, &"x".repeat(65)), 413, "PAYLOAD_TOO_LARGE"),
        (with_body("/api/v1/text", "", &"x".repeat(65)), 413, "PAYLOAD_TOO_LARGE"),
        (chunked, 413, "PAYLOAD_TOO_LARGE"),
    ] {
        let answer = ask(server.addr, &request).await;
        assert_eq!((answer.status, answer.code().as_str()), (status, code), "{request:?} {answer:?}");
        assert!(!answer.body.contains("hunter2"), "{answer:?}");
    }
}

#[tokio::test]
async fn a_refusal_says_what_helps() {
    let server = serve_with(kit(router(), config()), "127.0.0.1:0", ServerConfig::default()).await;
    let answer = ask(server.addr, &get_of("/api/v1/json")).await;
    assert_eq!(answer.header("allow"), Some("POST"));
    let answer = ask(server.addr, &get_of("/api/v1/later")).await;
    assert_eq!(answer.header("retry-after"), Some("2"));
    let answer = ask(server.addr, &get_of("/api/v1/window?days=256")).await;
    assert_eq!(answer.error()["details"]["parameter"], "days");
    let answer = ask(server.addr, &get_of("/api/v1/numbers/seven")).await;
    assert!(answer.error()["message"].as_str().unwrap().contains("seven"), "{answer:?}");
    let body = with_body("/api/v1/json", "content-type: application/json\r\n", "{\n\"name\": 1}");
    let details = ask(server.addr, &body).await.error()["details"].clone();
    assert_eq!(details, serde_json::json!({"line": 2, "column": 9, "path": "name"}));
}

#[tokio::test]
async fn a_body_that_stops_arriving_is_given_up() {
    let server = serve_with(kit(router(), config()), "127.0.0.1:0", ServerConfig::default()).await;
    let mut connection = Connection::open(server.addr).await;
    let head = "POST /api/v1/json HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ncontent-length: 50\r\n\r\n{";
    connection.send(head.as_bytes()).await;
    let answer = connection.answer().await;
    assert_eq!((answer.status, answer.code().as_str()), (408, "REQUEST_TIMEOUT"));
}

#[tokio::test]
async fn problem_details_are_sent_when_asked_for() {
    let server = serve(router()).await;
    for path in ["/nothing", "/api/v1/later", "/api/v1/foreign?days=x"] {
        let request =
            format!("GET {path} HTTP/1.1\r\nhost: a\r\nx-request-id: abc\r\naccept: application/problem+json\r\n\r\n");
        let answer = ask(server.addr, &request).await;
        assert_eq!(answer.header("content-type"), Some("application/problem+json"), "{answer:?}");
        let problem = answer.json();
        assert_eq!(problem["status"], answer.status);
        assert_eq!((&problem["type"], &problem["requestId"]), (&"about:blank".into(), &"abc".into()));
        assert!(problem["title"].is_string() && problem["detail"].is_string() && problem["code"].is_string());
    }
}

#[tokio::test]
async fn what_a_handler_marks_verbatim_stays_as_it_is() {
    let server = serve(router()).await;
    let answer = ask(server.addr, &get_of("/api/v1/verbatim")).await;
    assert_eq!((answer.status, answer.body.as_str()), (404, "as it is"));
}

#[tokio::test]
async fn every_answer_has_the_security_headers() {
    let server = serve(router()).await;
    for path in ["/api/v1/numbers/7", "/nothing"] {
        let answer = ask(server.addr, &get_of(path)).await;
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
        assert_eq!(answer.header("content-security-policy"), Some("default-src 'none'; frame-ancestors 'none'"));
        assert_eq!(answer.header("cache-control"), Some("no-store"));
    }
}
