use axum::{
    Router,
    extract::OriginalUri,
    routing::{get, post},
};
use garde::Validate;
use sap_comm_core::{ApiError, Page};
use sap_comm_rest::server::{Created, Json, PageResponse, Paged, Valid, ValidPath, versioned};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::support::{Answer, Running, ask, serve};

#[derive(Debug, Serialize, Deserialize, Validate)]
#[serde(rename_all = "camelCase")]
struct Profile {
    #[garde(length(min = 1))]
    first_name: String,
}

#[derive(Debug, Serialize, Deserialize, Validate)]
struct CreateUser {
    #[garde(email)]
    email: String,
    #[garde(dive)]
    profile: Profile,
    #[serde(default)]
    #[garde(inner(ascii))]
    roles: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[garde(dive)]
    friends: Vec<Profile>,
}

#[derive(Debug, Deserialize, Validate)]
struct Place {
    #[garde(length(min = 2))]
    city: String,
    #[garde(range(max = 9_999))]
    code: u32,
}

async fn find(ValidPath(place): ValidPath<Place>) -> Json<String> {
    Json(format!("{} {}", place.code, place.city))
}

async fn create(Valid(user): Valid<CreateUser>) -> Created<CreateUser> {
    Created::at("/api/v1/users/usr_1", user)
}

async fn list(OriginalUri(uri): OriginalUri, Paged(query): Paged) -> Result<PageResponse<u64>, ApiError> {
    let items = (query.offset()..25).take(query.limit as usize).collect();
    Ok(PageResponse::new(Page::new(items, query, 25), &uri))
}

async fn server() -> Running {
    let users = Router::new().route("/users", post(create).get(list)).route("/one", get(async || Json(1)));
    let users = users.route("/places/{city}/{code}", get(find));
    serve(versioned("v1", users)).await
}

async fn send(server: &Running, body: &serde_json::Value) -> Answer {
    let body = body.to_string();
    let request = format!(
        "POST /api/v1/users HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    ask(server.addr, &request).await
}

#[tokio::test]
async fn what_is_made_is_answered_with_its_place() {
    let server = server().await;
    let user = json!({"email": "a@example.com", "profile": {"firstName": "Ada"}, "roles": []});
    let answer = send(&server, &user).await;
    assert_eq!((answer.status, answer.json()), (201, user));
    assert_eq!(answer.header("location"), Some("/api/v1/users/usr_1"));
}

#[tokio::test]
async fn every_invalid_field_is_named_as_in_the_json() {
    let server = server().await;
    let input = json!({"email": "a", "profile": {"firstName": ""}, "roles": ["user", "é"],
        "friends": [{"firstName": "Ada"}, {"firstName": ""}]});
    let answer = send(&server, &input).await;
    assert_eq!((answer.status, answer.code().as_str()), (422, "VALIDATION_FAILED"));
    let fields = answer.error()["details"]["fields"].as_object().unwrap().clone();
    let names: Vec<_> = fields.keys().map(String::as_str).collect();
    assert_eq!(names, ["email", "friends[1].firstName", "profile.firstName", "roles[1]"]);
    assert!(fields.values().all(|messages| messages[0].as_str().is_some_and(|message| !message.is_empty())));
}

#[tokio::test]
async fn every_invalid_parameter_of_the_path_is_named() {
    let server = server().await;
    let get =
        async |place: &str| ask(server.addr, &format!("GET /api/v1/places/{place} HTTP/1.1\r\nhost: a\r\n\r\n")).await;
    assert_eq!(get("Ulm/123").await.json(), "123 Ulm");
    let answer = get("U/12345").await;
    assert_eq!((answer.status, answer.code().as_str()), (400, "INVALID_ARGUMENT"));
    let fields: Vec<_> = answer.error()["details"]["fields"].as_object().unwrap().keys().cloned().collect();
    assert_eq!((fields, &answer.error()["details"]["parameter"]), (vec!["city".into(), "code".into()], &json!("city")));
    let answer = get("Ulm/x").await;
    assert_eq!((answer.status, &answer.error()["details"]["parameter"]), (400, &json!("code")));
}

#[tokio::test]
async fn pages_link_to_their_neighbours() {
    let server = server().await;
    let answer = ask(server.addr, "GET /api/v1/users?sort=name&page=2&limit=10 HTTP/1.1\r\nhost: a\r\n\r\n").await;
    let body = answer.json();
    assert_eq!(body["pagination"], json!({"page": 2, "limit": 10, "total": 25, "totalPages": 3}));
    assert_eq!(body["data"].as_array().unwrap().len(), 10);
    let link = |page, rel| format!("</api/v1/users?sort=name&page={page}&limit=10>; rel=\"{rel}\"");
    let expected = [link(1, "first"), link(1, "prev"), link(3, "next"), link(3, "last")].join(", ");
    assert_eq!(answer.header("link"), Some(expected.as_str()));
}

#[tokio::test]
async fn a_page_out_of_bounds_is_refused() {
    let server = server().await;
    for (query, parameter) in [("page=0", "page"), ("limit=101", "limit"), ("limit=0", "limit"), ("page=x", "page")] {
        let answer = ask(server.addr, &format!("GET /api/v1/users?{query} HTTP/1.1\r\nhost: a\r\n\r\n")).await;
        assert_eq!((answer.status, answer.code().as_str()), (400, "INVALID_ARGUMENT"), "{query}");
        assert_eq!(answer.error()["details"]["parameter"], parameter, "{query}");
    }
}
