use std::net::SocketAddr;

use sap_comm::rest::operation::compatibility::check_snapshot;
use sap_comm_examples::{
    contract::api::{AUTH_SERVICE, CONTENT_SERVICE, NOTIFICATION_SERVICE, USER_SERVICE},
    smoke::http::Http,
};
use serde_json::{Value, json};

use crate::program::{Program, admin_token};

/// Every `$ref` below a value.
fn references<'a>(value: &'a Value, found: &mut Vec<&'a str>) {
    match value {
        Value::Object(fields) => {
            found.extend(fields.get("$ref").and_then(Value::as_str));
            fields.values().for_each(|value| references(value, found));
        }
        Value::Array(items) => items.iter().for_each(|value| references(value, found)),
        _ => {}
    }
}

#[tokio::test]
async fn every_route_documents_its_refusals_and_every_reference_resolves() {
    let mut program = Program::start(&["--listen", "127.0.0.1:0"]);
    let mut services: Vec<SocketAddr> = Vec::new();
    while services.len() < 4 {
        let line = program.stdout.next_line().await.unwrap().expect("the program runs");
        if let Some((_, address)) = line.split_once("http://").filter(|_| line.contains("/docs")) {
            services.push(address.trim_end_matches("/docs").parse().unwrap());
        }
    }
    for service in services {
        let document = Http::new(service).get("/openapi.json").expect(200).await.unwrap().body;
        let mut found = Vec::new();
        references(&document, &mut found);
        assert!(found.contains(&"#/components/schemas/ErrorEnvelope"), "{found:?}");
        for reference in found {
            assert!(document.pointer(&reference[1..]).is_some(), "{reference} is nowhere in {service}");
        }
        for (path, methods) in document["paths"].as_object().unwrap() {
            for (method, operation) in methods.as_object().unwrap() {
                for status in ["400", "429", "500", "503", "504"] {
                    assert!(operation["responses"][status].is_object(), "{method} {path} {status}");
                }
                assert!(operation["operationId"].is_string() && operation["summary"].is_string(), "{method} {path}");
            }
        }
    }
}

#[test]
fn callers_of_the_services_are_not_broken() {
    for contract in [AUTH_SERVICE, USER_SERVICE, CONTENT_SERVICE, NOTIFICATION_SERVICE] {
        let path = format!("{}/openapi/{}.json", env!("CARGO_MANIFEST_DIR"), contract.service());
        match check_snapshot(path, &contract.openapi()) {
            Ok(changes) => changes.iter().for_each(|change| println!("{}: {change}", contract.service())),
            Err(error) => panic!("{error}"),
        }
    }
}

#[tokio::test]
async fn a_new_api_key_comes_with_the_record_that_others_need_to_trust_it() {
    let mut program = Program::start(&["--listen", "127.0.0.1:0"]);
    let http = Http::new(program.gateway().await);
    let admin = admin_token(&http).await;
    let input = json!({"owner": "report-service", "scopes": ["users:read"]});
    let key = http.post("/api/v1/api-keys", &input).token(&admin).expect(201).await.unwrap();
    let records = json!([key.body["record"]]).to_string();
    let set = sap_comm::auth::ApiKeySet::new(serde_json::from_str::<Vec<_>>(&records).unwrap());
    assert_eq!(set.verify(&key.text("/key").unwrap()).unwrap().id, "report-service");
    assert!(!records.contains(&key.text("/key").unwrap()));
}
