//! The specification's example of a route.

use axum::{Router, routing::get};
use sap_comm_core::ApiError;
use sap_comm_rest::server::{
    Json, Path,
    auth::{authenticate, require_role},
    versioned,
};
use serde_json::{Value, json};

use crate::support::{Issuer, Running, ask, serve};

async fn get_user(Path(id): Path<String>) -> Result<Json<Value>, ApiError> {
    match id.as_str() {
        "1" => Ok(Json(json!({"id": "1", "email": "user@example.com"}))),
        "broken" => Err(ApiError::internal("the database is gone")),
        _ => Err(ApiError::not_found("user", &id)),
    }
}

async fn serve_users(issuer: &Issuer) -> Running {
    let admins_only = (authenticate(issuer.verifier()), require_role("admin"));
    serve(versioned("v1", Router::new().route("/users/{id}", get(get_user).layer(admins_only)))).await
}

async fn get_as(server: &Running, id: &str, token: Option<String>) -> crate::support::Answer {
    let credential = token.map(|token| format!("authorization: Bearer {token}\r\n")).unwrap_or_default();
    ask(server.addr, &format!("GET /api/v1/users/{id} HTTP/1.1\r\nhost: a\r\n{credential}\r\n")).await
}

#[tokio::test]
async fn an_admin_gets_a_user() {
    let issuer = Issuer::new();
    let server = serve_users(&issuer).await;
    let answer = get_as(&server, "1", Some(issuer.token("usr_admin", &["admin"]))).await;
    assert_eq!((answer.status, answer.json()), (200, json!({"id": "1", "email": "user@example.com"})));
}

#[tokio::test]
async fn a_user_that_is_not_there_is_named() {
    let issuer = Issuer::new();
    let server = serve_users(&issuer).await;
    let answer = get_as(&server, "123", Some(issuer.token("usr_admin", &["admin"]))).await;
    let error = answer.error();
    assert_eq!(answer.status, 404);
    assert_eq!((&error["code"], &error["message"]), (&"USER_NOT_FOUND".into(), &"User with ID 123 not found".into()));
    assert_eq!(error["details"], json!({"userId": "123"}));
}

#[tokio::test]
async fn a_failure_tells_nothing() {
    let issuer = Issuer::new();
    let server = serve_users(&issuer).await;
    let answer = get_as(&server, "broken", Some(issuer.token("usr_admin", &["admin"]))).await;
    assert_eq!((answer.status, answer.code().as_str()), (500, "INTERNAL_ERROR"));
    assert!(!answer.body.contains("database"));
}

#[tokio::test]
async fn others_are_refused() {
    let issuer = Issuer::new();
    let server = serve_users(&issuer).await;
    let answer = get_as(&server, "1", None).await;
    assert_eq!((answer.status, answer.code().as_str()), (401, "UNAUTHENTICATED"));
    assert_eq!(answer.header("www-authenticate"), Some("Bearer"));
    let answer = get_as(&server, "1", Some(issuer.token("usr_1", &["user"]))).await;
    assert_eq!((answer.status, answer.code().as_str()), (403, "FORBIDDEN"));
    let answer = get_as(&server, "1", Some(Issuer::new().token("usr_1", &["admin"]))).await;
    assert_eq!((answer.status, answer.code().as_str()), (401, "INVALID_TOKEN"));
    assert_eq!(answer.header("www-authenticate"), Some("Bearer error=\"invalid_token\""));
}
