use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use async_graphql::parser::{
    parse_schema,
    types::{TypeKind, TypeSystemDefinition},
};
use axum::{
    Json, Router,
    body::Body,
    extract::{Path, Query, State},
    routing::{delete, get, put},
};
use http::{HeaderMap, Request, StatusCode, header};
use http_body_util::BodyExt;
use hyper::service::Service;
use hyper_util::service::TowerToHyperService;
use sap_comm::{
    ApiError, Endpoint, Secret, StaticResolver, Timestamp,
    auth::{Audience, Claims, JwtSigner, JwtVerifier, KeySet},
    rest::client::Client,
};
use serde_json::{Value, json};
use tokio::{net::TcpListener, task::JoinHandle};

use super::{router, schema};

/// Types, fields, arguments and their types, as text that can be compared.
fn shape(sdl: &str) -> BTreeMap<String, BTreeMap<String, String>> {
    let document = parse_schema(sdl).unwrap();
    let mut shape = BTreeMap::new();
    for definition in document.definitions {
        let TypeSystemDefinition::Type(definition) = definition else { continue };
        let name = definition.node.name.node.to_string();
        let fields = match definition.node.kind {
            TypeKind::Object(object) => object
                .fields
                .into_iter()
                .map(|field| {
                    let arguments: Vec<_> = field
                        .node
                        .arguments
                        .iter()
                        .map(|argument| format!("{}: {}", argument.node.name.node, argument.node.ty.node))
                        .collect();
                    (field.node.name.node.to_string(), format!("({}): {}", arguments.join(", "), field.node.ty.node))
                })
                .collect(),
            TypeKind::InputObject(input) => input
                .fields
                .into_iter()
                .map(|field| (field.node.name.node.to_string(), field.node.ty.node.to_string()))
                .collect(),
            _ => BTreeMap::new(),
        };
        shape.insert(name, fields);
    }
    shape
}

#[test]
fn the_schema_is_the_specification_s() {
    assert_eq!(shape(&schema().sdl()), shape(include_str!("schema.graphql")));
}

type Calls = Arc<Mutex<Vec<String>>>;

/// A user service that remembers what it was asked.
struct Users {
    calls: Calls,
    router: Router,
    token: String,
    task: JoinHandle<()>,
}

impl Drop for Users {
    fn drop(&mut self) {
        self.task.abort();
    }
}

const SECRET: &str = "a shared secret of at least 32 bytes";

fn user(id: &str) -> Value {
    let time = "2025-05-19T18:30:00.000Z";
    json!({"id": id, "email": format!("{id}@example.com"), "roles": ["user"], "createdAt": time, "updatedAt": time})
}

fn note(calls: &Calls, headers: &HeaderMap, call: String) {
    let authorization = headers.get(header::AUTHORIZATION).map_or("", |value| value.to_str().unwrap());
    assert!(authorization.starts_with("Bearer ey"), "the caller's token is missing: {call}");
    calls.lock().unwrap().push(call);
}

async fn list(
    State(calls): State<Calls>,
    headers: HeaderMap,
    Query(query): Query<BTreeMap<String, u32>>,
) -> Json<Value> {
    note(&calls, &headers, format!("GET users {query:?}"));
    let users: Vec<_> = (1..=query["limit"]).map(|index| user(&format!("usr_{index}"))).collect();
    Json(
        json!({"data": users, "pagination": {"page": query["page"], "limit": query["limit"], "total": 3, "totalPages": 1}}),
    )
}

async fn create(State(calls): State<Calls>, headers: HeaderMap, Json(body): Json<Value>) -> (StatusCode, Json<Value>) {
    note(&calls, &headers, format!("POST {body}"));
    (StatusCode::CREATED, Json(user("usr_new")))
}

async fn find(State(calls): State<Calls>, headers: HeaderMap, Path(id): Path<String>) -> Result<Json<Value>, ApiError> {
    note(&calls, &headers, format!("GET {id}"));
    match id.as_str() {
        "missing" => Err(ApiError::not_found("user", &id)),
        "forbidden" => Err(ApiError::new(sap_comm::ErrorCode::FORBIDDEN, "You may see your own account only")),
        _ => Ok(Json(user(&id))),
    }
}

