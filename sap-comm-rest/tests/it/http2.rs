use std::{net::SocketAddr, time::Duration};

use axum::{
    Router,
    body::Body,
    routing::{get, post},
};
use futures_util::future::join_all;
use http::{HeaderMap, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Empty};
use hyper::{
    body::{Bytes, Incoming},
    client::conn::http2::{SendRequest, handshake},
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use sap_comm_rest::server::{KitConfig, ServerConfig, kit};
use serde_json::Value;
use tokio::{net::TcpStream, sync::mpsc, task::JoinHandle, time::timeout};

use crate::support::{
    PATIENCE,
    frames::{self, END_HEADERS, END_STREAM, POST_API, kind},
    serve, serve_with,
};

type Sender = SendRequest<Empty<Bytes>>;

async fn open(addr: SocketAddr) -> (Sender, JoinHandle<hyper::Result<()>>) {
    let stream = TcpStream::connect(addr).await.unwrap();
    let (sender, connection) = handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    (sender, tokio::spawn(connection))
}

async fn ask(sender: &mut Sender, request: http::request::Builder) -> Response<Incoming> {
    sender.send_request(request.body(Empty::new()).unwrap()).await.unwrap()
}

fn router() -> Router {
    let cookies = async |headers: HeaderMap| {
        let cookies = headers.get_all(header::COOKIE).iter().map(|cookie| cookie.to_str().unwrap());
        cookies.collect::<Vec<_>>().join(" | ")
    };
    Router::new().route("/", get(async || "ok")).route("/cookies", get(cookies))
}

fn with_headers(target: &str, headers: impl IntoIterator<Item = (String, String)>) -> http::request::Builder {
    headers.into_iter().fold(Request::get(target), |request, (name, value)| request.header(name, value))
}

#[tokio::test]
async fn one_connection_serves_many_requests_at_once() {
    let server = serve(router()).await;
    let (sender, _connection) = open(server.addr).await;
    let asked = (0..300).map(|_| {
        let mut sender = sender.clone();
        async move { ask(&mut sender, Request::get("http://a/")).await.status() }
    });
    assert!(join_all(asked).await.iter().all(|status| *status == StatusCode::OK));
}

#[tokio::test]
async fn refusals_are_the_envelope_too() {
    let server = serve(router()).await;
    let (mut sender, _connection) = open(server.addr).await;
    for (request, status) in [
        (Request::get("http://a/nothing"), 404),
        (Request::post("http://a/"), 405),
        (Request::get("http://a/").header("host", "b"), 400),
        (Request::get("http://a:b/"), 400),
        (Request::get(format!("http://a/{}", "x".repeat(9_000))), 414),
        (with_headers("http://a/", (0..101).map(|number| (format!("x-{number}"), "a".to_owned()))), 431),
        (with_headers("http://a/", (0..5).map(|number| (format!("x-{number}"), "a".repeat(8_000)))), 431),
    ] {
        let response = ask(&mut sender, request).await;
        assert_eq!(response.status().as_u16(), status);
        let id = response.headers()["x-request-id"].to_str().unwrap().to_owned();
        let body: Value = serde_json::from_slice(&response.into_body().collect().await.unwrap().to_bytes()).unwrap();
        assert_eq!(body["error"]["requestId"], id);
    }
}

#[tokio::test]
async fn cookies_in_fields_of_their_own_are_one_to_a_handler() {
    let server = serve(router()).await;
    let (mut sender, _connection) = open(server.addr).await;
    // As a browser sends them. They are one header, of which a hundred are taken.
    for count in [1, 2, 150] {
        let cookies = (0..count).map(|number| ("cookie".to_owned(), format!("c{number}=1")));
        let response = ask(&mut sender, with_headers("http://a/cookies", cookies)).await;
        let body = response.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(body, (0..count).map(|number| format!("c{number}=1")).collect::<Vec<_>>().join("; "));
    }
}

#[tokio::test]
async fn an_idle_connection_is_said_goodbye_to() {
    let mut config = ServerConfig::default();
    config.keep_alive_idle = Duration::from_millis(150);
    let server = serve_with(kit(router(), KitConfig::default()), "127.0.0.1:0", config).await;
    let (mut sender, connection) = open(server.addr).await;
    assert_eq!(ask(&mut sender, Request::get("http://a/")).await.status(), StatusCode::OK);
    timeout(PATIENCE, connection).await.unwrap().unwrap().unwrap();
}

#[tokio::test]
async fn a_connection_that_has_asked_nothing_yet_is_said_goodbye_to() {
    let mut config = ServerConfig::default();
    // Over sooner, and of no account once the preface is there.
    config.header_timeout = Duration::from_millis(50);
    config.keep_alive_idle = Duration::from_millis(150);
    config.linger = Duration::from_millis(150);
    let server = serve_with(router(), "127.0.0.1:0", config).await;
    let (_sender, mut receiver) = frames::open(server.addr, &[]).await;
    assert_eq!(receiver.farewell().await, Some(0), "by GOAWAY, which says that nothing is wrong");
}

#[tokio::test]
async fn a_connection_ends_with_the_server() {
    let server = serve(router()).await;
    let (mut sender, connection) = open(server.addr).await;
    assert_eq!(ask(&mut sender, Request::get("http://a/")).await.status(), StatusCode::OK);
    server.shutdown.cancel();
    timeout(PATIENCE, connection).await.unwrap().unwrap().unwrap();
    server.ended().await.unwrap();
}

#[tokio::test]
async fn half_a_body_whose_rest_is_taken_back_is_no_whole_one_to_a_handler() {
    const NO_ERROR: [u8; 4] = [0; 4];
    let (tell, mut told) = mpsc::unbounded_channel();
    let read = async move |mut body: Body| {
        let mut goes_on = true;
        while goes_on {
            let frame = body.frame().await;
            goes_on = matches!(frame, Some(Ok(_)));
            let said = frame.map_or(Ok("end"), |frame| frame.map(|_| "more").map_err(|error| error.to_string()));
            tell.send(said).unwrap();
        }
    };
    let router = Router::new().route("/api", post(read));
    for server in [serve(router.clone()).await, serve_with(router, "127.0.0.1:0", ServerConfig::default()).await] {
        let mut hear = async || timeout(PATIENCE, told.recv()).await.unwrap().unwrap();
        for whole in [true, false] {
            let (mut sender, _receiver) = frames::open(server.addr, &[]).await;
            assert!(sender.frame(kind::HEADERS, END_HEADERS, 1, POST_API).await);
            assert!(sender.frame(kind::DATA, 0, 1, b"half").await);
            assert_eq!(hear().await, Ok("more"));
            if whole {
                assert!(sender.frame(kind::DATA, END_STREAM, 1, b"").await);
                let mut last = hear().await;
                if last == Ok("more") {
                    last = hear().await;
                }
                assert_eq!(last, Ok("end"));
            } else {
                assert!(sender.frame(kind::RST_STREAM, 0, 1, &NO_ERROR).await);
                let reason = hear().await.unwrap_err();
                assert!(reason.contains("the client took back the rest"), "{reason}");
            }
        }
    }
}

#[tokio::test]
async fn an_answer_to_head_has_no_content() {
    let mut config = ServerConfig::default();
    config.max_uri = 64;
    let server = serve_with(kit(router(), KitConfig::default()), "127.0.0.1:0", config).await;
    let (mut sender, _connection) = open(server.addr).await;
    let long = format!("/{}", "a".repeat(64));
    for (path, status) in [("/", 200), ("/nothing", 404), (&*long, 414)] {
        let request = Request::head(format!("http://a{path}"));
        let mut answer = ask(&mut sender, request).await;
        let length = answer.headers().get(header::CONTENT_LENGTH).map(|length| length.to_str().unwrap().to_owned());
        assert_eq!(answer.status(), status);
        assert!(length.is_some_and(|length| length != "0"), "{path}: {:?}", answer.headers());
        assert!(answer.body_mut().frame().await.is_none(), "{path}");
    }
    assert!(!sender.is_closed(), "a client that is sent content ends the connection");
}

/// RFC 9113, section 8.2.1.
#[tokio::test]
async fn a_value_within_white_space_is_refused() {
    let server = serve(kit(router(), KitConfig::default())).await;
    let (mut sender, _connection) = open(server.addr).await;
    for value in [" a", "a ", "\ta", "a\t", " "] {
        // The client library would trim none of it.
        let refused = ask(&mut sender, Request::get("http://a/").header("x-test", value)).await;
        assert_eq!(refused.status(), StatusCode::BAD_REQUEST, "{value:?}");
    }
    assert_eq!(ask(&mut sender, Request::get("http://a/").header("x-test", "a b")).await.status(), StatusCode::OK);
    assert_eq!(ask(&mut sender, Request::get("http://a/").header("x-test", "")).await.status(), StatusCode::OK);
}
