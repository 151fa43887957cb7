use std::sync::Arc;

use axum::extract::{OriginalUri, State};
use garde::Validate;
use sap_comm_core::{ApiError, Page, PageQuery, StaticResolver};
use sap_comm_rest::{
    client::{CallError, ClientError},
    error_codes,
    gateway::Gateway,
    operation::{Contract, ErrorCodes, Operation, ResourceId},
    server::{
        ContractRouter, Created, Json, NoContent, PageResponse, Paged, Path, Server, ServerConfig, Valid, ValidQuery,
        auth::CurrentUser,
    },
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio_util::sync::CancellationToken;
use utoipa::{IntoParams, ToSchema};

use crate::support::{Issuer, Running, ask, plain_client, serve};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
struct User {
    id: String,
    email: String,
}

#[derive(Debug, Serialize, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewUser {
    #[garde(length(chars, min = 3, max = 20))]
    #[schema(min_length = 3, max_length = 20)]
    email: String,
}

#[derive(Debug, Serialize, Deserialize, Validate, IntoParams)]
#[into_params(parameter_in = Query)]
struct Filter {
    #[garde(length(chars, max = 3))]
    #[param(max_length = 3)]
    name: String,
}

error_codes! {
    /// Why users are refused.
    enum UserError {
        /// There is no such user.
        NotFound = "USER_NOT_FOUND",
        /// Somebody has the address.
        Taken = "EMAIL_ALREADY_EXISTS",
    }
}

const GET_USER: Operation<(Path<ResourceId>,), Json<User>, UserError> =
    Operation::get("/api/v1/users/{id}").id("getUser").summary("One user").errors(&[UserError::NotFound]);
const LIST_USERS: Operation<(Paged,), PageResponse<User>> = Operation::get("/api/v1/users").id("listUsers");
const CREATE_USER: Operation<(Valid<NewUser>,), Created<User>, UserError> =
    Operation::post("/api/v1/users").id("createUser").roles(&["admin"]).errors(&[UserError::Taken]);
const RENAME_USER: Operation<(Path<ResourceId>, Valid<NewUser>), Json<User>, UserError> =
    Operation::put("/api/v1/users/{id}").id("renameUser").scopes(&["users:write"]).errors(&[UserError::NotFound]);
const DELETE_USER: Operation<(Path<(ResourceId, u32)>,), NoContent> =
    Operation::delete("/api/v1/users/{id}/parts/{number}").id("deletePart").internal();
const FIND_USERS: Operation<(ValidQuery<Filter>,), Json<Vec<User>>> =
    Operation::get("/api/v1/search").id("findUsers").public();

const USERS: Contract = Contract::new(
    "user-service",
    &[
        GET_USER.definition(),
        LIST_USERS.definition(),
        CREATE_USER.definition(),
        RENAME_USER.definition(),
        DELETE_USER.definition(),
        FIND_USERS.definition(),
    ],
);

fn user(id: &str) -> User {
    User { id: id.to_owned(), email: format!("{id}@example.com") }
}

async fn get(
    State(prefix): State<&'static str>,
    _: CurrentUser,
    Path(id): Path<ResourceId>,
) -> Result<Json<User>, ApiError> {
    match id.as_str() {
        "nobody" => Err(UserError::NotFound.error("There is no such user")),
        "broken" => Err(ApiError::internal("the database is gone")),
        id => Ok(Json(user(&format!("{prefix}{id}")))),
    }
}

async fn list(OriginalUri(uri): OriginalUri, Paged(query): Paged) -> Result<PageResponse<User>, ApiError> {
    Ok(PageResponse::new(Page::new(vec![user("usr_1")], query, 1), &uri))
}

async fn create(Valid(input): Valid<NewUser>) -> Result<Created<User>, ApiError> {
    Ok(Created::at("/api/v1/users/usr_1", User { id: "usr_1".into(), email: input.email }))
}

async fn rename(Path(id): Path<ResourceId>, Valid(input): Valid<NewUser>) -> Result<Json<User>, ApiError> {
    Ok(Json(User { id: id.into(), email: input.email }))
}

async fn delete(Path((_, number)): Path<(ResourceId, u32)>) -> Result<NoContent, ApiError> {
    if number == 7 { Ok(NoContent) } else { Err(ApiError::internal("another number arrived")) }
}

async fn find(ValidQuery(filter): ValidQuery<Filter>) -> Result<Json<Vec<User>>, ApiError> {
    Ok(Json(vec![user(&filter.name)]))
}

fn router(issuer: &Issuer) -> ContractRouter<&'static str> {
    ContractRouter::new(&USERS)
        .authenticate(issuer.verifier())
        .serve(GET_USER, get)
        .serve(LIST_USERS, list)
        .serve(CREATE_USER, create)
        .serve(RENAME_USER, rename)
        .serve(DELETE_USER, delete)
}

async fn service(issuer: &Issuer) -> Running {
    serve(router(issuer).serve(FIND_USERS, find).build("").unwrap()).await
}

