use std::sync::Arc;

use axum::{Router, extract::State, response::AppendHeaders, routing::get};
use http::{StatusCode, header};
use parking_lot::Mutex;
use sap_comm_core::ApiError;
use sap_comm_rest::{
    client::CallError,
    conditional::{EntityTag, Preconditions, RequiredPreconditions, Tagged},
    operation::{Contract, NoErrors, Operation},
    server::{ContractRouter, Json, NoContent},
};

use crate::support::{Answer, Connection, Running, ask, plain_client, serve};

const READ: Operation<(), Tagged<Json<u64>>> = Operation::get("/counter").public();
const COUNT: Operation<(Preconditions, Json<u64>), Tagged<Json<u64>>> = Operation::put("/counter").public();
const CLEAR: Operation<(RequiredPreconditions,), NoContent> = Operation::delete("/counter").public();
const COUNTER: Contract = Contract::new("counter", &[READ.definition(), COUNT.definition(), CLEAR.definition()]);

type Counter = Arc<Mutex<u64>>;

async fn read(State(counter): State<Counter>) -> Result<Tagged<Json<u64>>, ApiError> {
    let value = *counter.lock();
    Ok(Tagged(EntityTag::of_version(value), Json(value)))
}

async fn count(
    State(counter): State<Counter>,
    preconditions: Preconditions,
    Json(by): Json<u64>,
) -> Result<Tagged<Json<u64>>, ApiError> {
    let mut value = counter.lock();
    preconditions.check(Some(&EntityTag::of_version(*value)))?;
    *value += by;
    Ok(Tagged(EntityTag::of_version(*value), Json(*value)))
}

async fn clear(
    State(counter): State<Counter>,
    RequiredPreconditions(preconditions): RequiredPreconditions,
) -> Result<NoContent, ApiError> {
    let mut value = counter.lock();
    preconditions.check(Some(&EntityTag::of_version(*value)))?;
    *value = 0;
    Ok(NoContent)
}

async fn counter() -> Running {
    let router = ContractRouter::new(&COUNTER).serve(READ, read).serve(COUNT, count).serve(CLEAR, clear);
    serve(router.build(Counter::default()).unwrap()).await
}

async fn send(server: &Running, method: &str, headers: &str) -> Answer {
    let body = if method == "PUT" { "content-type: application/json\r\ncontent-length: 1\r\n\r\n1" } else { "\r\n" };
    ask(server.addr, &format!("{method} /counter HTTP/1.1\r\nhost: a\r\n{headers}{body}")).await
}

#[tokio::test]
async fn what_a_caller_has_already_is_not_sent_again() {
    let server = counter().await;
    let whole = send(&server, "GET", "").await;
    assert_eq!((whole.status, whole.body.as_str(), whole.header("etag")), (200, "0", Some("\"v0\"")));
    assert_eq!(whole.header("cache-control"), Some("private, no-cache"));
    for condition in ["\"v0\"", "W/\"v0\"", "\"x\", \"v0\"", "*"] {
        let answer = send(&server, "GET", &format!("if-none-match: {condition}\r\n")).await;
        assert_eq!((answer.status, answer.body.as_str(), answer.header("etag")), (304, "", Some("\"v0\"")));
        assert_eq!(answer.header("cache-control"), Some("private, no-cache"));
        assert_eq!(answer.header("content-type"), None);
    }
    for method in ["GET", "HEAD"] {
        let mut connection = Connection::open(server.addr).await;
        for _ in 0..2 {
            connection
                .send(format!("{method} /counter HTTP/1.1\r\nhost: a\r\nif-none-match: *\r\n\r\n").as_bytes())
                .await;
            let answer = connection.answer().await;
            assert_eq!(
                (answer.status, answer.header("content-length"), answer.header("transfer-encoding")),
                (304, None, None)
            );
        }
    }
    assert_eq!(send(&server, "GET", "if-none-match: \"v1\"\r\n").await.status, 200);
    let changed = send(&server, "GET", "if-match: \"v1\"\r\n").await;
    assert_eq!((changed.status, changed.code().as_str()), (412, "PRECONDITION_FAILED"));
    let odd = send(&server, "GET", "if-none-match: v0\r\n").await;
    assert_eq!((odd.status, odd.error()["details"]["header"].as_str()), (400, Some("if-none-match")));
}

