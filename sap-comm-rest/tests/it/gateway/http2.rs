use bytes::Bytes;
use http::{Request, Response, StatusCode, Version};
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, client::conn::http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::Value;
use tokio::net::TcpStream;
use tower::ServiceExt;

use sap_comm_rest::gateway::Route;

use super::support::{Running, echo, serve, to, upstream, within};

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
