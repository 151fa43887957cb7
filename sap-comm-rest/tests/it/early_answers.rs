use axum::{Router, routing::post};
use sap_comm_rest::server::Json;
use serde_json::Value;

use crate::support::{Connection, halves, oversized, serve};

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_sends_on_behind_the_answer_gets_all_of_it() {
    let server = serve(Router::new().route("/", post(async |Json(value): Json<Value>| Json(value)))).await;
    for request in oversized("/") {
        for _ in 0..50 {
            let mut connection = Connection::open(server.addr).await;
            let (begin, rest) = halves(&request);
            connection.send(begin).await;
            connection.readable().await;
            for piece in rest {
                connection.send(piece).await;
            }
            let answer = connection.answer().await;
            assert_eq!((answer.status, answer.code().as_str()), (413, "PAYLOAD_TOO_LARGE"));
            assert_eq!(answer.header("connection"), Some("close"));
            connection.closed().await;
        }
    }
}
