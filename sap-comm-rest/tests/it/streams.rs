use std::{convert::Infallible, time::Duration};

use axum::body::Body;
use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use sap_comm_core::{ApiError, Endpoint, Page, PageQuery};
use sap_comm_rest::{
    client::ClientError,
    operation::{Contract, Operation},
    server::{ContractRouter, Json, PageResponse, Paged, Streamed, Upload},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    sync::mpsc,
    time::timeout,
};

use crate::support::{PATIENCE, client_of, plain_client, serve};

const COUNT: Operation<(Upload,), Json<usize>> = Operation::post("/count").public();
const ECHO: Operation<(Upload,), Streamed> = Operation::post("/echo").public();
const LIST: Operation<(Paged,), PageResponse<u64>> = Operation::get("/list").public();
const STREAMS: Contract = Contract::new("streams", &[COUNT.definition(), ECHO.definition(), LIST.definition()]);

async fn count(Upload(body): Upload) -> Result<Json<usize>, ApiError> {
    let mut chunks = body.into_data_stream();
    let mut count = 0;
    while let Some(chunk) = chunks.next().await {
        count += chunk.map_err(ApiError::internal)?.len();
    }
    Ok(Json(count))
}

async fn echo(Upload(body): Upload) -> Result<Streamed, ApiError> {
    Ok(Streamed::new(body))
}

async fn list(
    axum::extract::OriginalUri(uri): axum::extract::OriginalUri,
    Paged(query): Paged,
) -> Result<PageResponse<u64>, ApiError> {
    let items = (query.offset()..25).take(query.limit as usize).collect();
    Ok(PageResponse::new(Page::new(items, query, 25), &uri))
}

async fn streams() -> crate::support::Running {
    serve(ContractRouter::new(&STREAMS).serve(COUNT, count).serve(ECHO, echo).serve(LIST, list).build(()).unwrap())
        .await
}

#[tokio::test]
async fn a_body_is_sent_and_read_as_it_is_made() {
    let server = streams().await;
    let client = plain_client(server.endpoint());
    let (sender, receiver) = mpsc::channel::<Bytes>(1);
    let body = Body::from_stream(stream::unfold(receiver, async |mut receiver| {
        let chunk = receiver.recv().await?;
        Some((Ok::<_, Infallible>(chunk), receiver))
    }));
    sender.send(Bytes::from_static(b"first")).await.unwrap();
    let response = client.call(&ECHO, (Upload(body),)).await.unwrap();
    let mut echoed = std::pin::pin!(response.stream());
    // The second piece is made when the first one has come back.
    assert_eq!(echoed.next().await.unwrap().unwrap(), "first");
    sender.send(Bytes::from_static(b"second")).await.unwrap();
    assert_eq!(echoed.next().await.unwrap().unwrap(), "second");
    drop(sender);
    assert!(echoed.next().await.is_none());

    let pieces = stream::iter((0..100).map(|_| Ok::<_, Infallible>(Bytes::from_static(b"0123456789"))));
    assert_eq!(client.call(&COUNT, (Upload(Body::from_stream(pieces)),)).await.unwrap(), 1_000);
}

#[tokio::test]
async fn a_peer_that_stops_within_its_answer_ends_the_stream() {
    // Whoever serves it holds the connection open.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = Endpoint::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
    let silent = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut rest = Vec::new();
        while !rest.ends_with(b"\r\n\r\n") {
            stream.read_buf(&mut rest).await.unwrap();
        }
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf").await.unwrap();
        // To the end of the connection, which the client makes.
        let _ = stream.read_to_end(&mut rest).await;
    });
    let limit = Duration::from_millis(50);
    let client = client_of(endpoint.clone()).stream_idle(limit).without_retry().build().unwrap();
    let mut body = std::pin::pin!(client.get("/", []).send().await.unwrap().stream());
    assert_eq!(body.next().await.unwrap().unwrap(), "half");
    let error = timeout(PATIENCE, body.next()).await.unwrap().unwrap().unwrap_err();
    assert!(
        matches!(&error, ClientError::Stalled { endpoint: at, after } if (at, *after) == (&endpoint, limit)),
        "{error}"
    );
    assert_eq!(ApiError::from(error).status(), 504);
    assert!(body.next().await.is_none());
    timeout(PATIENCE, silent).await.expect("the connection ends with the stream").unwrap();
}

#[tokio::test]
async fn pages_are_a_stream() {
    let server = streams().await;
    let call = plain_client(server.endpoint()).call(&LIST, (PageQuery { page: 3, limit: 1 },));
    let pages: Vec<_> = call.pages(10).try_collect().await.unwrap();
    assert_eq!(pages.iter().map(|page| page.data.len()).collect::<Vec<_>>(), [10, 10, 5]);
}
