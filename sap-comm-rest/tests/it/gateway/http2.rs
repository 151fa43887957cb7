use bytes::Bytes;
use http::{Request, Response, StatusCode, Version};
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, client::conn::http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::Value;
use tokio::{io::AsyncReadExt, net::TcpStream, sync::mpsc};
use tower::ServiceExt;

use sap_comm_rest::{
    gateway::Route,
    server::{Server, ServerConfig},
};
use tokio_util::sync::CancellationToken;

use super::support::{Running, echo, raw_upstream, serve, to, upstream, within};
use crate::support::frames::{self, END_HEADERS, POST_API, kind};

async fn send(gateway: &Running, request: Request<Full<Bytes>>) -> Response<Incoming> {
    let stream = TcpStream::connect(gateway.address).await.unwrap();
    let (mut sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    let driver = tokio::spawn(connection);
    let response = within(sender.send_request(request)).await.unwrap();
    drop(driver);
    response
}

#[tokio::test]
async fn a_request_of_http2_is_forwarded_as_http1() {
    let upstream = upstream(echo()).await;
    let gateway = serve(to(&upstream).build().unwrap()).await;
    let request = Request::post("http://gateway.example/api?x=1").body(Full::from("hello")).unwrap();
    let response = send(&gateway, request).await;
    assert_eq!(response.status(), StatusCode::OK);
    let body = within(response.into_body().collect()).await.unwrap().to_bytes();
    let json: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!((json["target"].as_str(), json["body"].as_str()), (Some("/api?x=1"), Some("hello")));
    let host = serde_json::json!(["x-forwarded-host", "gateway.example"]);
    assert!(json["headers"].as_array().unwrap().contains(&host), "{json}");
}

/// RFC 9113, section 8.2.3.
#[tokio::test]
async fn cookies_of_http2_reach_a_service_as_one_field() {
    let upstream = upstream(echo()).await;
    let gateway = to(&upstream).build().unwrap();
    let running = serve(gateway.clone()).await;
    let request = || {
        let request = Request::get("http://gateway.example/api").version(Version::HTTP_2);
        ["a=1", "b=2", "c=3"].into_iter().fold(request, |request, cookie| request.header("cookie", cookie))
    };
    let over_http2 = send(&running, request().body(Full::default()).unwrap()).await;
    let within_another = gateway.oneshot(request().body(axum::body::Body::empty()).unwrap()).await.unwrap();
    for body in [over_http2.into_body().collect().await.unwrap(), within_another.into_body().collect().await.unwrap()] {
        let json: Value = serde_json::from_slice(&body.to_bytes()).unwrap();
        let cookies: Vec<_> = json["headers"].as_array().unwrap().iter().filter(|pair| pair[0] == "cookie").collect();
        assert_eq!(cookies, [&serde_json::json!(["cookie", "a=1; b=2; c=3"])]);
    }
}

#[tokio::test]
async fn an_authority_unlike_the_host_is_refused() {
    let upstream = upstream(echo()).await;
    let gateway = serve(to(&upstream).build().unwrap()).await;
    let request = Request::get("http://gateway.example/api").header("host", "evil.example").body(Full::default());
    assert_eq!(send(&gateway, request.unwrap()).await.status(), StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn the_host_of_http2_is_kept_where_it_is_to_be() {
    let upstream = upstream(echo()).await;
    let route = Route::new("/kept").to("test").public().preserve_host();
    let gateway = serve(to(&upstream).route(route).build().unwrap()).await;
    for (path, host) in [("/kept", "gateway.example".to_owned()), ("/api", upstream.address.to_string())] {
        let request = Request::get(format!("http://gateway.example{path}")).body(Full::default()).unwrap();
        let body = within(send(&gateway, request).await.into_body().collect()).await.unwrap().to_bytes();
        let json: Value = serde_json::from_slice(&body).unwrap();
        assert!(json["headers"].as_array().unwrap().contains(&serde_json::json!(["host", host])), "{json}");
    }
}

#[tokio::test]
async fn half_a_body_whose_rest_is_taken_back_is_no_whole_one_to_a_service() {
    const NO_ERROR: [u8; 4] = [0; 4];
    let (tell, mut told) = mpsc::unbounded_channel();
    let service = raw_upstream(move |mut stream, _| {
        let tell = tell.clone();
        async move {
            let mut asked = Vec::new();
            while stream.read_buf(&mut asked).await.is_ok_and(|read| read > 0) {
                tell.send(Some(asked.clone())).unwrap();
            }
            tell.send(None).unwrap();
        }
    });
    let service = service.await;
    let gateway = to(&service).build().unwrap();
    let server = Server::bind("127.0.0.1:0", ServerConfig::default()).await.unwrap();
    let edge = Running::spawn(server.local_addr(), {
        let gateway = gateway.clone();
        async move { gateway.serve(server, CancellationToken::new()).await.unwrap() }
    });
    for gateway in [edge, serve(gateway).await] {
        let (mut sender, _receiver) = frames::open(gateway.address, &[]).await;
        assert!(sender.frame(kind::HEADERS, END_HEADERS, 1, POST_API).await);
        // More than is waited for before the service is asked.
        for _ in 0..3 {
            assert!(sender.frame(kind::DATA, 0, 1, &[b'a'; 8_000]).await);
        }
        let mut asked = Vec::new();
        while asked.iter().filter(|byte| **byte == b'a').count() < 24_000 {
            asked = within(told.recv()).await.flatten().unwrap();
        }
        assert!(sender.frame(kind::RST_STREAM, 0, 1, &NO_ERROR).await);
        while let Some(more) = within(told.recv()).await.unwrap() {
            asked = more;
        }
        assert!(!asked.ends_with(b"0\r\n\r\n"), "{}", String::from_utf8_lossy(&asked[asked.len() - 20..]));
    }
}
