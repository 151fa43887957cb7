use axum::body::Body;
use http::{Request, StatusCode, header};
use sap_comm_graphql::GraphqlOptions;
use serde_json::json;

use crate::harness::{App, post};

#[tokio::test]
async fn a_query_is_answered_in_the_media_type_asked_for() {
    let answer = App::new().query("{ users { id } }").await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(answer.headers[header::CONTENT_TYPE], "application/graphql-response+json; charset=utf-8");
    assert_eq!(answer.body, json!({"data": {"users": [{"id": "u0"}, {"id": "u1"}]}}));
    assert!(answer.headers["x-request-id"].to_str().unwrap().starts_with("req_"));
}

#[tokio::test]
async fn the_operation_is_chosen_by_name() {
    let app = App::new();
    let query = "query A { users { id } } query B { whoami }";
    let answer = app.post(&json!({"query": query, "operationName": "B"})).await;
    assert_eq!(answer.body["data"], json!({"whoami": "nobody without token"}));
    for operation in [json!("C"), json!(null)] {
        let answer = app.post(&json!({"query": query, "operationName": operation})).await;
        assert_eq!((answer.status, answer.code()), (StatusCode::BAD_REQUEST, "BAD_REQUEST"));
    }
}

#[tokio::test]
async fn a_query_may_be_sent_with_get_and_a_mutation_may_not() {
    let app = App::new();
    let get = |query: &str| Request::get(format!("/graphql?{query}")).body(Body::empty()).unwrap();
    let answer = app.send(get("query=%7Busers%7Bid%7D%7D")).await;
    assert_eq!(answer.body["data"]["users"][0]["id"], "u0");
    let variables = "query=query(%24id:String!)%7Buser(id:%24id)%7Bid%7D%7D&variables=%7B%22id%22:%22x%22%7D";
    assert_eq!(app.send(get(variables)).await.body["data"]["user"]["id"], "x");
    for mutation in ["query=mutation%7Btouch%7D", "query=query%20Q%7Bwhoami%7Dmutation%20M%7Btouch%7D&operationName=M"]
    {
        let answer = app.send(get(mutation)).await;
        assert_eq!((answer.status, answer.code()), (StatusCode::METHOD_NOT_ALLOWED, "METHOD_NOT_ALLOWED"));
        assert_eq!(answer.headers[header::ALLOW], "GET, POST");
    }
    assert_eq!(app.query("mutation { touch }").await.body["data"]["touch"], true);
}

#[tokio::test]
async fn other_methods_are_refused() {
    for method in ["PUT", "DELETE", "PATCH"] {
        let request = Request::builder().method(method).uri("/graphql").body(Body::empty()).unwrap();
        assert_eq!(App::new().send(request).await.status, StatusCode::METHOD_NOT_ALLOWED);
    }
}

#[tokio::test]
async fn what_a_foreign_page_can_send_without_asking_is_refused() {
    let app = App::new();
    for content_type in [
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/graphql",
        "application/json; charset=utf-16",
        "text/plain; application/json",
    ] {
        let mut request = post(r#"{"query":"mutation { touch }"}"#);
        request.headers_mut().insert(header::CONTENT_TYPE, content_type.parse().unwrap());
        let answer = app.send(request).await;
        assert_eq!(
            (answer.status, answer.code()),
            (StatusCode::UNSUPPORTED_MEDIA_TYPE, "UNSUPPORTED_MEDIA_TYPE"),
            "{content_type}"
        );
    }
}

#[tokio::test]
async fn batches_are_refused() {
    let answer = App::new().post(&json!([{"query": "{ whoami }"}, {"query": "{ whoami }"}])).await;
    assert_eq!((answer.status, answer.code()), (StatusCode::BAD_REQUEST, "BAD_REQUEST"));
}

#[tokio::test]
async fn an_oversize_body_is_refused() {
    let app = App::with(|builder| builder.options(GraphqlOptions { max_body: 1_000, ..Default::default() }));
    let answer = app.query(&format!("# {}", "x".repeat(1_000))).await;
    assert_eq!((answer.status, answer.code()), (StatusCode::PAYLOAD_TOO_LARGE, "PAYLOAD_TOO_LARGE"));
    assert_eq!(answer.body["errors"][0]["extensions"]["details"]["max"], 1_000);
}

#[tokio::test]
async fn a_client_that_accepts_neither_type_is_told_so() {
    let mut request = post("{}");
    request.headers_mut().insert(header::ACCEPT, "image/png".parse().unwrap());
    let answer = App::new().send(request).await;
    assert_eq!((answer.status, answer.code()), (StatusCode::NOT_ACCEPTABLE, "NOT_ACCEPTABLE"));
}

#[tokio::test]
async fn a_browser_gets_the_playground() {
    let request = Request::get("/graphql").header(header::ACCEPT, "text/html,*/*;q=0.8").body(Body::empty()).unwrap();
    let answer = App::new().send(request).await;
    assert_eq!(answer.status, StatusCode::OK);
    assert!(answer.text.contains("<!doctype html>"));
    let policy = answer.headers[header::CONTENT_SECURITY_POLICY].to_str().unwrap();
    let nonce = policy.split("script-src 'nonce-").nth(1).unwrap().split('\'').next().unwrap();
    assert!(answer.text.contains(&format!("<script nonce=\"{nonce}\">")));
    for elsewhere in ["http://", "https://", "src=", "@import", "url("] {
        assert!(!answer.text.contains(elsewhere), "{elsewhere}");
    }
}

#[tokio::test]
async fn the_queries_of_the_playground_are_within_the_limits() {
    let page = include_str!("../../src/playground/index.html");
    let part =
        |name: &str| page.split(&format!("const {name} = ")).nth(1).unwrap()[1..].split(['\'', '`']).next().unwrap();
    let query = part("SCHEMA").replace("${TYPE}", part("TYPE"));
    let answer = App::new().query(&query).await;
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    let types = answer.body["data"]["__schema"]["types"].as_array().unwrap();
    assert!(types.iter().any(|kind| kind["name"] == "User"));
}
