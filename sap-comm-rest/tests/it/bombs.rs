//! Small requests that could cost much: each is refused, or answered at its own size.

use axum::{Router, routing::post};
use sap_comm_rest::server::Json;
#[cfg(feature = "swagger-ui")]
use sap_comm_rest::{operation::Contract, server::docs};
use serde_json::Value;

use crate::support::{Answer, Connection, serve};

/// A megabyte of spaces in gzip, and ten of them in Brotli, shortened.
const COMPRESSED: [(&str, &[u8]); 3] = [
    ("gzip", b"\x1f\x8b\x08\0\0\0\0\0\x02\x03\xed\xc1\x31\x01\0\0\0\xc2\xa0\xf5\x4f\x6d\x0b\x2f\xa0"),
    ("br", b"\x9b\xff\xff\x0f\0\x24\x40\xe2\x20\x01"),
    ("gzip, gzip, gzip", b"\x1f\x8b\x08\0\0\0\0\0"),
];

async fn send(headers: &str, body: &[u8]) -> Answer {
    let router = Router::new().route("/", post(async |Json(value): Json<Value>| Json(value)));
    let server = serve(router).await;
    let mut connection = Connection::open(server.addr).await;
    connection.send(format!("{headers}\r\nhost: a\r\ncontent-length: {}\r\n\r\n", body.len()).as_bytes()).await;
    connection.send(body).await;
    connection.answer().await
}

#[tokio::test]
async fn a_compressed_body_is_refused_whether_it_can_be_read_or_not() {
    for (coding, body) in COMPRESSED {
        let head = format!("POST / HTTP/1.1\r\ncontent-type: application/json\r\ncontent-encoding: {coding}");
        let answer = send(&head, body).await;
        assert!(matches!(answer.status, 400 | 413 | 415), "{coding}: {answer:?}");
        let codes = ["BAD_REQUEST", "MALFORMED_BODY", "PAYLOAD_TOO_LARGE", "UNSUPPORTED_MEDIA_TYPE"];
        assert!(codes.contains(&answer.code().as_str()), "{coding}");
    }
}

#[tokio::test]
async fn json_that_is_nested_too_deep_is_malformed() {
    for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
        let body = format!("{}1{}", open.repeat(100_000), close.repeat(100_000));
        let answer = send("POST / HTTP/1.1\r\ncontent-type: application/json", body.as_bytes()).await;
        assert_eq!((answer.status, answer.code().as_str()), (400, "MALFORMED_BODY"));
    }
}

/// The largest that a service answers from its own memory.
#[cfg(feature = "swagger-ui")]
#[tokio::test]
async fn a_thousand_ranges_of_a_large_page_are_no_more_than_the_page() {
    const NOTHING: Contract = Contract::new("test", &[]);
    let server = serve(docs(NOTHING.openapi())).await;
    let ask = async |headers: &str| {
        let mut connection = Connection::open(server.addr).await;
        let head = format!("GET /docs/swagger-ui-bundle.js HTTP/1.1\r\nhost: a\r\n{headers}\r\n");
        connection.send(head.as_bytes()).await;
        connection.answer().await
    };
    let whole = ask("").await;
    assert!(whole.status == 200 && whole.body.len() > 100_000, "{}", whole.body.len());
    let ranged = ask(&format!("range: bytes={}\r\n", vec!["0-"; 1_000].join(","))).await;
    // To pass over the header is allowed (RFC 9110, 14.2), and so is to refuse it.
    assert!(matches!(ranged.status, 200 | 416), "{}", ranged.status);
    assert!(ranged.body.len() <= whole.body.len() && ranged.header("content-range").is_none());
}
