use sap_comm_testkit::NodeScript;
use tokio::net::TcpListener;

use crate::harness::App;

#[tokio::test]
async fn every_audit_of_graphql_http_passes() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/graphql", listener.local_addr().unwrap());
    let server = tokio::spawn(async move { axum::serve(listener, App::new().router).await });
    let mut audits = NodeScript::new("graphql_http_audit.mjs").arg(url).spawn().unwrap();
    let mut failed = Vec::new();
    let done = loop {
        let line = audits.next_json().await.unwrap();
        match line["event"].as_str() {
            Some("done") => break line,
            _ if line["status"] != "ok" => failed.push(line.to_string()),
            _ => {}
        }
    };
    server.abort();
    assert!(failed.is_empty(), "{}", failed.join("\n"));
    assert_eq!(done["ok"], 61);
}