#[tokio::test]
async fn conditions_come_before_ranges_and_hold_for_what_has_no_version() {
    let part = |tag: Option<&'static str>| {
        let headers = [Some((header::CONTENT_RANGE, "bytes 0-0/2")), tag.map(|tag| (header::ETAG, tag))];
        get(async move || (StatusCode::PARTIAL_CONTENT, AppendHeaders(headers.into_iter().flatten()), "a"))
    };
    let whole = get(async || "ab");
    let gone = get(async || StatusCode::NO_CONTENT);
    let router = Router::new()
        .route("/part", part(Some("\"v1\"")))
        .route("/weak", part(Some("W/\"v1\"")))
        .route("/unnamed", part(None))
        .route("/whole", whole)
        .route("/gone", gone);
    let server = serve(router).await;
    for (path, condition, status) in [
        ("/part", "if-match: \"v1\"", 206),
        ("/part", "if-match: *", 206),
        ("/part", "if-match: \"v0\"", 412),
        ("/part", "if-match: W/\"v1\"", 412),
        ("/part", "if-none-match: \"v1\"", 304),
        ("/part", "if-none-match: W/\"v1\"", 304),
        ("/part", "if-none-match: \"v0\"", 206),
        ("/part", "if-none-match: v1", 400),
        ("/weak", "if-match: W/\"v1\"", 412),
        ("/weak", "if-none-match: \"v1\"", 304),
        ("/unnamed", "if-match: \"v1\"", 412),
        ("/unnamed", "if-match: *", 206),
        ("/whole", "if-match: \"v1\"", 412),
        ("/whole", "if-match: *", 200),
        ("/whole", "if-none-match: \"v1\"", 200),
        ("/whole", "if-none-match: *", 304),
        ("/whole", "if-none-match: v1", 200),
        ("/whole", "if-none-match: *, \"v1\"", 200),
        ("/whole", "if-match: v1", 400),
        ("/whole", "if-match: v1\r\nif-none-match: v1", 400),
        ("/whole", "if-match: *\r\nif-none-match: v1", 200),
        ("/whole", "if-match: \"v1\"\r\nif-none-match: v1", 412),
        ("/part", "if-match: \"v0\"\r\nif-none-match: v1", 400),
        ("/gone", "if-match: \"v1\"", 204),
    ] {
        let request = format!("GET {path} HTTP/1.1\r\nhost: a\r\nrange: bytes=0-0\r\n{condition}\r\n\r\n");
        let answer = ask(server.addr, &request).await;
        assert_eq!(answer.status, status, "{path} {condition}");
        if status == 412 {
            assert_eq!(answer.code(), "PRECONDITION_FAILED");
        }
    }
}

#[tokio::test]
async fn a_change_of_another_version_is_refused() {
    let server = counter().await;
    assert_eq!(send(&server, "PUT", "if-match: \"v0\"\r\n").await.header("etag"), Some("\"v1\""));
    let lost = send(&server, "PUT", "if-match: \"v0\"\r\n").await;
    assert_eq!((lost.status, lost.error()["details"]["etag"].as_str()), (412, Some("\"v1\"")));
    let weak = send(&server, "PUT", "if-match: W/\"v1\"\r\n").await;
    assert_eq!(weak.status, 412);
    assert_eq!(send(&server, "PUT", "if-none-match: *\r\n").await.status, 412);
    assert_eq!(send(&server, "PUT", "").await.body, "2");
    let blind = send(&server, "DELETE", "").await;
    assert_eq!((blind.status, blind.code().as_str()), (428, "PRECONDITION_REQUIRED"));
    assert_eq!(send(&server, "DELETE", "if-match: \"v2\"\r\n").await.status, 204);
}

#[tokio::test]
async fn the_typed_client_reads_and_changes_by_version() {
    let server = counter().await;
    let client = plain_client(server.endpoint());
    let first = client.call(&READ, ()).answer().await.unwrap();
    let tag = first.etag().unwrap();
    assert!(client.call(&READ, ()).if_changed(&tag).await.unwrap().is_none());
    assert_eq!(client.call(&COUNT, (Some(&tag), &5)).await.unwrap(), 5);
    let now = client.call(&READ, ()).if_changed(&tag).await.unwrap().unwrap();
    assert_eq!((*now, now.etag().unwrap().to_string().as_str()), (5, "\"v5\""));
    let lost: CallError<NoErrors> = client.call(&COUNT, (Some(&tag), &5)).await.unwrap_err();
    assert_eq!(ApiError::from(lost).status(), 412);
    client.call(&CLEAR, (&now.etag().unwrap(),)).await.unwrap();
}

#[test]
fn the_document_tells_of_versions() {
    let document = COUNTER.openapi();
    let operation = |method: &str| document["paths"]["/counter"][method].clone();
    assert!(operation("get")["responses"]["304"]["headers"]["etag"].is_object());
    assert!(operation("get")["responses"]["304"]["content"].is_null());
    let condition = &operation("delete")["parameters"][0];
    assert_eq!((&condition["name"], &condition["required"]), (&"If-Match".into(), &true.into()));
    assert!(operation("delete")["responses"]["428"].is_object());
    assert!(operation("put")["responses"]["412"].is_object() && operation("put")["responses"]["428"].is_null());
}
