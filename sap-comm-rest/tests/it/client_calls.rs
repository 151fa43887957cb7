use axum::{
    Router,
    extract::{OriginalUri, Request},
    routing::{any, get},
};
use futures_util::{StreamExt, TryStreamExt, stream};
use sap_comm_core::{
    ApiError, Context, ErrorCode, Principal, Secret, Timestamp,
    auth::{ApiKey, ApiKeySet},
};
use sap_comm_rest::{
    client::{Client, ClientError},
    server::auth::{Authenticator, authenticate},
};
use serde_json::{Value, json};

use crate::support::{client_of, plain_client, serve};

fn headers_of(request: &Request) -> Value {
    let pairs = request.headers().iter().map(|(name, value)| (name.to_string(), value.to_str().unwrap().into()));
    Value::Object(pairs.collect())
}

fn echo() -> Router {
    Router::new().fallback(any(async |OriginalUri(uri): OriginalUri, request: Request| {
        let (method, headers) = (request.method().to_string(), headers_of(&request));
        let body = axum::body::to_bytes(request.into_body(), 1024).await.unwrap();
        axum::Json(json!({"method": method, "uri": uri.to_string(), "headers": headers,
            "body": String::from_utf8(body.to_vec()).unwrap()}))
    }))
}

#[tokio::test]
async fn a_request_arrives_as_it_was_built() {
    let server = serve(echo()).await;
    let client = plain_client(server.endpoint());
    let seen: Value = client
        .put("/api/v1/users/{}/posts/{}", ["a/b", "1 2"])
        .query(&[("page", "1")])
        .query(&json!({"q": "a&b"}))
        .header("x-extra", "yes")
        .bearer(&Secret::new("token".into()))
        .json(&json!({"email": "a@example.com"}))
        .fetch()
        .await
        .unwrap();
    assert_eq!(seen["method"], "PUT");
    assert_eq!(seen["uri"], "/api/v1/users/a%2Fb/posts/1%202?page=1&q=a%26b");
    assert_eq!(seen["body"], r#"{"email":"a@example.com"}"#);
    let headers = &seen["headers"];
    assert_eq!(headers["content-type"], "application/json");
    assert_eq!(headers["accept"], "application/json");
    assert_eq!((&headers["x-extra"], &headers["authorization"]), (&"yes".into(), &"Bearer token".into()));
}

#[tokio::test]
async fn the_context_goes_along_and_only_with_a_key_what_peers_alone_may_say() {
    let server = serve(echo()).await;
    let context = Context::root().with_principal(Principal::user("usr_1", ["admin"])).with_attempt(2);
    let outsider = plain_client(server.endpoint());
    let seen: Value = context.clone().scope(outsider.get("/", []).fetch()).await.unwrap();
    let headers = &seen["headers"];
    assert_eq!(headers["x-request-id"], context.request_id());
    assert_eq!(headers["x-correlation-id"], context.correlation_id());
    let parent = headers["traceparent"].as_str().unwrap();
    assert!(parent.contains(&context.trace().trace_id()) && !parent.contains(&context.trace().span_id()));
    for name in ["x-principal", "x-attempt", "x-timeout-ms", "x-api-key"] {
        assert!(headers[name].is_null(), "{name}");
    }
    let seen: Value = context.for_nobody().scope(outsider.get("/", []).fetch()).await.unwrap();
    assert_eq!(seen["headers"]["x-principal"], "-", "a certificate may make a peer of it");
    let peer = client_of(server.endpoint()).api_key(Secret::new("sap_a_b".into())).build().unwrap();
    let seen: Value = context.scope(peer.get("/", []).fetch()).await.unwrap();
    let headers = &seen["headers"];
    assert_eq!((&headers["x-api-key"], &headers["x-attempt"]), (&"sap_a_b".into(), &"2".into()));
    assert!(headers["x-principal"].is_string());
    let millis: u64 = headers["x-timeout-ms"].as_str().unwrap().parse().unwrap();
    assert!(millis <= 3_000, "an attempt has three seconds: {millis}");
}

#[tokio::test]
async fn one_deadline_and_one_principal_hold_across_two_services() {
    let key = ApiKey::generate().unwrap();
    let keys = ApiKeySet::new([key.record("a-service", ["delegate"])]);
    let authenticator = Authenticator::builder().api_keys(keys).build().unwrap();
    let tell = async || {
        let context = Context::current();
        axum::Json(json!({
            "principal": context.principal().map(|principal| principal.id.clone()),
            "remaining": context.remaining().map(|remaining| remaining.as_millis() as u64),
            "trace": context.trace().trace_id(),
        }))
    };
    let server = serve(Router::new().route("/", get(tell)).layer(authenticate(authenticator))).await;
    let client = client_of(server.endpoint()).api_key(key.expose()).build().unwrap();
    let context = Context::root()
        .with_principal(Principal::user("usr_1", ["admin"]))
        .with_timeout(std::time::Duration::from_millis(900));
    let told: Value = context.clone().scope(client.get("/", []).fetch()).await.unwrap();
    assert_eq!(told["principal"], "usr_1");
    assert_eq!(told["trace"], context.trace().trace_id());
    assert!(told["remaining"].as_u64().is_some_and(|left| left <= 900), "{told}");
}

#[tokio::test]
async fn who_is_not_known_does_not_become_the_service_that_asks_on() {
    let tell = async || {
        axum::Json(Context::current().principal().map_or("nobody".to_owned(), |principal| principal.id.clone()))
    };
    let expired = Principal { expires_at: Some(Timestamp::from_millis(1)), ..Principal::user("usr_1", ["admin"]) };
    let said =
        |principal: Principal| Context::root().with_principal(principal).principal_header().unwrap().into_owned();
    let (expired, known) = (said(expired), said(Principal::user("usr_1", ["admin"])));
    for (scope, of_the_known) in [("delegate", "usr_1"), ("users:read", "a-service")] {
        let (gateway, service) = (ApiKey::generate().unwrap(), ApiKey::generate().unwrap());
        let optional =
            |key: ApiKeySet| authenticate(Authenticator::builder().api_keys(key).build().unwrap()).optional();
        let behind = optional(ApiKeySet::new([service.record("a-service", [scope])]));
        let behind = serve(Router::new().route("/", get(tell)).layer(behind)).await;
        let own = client_of(behind.endpoint()).api_key(service.expose()).build().unwrap();
        let ask = move |own: Client, context: Context| async move {
            context.scope(async { axum::Json(own.get("/", []).fetch::<String>().await.unwrap()) }).await
        };
        let asks_itself = own.clone();
        let router = Router::new()
            .route("/", get(move || ask(own.clone(), Context::current())))
            .route("/itself", get(move || ask(asks_itself.clone(), Context::current().with_principal(None))))
            .layer(optional(ApiKeySet::new([gateway.record("api-gateway", ["delegate"])])));
        let server = serve(router).await;
        let outer = client_of(server.endpoint()).api_key(gateway.expose()).build().unwrap();
        for (named, asks) in [("-", "nobody"), ("?", "nobody"), (&*expired, "nobody"), (&*known, of_the_known)] {
            let answer = |path| outer.get(path, []).header("x-principal", named).fetch::<String>();
            assert_eq!(answer("/").await.unwrap(), asks, "{scope} {named}");
            assert_eq!(answer("/itself").await.unwrap(), "a-service", "{scope} {named}");
        }
    }
}

#[tokio::test]
async fn a_services_error_is_decoded() {
    let refuse = async || {
        let error = ApiError::new(ErrorCode::CONFLICT.of("content"), "Published already").detail("contentId", "c1");
        Err::<(), _>(error.retry_after(std::time::Duration::from_secs(7)))
    };
    let server = serve(Router::new().route("/", get(refuse))).await;
    let client = plain_client(server.endpoint());
    let context = Context::root();
    let error = context.clone().scope(client.get("/", []).fetch::<Value>()).await.unwrap_err();
    let ClientError::Api(api) = &error else { panic!("{error:?}") };
    assert_eq!((api.code().as_str(), api.status().as_u16()), ("CONTENT_CONFLICT", 409));
    assert_eq!((api.message(), &api.details()["contentId"]), ("Published already", &"c1".into()));
    assert_eq!(api.retry_after_hint(), Some(std::time::Duration::from_secs(7)));
    assert_eq!(api.request_id(), Some(context.request_id()));
    assert_eq!(ApiError::from(error).code().as_str(), "CONTENT_CONFLICT");
}

#[tokio::test]
async fn an_empty_answer_is_read_as_nothing() {
    let server = serve(Router::new().route("/", get(async || http::StatusCode::NO_CONTENT))).await;
    let client = plain_client(server.endpoint());
    client.get("/", []).fetch::<()>().await.unwrap();
    assert_eq!(client.get("/", []).fetch::<Option<u8>>().await.unwrap(), None);
    assert!(matches!(client.get("/", []).fetch::<u8>().await, Err(ClientError::Decode { .. })));
}

#[tokio::test]
async fn a_body_streams_in_both_directions() {
    let double = async |request: Request| {
        let chunks = request.into_body().into_data_stream();
        axum::body::Body::from_stream(chunks.map_ok(|chunk| [&chunk[..], &chunk[..]].concat()))
    };
    let server = serve(Router::new().route("/", axum::routing::post(double))).await;
    let client = plain_client(server.endpoint());
    let chunks = stream::iter((0..10).map(|_| Ok::<_, std::io::Error>(vec![b'x'; 10_000])));
    let body = axum::body::Body::from_stream(chunks);
    let response = client.post("/", []).stream("application/octet-stream", body).send().await.unwrap();
    let lengths: Vec<_> = response.stream().map(|chunk| chunk.unwrap().len()).collect().await;
    assert_eq!(lengths.iter().sum::<usize>(), 200_000);
    assert!(lengths.len() > 1);
}

#[tokio::test]
async fn a_request_that_cannot_be_made_says_why() {
    let client = plain_client(sap_comm_core::Endpoint::parse("http://127.0.0.1:9").unwrap());
    for (request, reason) in [
        (client.get("/users/{}", [".."]), "cannot be a segment"),
        (client.get("/users/{}", []), "more {} than parameters"),
        (client.get("/", []).header("a b", "c"), "no name of a header"),
        (client.get("/", []).header("a", "b\nc"), "cannot have this value"),
        (client.get("/", []).query(&json!({"a": {"b": 1}})), "the query cannot be written"),
    ] {
        let error = request.send().await.unwrap_err();
        assert!(matches!(error, ClientError::Request { .. }), "{error:?}");
        assert!(error.to_string().contains(reason), "{error}");
    }
}