async fn update(
    State(calls): State<Calls>,
    headers: HeaderMap,
    Path(id): Path<String>,
    Json(body): Json<Value>,
) -> Json<Value> {
    note(&calls, &headers, format!("PUT {id} {body}"));
    Json(user(&id))
}

async fn remove(State(calls): State<Calls>, headers: HeaderMap, Path(id): Path<String>) -> StatusCode {
    note(&calls, &headers, format!("DELETE {id}"));
    StatusCode::NO_CONTENT
}

async fn profiles(
    State(calls): State<Calls>,
    headers: HeaderMap,
    Query(query): Query<BTreeMap<String, String>>,
) -> Json<Value> {
    let mut ids: Vec<_> = query["userIds"].split(',').collect();
    ids.sort_unstable();
    note(&calls, &headers, format!("GET profiles {}", ids.join(",")));
    let profiles: Vec<_> = ids
        .iter()
        .filter(|id| **id != "usr_2")
        .map(|id| json!({"userId": id, "firstName": format!("first of {id}")}))
        .collect();
    Json(json!({ "data": profiles }))
}

impl Users {
    async fn start() -> Self {
        let calls = Calls::default();
        let service = Router::new()
            .route("/api/v1/users", get(list).post(create))
            .route("/api/v1/users/{id}", get(find))
            .route("/api/v1/users/{id}", put(update))
            .route("/api/v1/users/{id}", delete(remove))
            .route("/api/v1/profiles", get(profiles))
            .with_state(Arc::clone(&calls));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint: Endpoint = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
        let task = tokio::spawn(async move { axum::serve(listener, service).await.unwrap() });
        let resolver = StaticResolver::new();
        resolver.set("user-service", [endpoint]);
        let client = Client::builder("user-service").resolver(Arc::new(resolver)).build().unwrap();
        let secret = Secret::new(SECRET.to_owned());
        let verifier =
            JwtVerifier::builder("auth-service", "sap").keys(KeySet::hs256(&secret).unwrap()).build().unwrap();
        let now = u64::try_from(Timestamp::now().as_secs()).unwrap();
        let claims = Claims {
            iss: "auth-service".into(),
            sub: "usr_admin".into(),
            aud: Audience::One("sap".into()),
            exp: now + 600,
            iat: Some(now),
            nbf: None,
            jti: None,
            roles: vec!["admin".into()],
            scope: String::new(),
        };
        let token = JwtSigner::hs256(&secret).unwrap().sign(&claims).unwrap();
        Self { calls, router: router(client, verifier.into()).unwrap(), token, task }
    }

    async fn query(&self, query: &str, variables: Value) -> Value {
        let request = Request::post("/graphql")
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::AUTHORIZATION, format!("Bearer {}", self.token))
            .body(Body::from(json!({"query": query, "variables": variables}).to_string()))
            .unwrap();
        let response = TowerToHyperService::new(self.router.clone()).call(request).await.unwrap();
        serde_json::from_slice(&response.into_body().collect().await.unwrap().to_bytes()).unwrap()
    }

    /// What the service was asked since the last time.
    fn calls(&self) -> Vec<String> {
        std::mem::take(&mut self.calls.lock().unwrap())
    }
}

