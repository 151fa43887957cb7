use axum::{Router, body::Bytes, routing::post};

use crate::support::{ask, serve};

#[tokio::test]
async fn a_compressed_body_is_refused_where_nobody_could_read_it() {
    let server = serve(Router::new().route("/", post(async |body: Bytes| body.len().to_string()))).await;
    let send = async |encoding: &str| {
        let head = format!("POST / HTTP/1.1\r\nhost: a\r\ncontent-encoding: {encoding}\r\ncontent-length: 2\r\n\r\nab");
        ask(server.addr, &head).await
    };
    for encoding in ["gzip", "br", "x", "identity, gzip"] {
        let answer = send(encoding).await;
        assert_eq!((answer.status, answer.code().as_str()), (415, "UNSUPPORTED_MEDIA_TYPE"), "{encoding}");
        assert_eq!(answer.header("accept-encoding"), Some("identity"));
    }
    assert_eq!(send("Identity").await.body, "2");
}
