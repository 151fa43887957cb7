use axum::{Router, routing::get};
use sap_comm_core::ApiError;
use sap_comm_rest::{
    operation::{Contract, Operation},
    server::{ContractRouter, Deprecation, NoContent, deprecated, versioned},
};

use crate::support::{ask, serve};

const END: Deprecation = Deprecation::since(2026, 11, 1).sunset(2027, 5, 1).successor("/api/v2/users");
const OLD: Operation<(), NoContent> = Operation::get("/api/v1/users").public().deprecated(END);
const NEW: Operation<(), NoContent> = Operation::get("/api/v2/users").public();
const USERS: Contract = Contract::new("user-service", &[OLD.definition(), NEW.definition()]);

async fn nothing() -> Result<NoContent, ApiError> {
    Ok(NoContent)
}

#[tokio::test]
async fn callers_of_a_deprecated_operation_are_told_when_it_ends_and_what_follows() {
    let router = ContractRouter::new(&USERS).serve(OLD, nothing).serve(NEW, nothing).build(()).unwrap();
    let plain = Router::new().route("/users", get(async || "old"));
    let server = serve(router.merge(deprecated(versioned("v0", plain), END))).await;
    for path in ["/api/v1/users", "/api/v0/users"] {
        let answer = ask(server.addr, &format!("GET {path} HTTP/1.1\r\nhost: a\r\n\r\n")).await;
        assert_eq!(answer.header("deprecation"), Some("@1793491200"), "{path}");
        assert_eq!(answer.header("sunset"), Some("Sat, 01 May 2027 00:00:00 GMT"), "{path}");
        assert_eq!(answer.header("link"), Some("</api/v2/users>; rel=\"successor-version\""), "{path}");
    }
    let answer = ask(server.addr, "GET /api/v2/users HTTP/1.1\r\nhost: a\r\n\r\n").await;
    assert_eq!((answer.status, answer.header("deprecation")), (204, None));
}

#[test]
fn the_document_and_the_check_know_of_it() {
    let document = USERS.openapi();
    assert_eq!(document["paths"]["/api/v1/users"]["get"]["deprecated"], true);
    assert!(document["paths"]["/api/v1/users"]["get"]["responses"]["204"]["headers"]["sunset"].is_object());
    const NEVER: Operation<(), NoContent> = Operation::get("/a").deprecated(Deprecation::since(2026, 2, 32));
    assert!(Contract::new("a", const { &[NEVER.definition()] }).validate().is_err());
}