#[tokio::test]
async fn users_and_their_profiles_are_two_calls() {
    let users = Users::start().await;
    let answer = users.query("{ users(limit: 3) { id profile { firstName lastName } } }", json!({})).await;
    assert_eq!(
        answer,
        json!({"data": {"users": [
            {"id": "usr_1", "profile": {"firstName": "first of usr_1", "lastName": null}},
            {"id": "usr_2", "profile": null},
            {"id": "usr_3", "profile": {"firstName": "first of usr_3", "lastName": null}},
        ]}})
    );
    assert_eq!(users.calls(), [r#"GET users {"limit": 3, "page": 1}"#, "GET profiles usr_1,usr_2,usr_3"]);
}

#[tokio::test]
async fn without_a_wish_it_is_the_first_page_of_ten() {
    let users = Users::start().await;
    users.query("query($page: Int) { users(page: $page) { id } }", json!({})).await;
    assert_eq!(users.calls(), [r#"GET users {"limit": 10, "page": 1}"#]);
}

#[tokio::test]
async fn a_page_out_of_bounds_is_refused() {
    let users = Users::start().await;
    for (arguments, field) in [("page: 0", "page"), ("page: -1", "page"), ("limit: 101", "limit")] {
        let answer = users.query(&format!("{{ users({arguments}) {{ id }} }}"), json!({})).await;
        assert_eq!(answer["data"], Value::Null);
        assert_eq!(answer["errors"][0]["extensions"]["code"], "INVALID_ARGUMENT");
        assert_eq!(answer["errors"][0]["extensions"]["details"]["field"], field);
    }
    assert!(users.calls().is_empty());
}

#[tokio::test]
async fn a_user_who_does_not_exist_is_null() {
    let users = Users::start().await;
    for id in ["missing", "", ".."] {
        assert_eq!(
            users.query("query($id: ID!) { user(id: $id) { id } }", json!({"id": id})).await,
            json!({"data": {"user": null}})
        );
    }
}

#[tokio::test]
async fn the_service_s_refusal_is_the_field_s_error() {
    let users = Users::start().await;
    let answer = users.query("{ a: user(id: \"forbidden\") { id } b: user(id: \"usr_1\") { email } }", json!({})).await;
    assert_eq!(answer["data"], json!({"a": null, "b": {"email": "usr_1@example.com"}}));
    assert_eq!(answer["errors"][0]["path"], json!(["a"]));
    assert_eq!(answer["errors"][0]["extensions"]["code"], "FORBIDDEN");
    assert_eq!(answer["errors"][0]["extensions"]["http"]["status"], 403);
}

#[tokio::test]
async fn a_created_user_shows_the_profile_it_was_given() {
    let users = Users::start().await;
    let input = json!({"email": "a@example.com", "password": "correct horse", "profile": {"firstName": "Ada"}});
    let query =
        "mutation($input: CreateUserInput!) { createUser(input: $input) { id createdAt profile { firstName } } }";
    let answer = users.query(query, json!({"input": input})).await;
    let expected = json!({"id": "usr_new", "createdAt": "2025-05-19T18:30:00.000Z", "profile": {"firstName": "Ada"}});
    assert_eq!(answer["data"]["createUser"], expected);
    let calls = users.calls();
    let body: Value = serde_json::from_str(calls[0].strip_prefix("POST ").unwrap()).unwrap();
    assert_eq!(body, input);
}

#[tokio::test]
async fn an_update_sends_only_what_was_given() {
    let users = Users::start().await;
    let whole = "mutation($input: UpdateUserInput!) { updateUser(id: \"usr_1\", input: $input) { id } }";
    users.query(whole, json!({"input": {"profile": {"lastName": "Lovelace", "birthPlace": null}}})).await;
    let parts = "mutation($email: String, $roles: [String!]) { updateUser(id: \"usr_1\", input: {email: $email, roles: $roles}) { id } }";
    users.query(parts, json!({"roles": ["admin"]})).await;
    let calls = users.calls();
    assert_eq!(
        calls,
        [r#"PUT usr_1 {"profile":{"birthPlace":null,"lastName":"Lovelace"}}"#, r#"PUT usr_1 {"roles":["admin"]}"#,]
    );
}

#[tokio::test]
async fn a_user_is_deleted() {
    let users = Users::start().await;
    assert_eq!(
        users.query("mutation { deleteUser(id: \"usr_1\") }", json!({})).await,
        json!({"data": {"deleteUser": true}})
    );
    assert_eq!(users.calls(), ["DELETE usr_1"]);
}