#[tokio::test]
async fn a_client_calls_by_the_definition_and_gets_its_types() {
    let issuer = Issuer::new();
    let server = service(&issuer).await;
    let client = plain_client(server.endpoint());
    let admin = issuer.token("usr_admin", &["admin"]).into();
    assert_eq!(client.call(&GET_USER, ("usr_1",)).bearer(&admin).await.unwrap(), user("usr_1"));
    let page = client.call(&LIST_USERS, (PageQuery { page: 1, limit: 5 },)).bearer(&admin).await.unwrap();
    assert_eq!((page.data, page.pagination.limit), (vec![user("usr_1")], 5));
    let input = NewUser { email: "a@example.com".into() };
    let made = client.call(&CREATE_USER, (&input,)).bearer(&admin).answer().await.unwrap();
    assert_eq!((made.headers()["location"].to_str().unwrap(), &*made.email), ("/api/v1/users/usr_1", "a@example.com"));
    let part = Path(("usr_1".parse().unwrap(), 7));
    client.call(&DELETE_USER, (part,)).bearer(&admin).await.unwrap();
    let found = client.call(&FIND_USERS, (&Filter { name: "é&=".into() },)).await.unwrap();
    assert_eq!(found, [user("é&=")]);
}

#[tokio::test]
async fn a_declared_error_is_told_apart_and_any_other_is_kept() {
    let issuer = Issuer::new();
    let server = service(&issuer).await;
    let client = plain_client(server.endpoint());
    let token = issuer.token("usr_1", &[]).into();
    let error = client.call(&GET_USER, ("nobody",)).bearer(&token).await.unwrap_err();
    assert_eq!(error.code(), Some(UserError::NotFound));
    assert_eq!(ApiError::from(error).code().as_str(), "USER_NOT_FOUND");
    let error = client.call(&GET_USER, ("broken",)).bearer(&token).await.unwrap_err();
    assert!(matches!(&error, CallError::Other(ClientError::Api(error)) if error.status() == 500), "{error}");
    let error = client.call(&GET_USER, ("a/../b",)).bearer(&token).await.unwrap_err();
    assert!(matches!(&error, CallError::Other(ClientError::Request { .. })), "{error}");
}

#[tokio::test]
async fn who_may_not_call_is_refused_before_the_handler() {
    let issuer = Issuer::new();
    let server = service(&issuer).await;
    let client = plain_client(server.endpoint());
    let input = NewUser { email: "a@example.com".into() };
    let status = async |token: Option<String>| {
        let call = client.call(&CREATE_USER, (&input,));
        let call = match token {
            Some(token) => call.bearer(&token.into()),
            None => call,
        };
        ApiError::from(call.await.unwrap_err()).status().as_u16()
    };
    assert_eq!(status(None).await, 401);
    assert_eq!(status(Some(issuer.token("usr_1", &["user"]))).await, 403);
    let admin = issuer.token("usr_admin", &["admin"]).into();
    let renamed = client.call(&RENAME_USER, ("usr_1", &input)).bearer(&admin).await.unwrap_err();
    assert_eq!(ApiError::from(renamed).message(), "This needs the scope users:write");
    let answer = ask(server.addr, "DELETE /api/v1/users/usr_1 HTTP/1.1\r\nhost: a\r\n\r\n").await;
    assert_eq!((answer.status, answer.code().as_str()), (405, "METHOD_NOT_ALLOWED"));
}

#[tokio::test]
async fn invalid_parameters_are_named() {
    let issuer = Issuer::new();
    let server = service(&issuer).await;
    let answer = ask(server.addr, "GET /api/v1/search?name=abcd HTTP/1.1\r\nhost: a\r\n\r\n").await;
    assert_eq!((answer.status, answer.code().as_str()), (400, "INVALID_ARGUMENT"));
    assert_eq!(answer.error()["details"]["parameter"], "name");
    let token = issuer.token("usr_1", &[]);
    let request = format!("GET /api/v1/users/a%2Eb HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {token}\r\n\r\n");
    let answer = ask(server.addr, &request).await;
    assert_eq!((answer.status, answer.code().as_str()), (400, "INVALID_ARGUMENT"));
}

#[tokio::test]
async fn a_gateway_shows_what_is_not_internal() {
    let issuer = Issuer::new();
    let service = service(&issuer).await;
    let resolver = StaticResolver::new();
    resolver.set("user-service", [service.endpoint()]);
    let gateway = Gateway::builder()
        .resolver(Arc::new(resolver))
        .authenticator(issuer.verifier())
        .routes(USERS.routes())
        .build()
        .unwrap();
    let server = Server::bind("127.0.0.1:0", ServerConfig::default()).await.unwrap();
    let (address, shutdown) = (server.local_addr(), CancellationToken::new());
    let task = tokio::spawn(server.serve(gateway, shutdown.clone()));
    let client = plain_client(sap_comm_core::Endpoint::parse(&format!("http://{address}")).unwrap());
    let admin = issuer.token("usr_admin", &["admin"]).into();
    assert_eq!(client.call(&GET_USER, ("usr_1",)).bearer(&admin).await.unwrap(), user("usr_1"));
    let part = Path(("usr_1".parse().unwrap(), 7));
    let hidden = client.call(&DELETE_USER, (part,)).bearer(&admin).await.unwrap_err();
    assert_eq!(ApiError::from(hidden).status(), 404);
    shutdown.cancel();
    task.await.unwrap().unwrap();
}

