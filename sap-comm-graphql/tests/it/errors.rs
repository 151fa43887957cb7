use http::StatusCode;
use sap_comm_graphql::GraphqlOptions;
use serde_json::json;
use std::time::Duration;

use crate::harness::App;

#[tokio::test]
async fn a_failed_field_leaves_the_others() {
    let answer = App::new().query("{ user(id: \"missing\") { id } users { id } }").await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(answer.body["data"], json!({"user": null, "users": [{"id": "u0"}, {"id": "u1"}]}));
    let error = &answer.body["errors"][0];
    assert_eq!((&error["path"], &error["message"]), (&json!(["user"]), &json!("User with ID missing not found")));
    let extensions = &error["extensions"];
    assert_eq!((&extensions["code"], &extensions["http"]["status"]), (&json!("USER_NOT_FOUND"), &json!(404)));
    assert_eq!(extensions["details"], json!({"userId": "missing"}));
    assert_eq!(extensions["requestId"], answer.headers["x-request-id"].to_str().unwrap());
    assert!(extensions["timestamp"].as_str().unwrap().ends_with('Z'));
}

#[tokio::test]
async fn internals_are_masked() {
    let answer = App::new().query("{ user(id: \"broken\") { id } }").await;
    assert_eq!((answer.status, answer.code()), (StatusCode::OK, "INTERNAL_ERROR"));
    assert!(!answer.text.contains("hunter2"));
}

#[tokio::test]
async fn a_panic_is_an_internal_error() {
    let answer = App::new().query("{ user(id: \"panic\") { id } }").await;
    assert_eq!((answer.status, answer.code()), (StatusCode::INTERNAL_SERVER_ERROR, "INTERNAL_ERROR"));
    assert!(!answer.text.contains("hunter2"));
}

#[tokio::test(start_paused = true)]
async fn a_query_that_takes_too_long_is_cut_off() {
    let app =
        App::with(|builder| builder.options(GraphqlOptions { timeout: Duration::from_secs(3), ..Default::default() }));
    let answer = app.query("{ user(id: \"slow\") { id } }").await;
    assert_eq!((answer.status, answer.code()), (StatusCode::GATEWAY_TIMEOUT, "DEADLINE_EXCEEDED"));
}

#[tokio::test]
async fn a_syntax_error_names_its_place() {
    let answer = App::new().query("{ users { id }").await;
    assert_eq!((answer.status, answer.code()), (StatusCode::BAD_REQUEST, "BAD_REQUEST"));
    assert_eq!(answer.body["errors"][0]["locations"][0]["line"], 1);
    assert!(answer.body.get("data").is_none());
}

#[tokio::test]
async fn a_parameter_of_the_wrong_type_is_named() {
    let app = App::new();
    for (body, parameter) in [
        (json!({"query": 1}), "query"),
        (json!({}), "query"),
        (json!({"query": "{ whoami }", "operationName": 1}), "operationName"),
        (json!({"query": "{ whoami }", "variables": []}), "variables"),
        (json!({"query": "{ whoami }", "extensions": "x"}), "extensions"),
    ] {
        let answer = app.post(&body).await;
        assert_eq!((answer.status, answer.code()), (StatusCode::BAD_REQUEST, "INVALID_ARGUMENT"));
        assert_eq!(answer.body["errors"][0]["extensions"]["details"]["parameter"], parameter);
    }
}
