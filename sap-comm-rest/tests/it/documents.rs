use sap_comm_rest::{
    operation::{Contract, Operation},
    server::{PageResponse, Paged, docs},
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

#[cfg(feature = "swagger-ui")]
use crate::support::Connection;
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

/// The media type of what is found at this path, which need not be text.
#[cfg(feature = "swagger-ui")]
async fn media_type_of(server: &Running, path: &str) -> String {
    let mut connection = Connection::open(server.addr).await;
    connection.send(format!("GET {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").as_bytes()).await;
    let answer = connection.closed().await;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200 ") && !body.is_empty(), "{path}: {head}");
    let content_type = head.split("\r\n").find_map(|line| line.strip_prefix("content-type: ")).unwrap();
    content_type.split(';').next().unwrap().to_owned()
}

#[cfg(feature = "swagger-ui")]
#[tokio::test]
async fn the_page_and_all_that_it_loads_come_from_the_binary() {
    let server = serve(docs(USERS.openapi())).await;
    assert_eq!(get(&server, "/docs").await.header("location"), Some("/docs/"));
    let page = get(&server, "/docs/").await;
    assert_eq!(page.status, 200);
    assert!(page.header("content-security-policy").unwrap().starts_with("default-src 'self'"));
    let loaded: Vec<_> = ["src=", "href="].iter().flat_map(|attribute| page.body.split(attribute).skip(1)).collect();
    for file in ["swagger-ui.css", "swagger-ui-bundle.js", "swagger-initializer.js"] {
        assert!(loaded.iter().any(|rest| rest.starts_with(&format!("\"./{file}\""))), "{file}: {}", page.body);
    }
    for rest in loaded {
        let name = rest.strip_prefix('"').and_then(|rest| rest.split('"').next()).expect("it stands in quotes");
        let file = name.strip_prefix("./").unwrap_or(name);
        assert!(!file.contains([':', '/']), "{name} is loaded from elsewhere");
        let media_type = match file.rsplit('.').next() {
            Some("css") => "text/css",
            Some("js") => "text/javascript",
            Some("png") => "image/png",
            _ => panic!("{name} is of no known kind"),
        };
        assert_eq!(media_type_of(&server, &format!("/docs/{file}")).await, media_type, "{name}");
    }
    let initializer = get(&server, "/docs/swagger-initializer.js").await.body;
    assert!(![&page.body, &initializer].iter().any(|text| text.contains("://")), "something is loaded from elsewhere");
    let named: Vec<_> = initializer.split('"').skip(1).step_by(2).filter(|text| text.contains('/')).collect();
    assert_eq!(named, ["/openapi.json"], "{initializer}");
    assert_eq!(media_type_of(&server, named[0]).await, "application/json");
}