#[test]
fn the_document_tells_all_of_it() {
    let document = USERS.openapi();
    let operation = |path: &str, method: &str| document["paths"][path][method].clone();
    let get = operation("/api/v1/users/{id}", "get");
    assert_eq!(get["operationId"], "getUser");
    assert_eq!(get["parameters"][0]["schema"]["pattern"], ResourceId::PATTERN);
    assert_eq!(get["responses"]["200"]["content"]["application/json"]["schema"]["$ref"], "#/components/schemas/User");
    assert!(
        get["responses"]["404"]["description"].as_str().unwrap().contains("`USER_NOT_FOUND`: There is no such user.")
    );
    for status in ["400", "401", "429", "500", "502", "503", "504"] {
        let response = &get["responses"][status];
        let schema = &response["content"]["application/json"]["schema"]["$ref"];
        assert_eq!(schema, "#/components/schemas/ErrorEnvelope", "{status}");
    }
    let create = operation("/api/v1/users", "post");
    assert_eq!(create["security"], serde_json::json!([{"bearer": ["admin"]}, {"apiKey": ["admin"]}]));
    for status in ["201", "403", "408", "409", "413", "415", "422"] {
        assert!(create["responses"][status].is_object(), "{status}");
    }
    assert!(create["responses"]["201"]["headers"]["location"].is_object());
    assert_eq!(operation("/api/v1/search", "get")["security"], serde_json::json!([]));
    let limit = &operation("/api/v1/users", "get")["parameters"][1];
    assert_eq!((&limit["name"], &limit["schema"]["maximum"]), (&"limit".into(), &100.into()));
    assert_eq!(document["components"]["schemas"]["NewUser"]["additionalProperties"], false);
    let mut references = Vec::new();
    collect_references(&document, &mut references);
    for reference in references {
        assert!(document.pointer(&reference[1..]).is_some(), "{reference}");
    }
}

fn collect_references(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            found.extend(fields.get("$ref").and_then(Value::as_str).map(str::to_owned));
            fields.values().for_each(|value| collect_references(value, found));
        }
        Value::Array(items) => items.iter().for_each(|value| collect_references(value, found)),
        _ => {}
    }
}

#[test]
fn what_cannot_be_served_is_named() {
    let issuer = Issuer::new();
    let error = router(&issuer).build("").unwrap_err().to_string();
    assert!(error.contains("GET /api/v1/search") && error.contains("no handler"), "{error}");
    let twice = router(&issuer).serve(FIND_USERS, find).serve(FIND_USERS, find).build("").unwrap_err().to_string();
    assert!(twice.contains("two handlers"), "{twice}");
    const OTHER: Operation<(), NoContent> = Operation::get("/other").public();
    async fn other() -> Result<NoContent, ApiError> {
        Ok(NoContent)
    }
    let foreign = router(&issuer).serve(FIND_USERS, find).serve(OTHER, other).build("").unwrap_err().to_string();
    assert!(foreign.contains("GET /other") && foreign.contains("not in the contract"), "{foreign}");
    let open = ContractRouter::new(&USERS).serve(GET_USER, get).build("").unwrap_err().to_string();
    assert!(open.contains("authenticate"), "{open}");
}

#[test]
fn a_contract_that_cannot_be_told_apart_is_refused() {
    error_codes! {
        /// Of no family.
        enum Odd {
            /// It is odd.
            Odd = "GONE_FISHING",
        }
    }
    const fn get(path: &'static str) -> sap_comm_rest::operation::Definition {
        let operation: Operation<(), NoContent> = Operation::get(path);
        operation.definition()
    }
    const ODD: Operation<(), NoContent, Odd> = Operation::get("/odd").errors(&[Odd::Odd]);
    const CONTRACTS: [(Contract, &str); 6] = [
        (Contract::new("", &[]), "service"),
        (Contract::new("a", &[get("users")]), "begin with a slash"),
        (Contract::new("a", &[get("/users/{id}x")]), "each segment"),
        (Contract::new("a", &[get("/a"), get("/a")]), "twice"),
        (Contract::new("a", &[get("/a/{x}"), get("/a/{y}")]), "other names"),
        (Contract::new("a", &[ODD.definition()]), "GONE_FISHING"),
    ];
    for (contract, reason) in CONTRACTS {
        let error = contract.validate().unwrap_err().to_string();
        assert!(error.contains(reason), "{error}");
    }
}
