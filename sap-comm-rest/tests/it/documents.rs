use sap_comm_rest::{
    operation::{Contract, Operation},
    server::{PageResponse, Paged, docs},
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::support::{Running, ask, serve};

#[derive(Serialize, Deserialize, ToSchema)]
struct User {
    email: String,
}

const LIST: Operation<(Paged,), PageResponse<User>> = Operation::get("/api/v1/users").public();
const USERS: Contract = Contract::new("user-service", &[LIST.definition()]);

async fn get(server: &Running, path: &str) -> crate::support::Answer {
    ask(server.addr, &format!("GET {path} HTTP/1.1\r\nhost: a\r\n\r\n")).await
}

#[tokio::test]
async fn the_document_describes_pages_and_the_envelope() {
    let server = serve(docs(USERS.openapi())).await;
    let answer = get(&server, "/openapi.json").await;
    assert_eq!(answer.header("content-type"), Some("application/json"));
    let document = answer.json();
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1"));
    let schemas = &document["components"]["schemas"];
    for name in ["ErrorEnvelope", "ErrorBody", "PageOfUser", "Pagination", "User"] {
        assert!(schemas[name].is_object(), "{name} is missing: {schemas}");
    }
    assert_eq!(schemas["ErrorBody"]["required"], serde_json::json!(["code", "message", "timestamp", "requestId"]));
}

#[cfg(feature = "swagger-ui")]
#[tokio::test]
async fn the_page_and_all_that_it_loads_come_from_the_binary() {
    let server = serve(docs(USERS.openapi())).await;
    assert_eq!(get(&server, "/docs").await.header("location"), Some("/docs/"));
    let page = get(&server, "/docs/").await;
    assert_eq!(page.status, 200);
    assert!(page.header("content-security-policy").unwrap().starts_with("default-src 'self'"));
    let loaded: Vec<_> = page.body.split(['"', '\'']).filter_map(|text| text.strip_prefix("./")).collect();
    assert!(!loaded.is_empty(), "{}", page.body);
    assert!(!page.body.contains("https://"), "something is loaded from elsewhere: {}", page.body);
    let initializer = get(&server, "/docs/swagger-initializer.js").await;
    assert!(initializer.body.contains("/openapi.json"), "{}", initializer.body);
}
