use std::net::TcpListener;

use sap_comm_examples::smoke::http::Http;
use serde_json::json;

use crate::program::{Program, admin_token, run, run_with};

async fn refused(arguments: &[&str], named: &[&str]) {
    let (code, stdout, stderr) = run(arguments).await;
    assert_ne!(code, Some(0), "{stdout}");
    let last = stderr.trim_end().rsplit("error:").next().unwrap_or_default();
    for name in named {
        assert!(last.contains(name), "{arguments:?}: {last:?} does not name {name:?}");
    }
}

#[tokio::test]
async fn a_wrong_broker_is_named() {
    refused(&["--broker", "kafka://localhost"], &["kafka", "amqp"]).await;
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    refused(&["--broker", &format!("amqp://guest:hunter2@{free}")], &[&free.port().to_string()]).await;
    let (_, _, stderr) = run(&["--broker", &format!("amqp://guest:hunter2@{free}")]).await;
    assert!(!stderr.contains("hunter2"), "{stderr}");
}

#[tokio::test]
async fn a_port_in_use_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    refused(&["--listen", &address], &[&address, "in use"]).await;
}

#[tokio::test]
async fn a_wrong_database_is_named() {
    let password = ["--database", "mysql://root:hunter2@localhost"];
    refused(&password, &["…@localhost", "sqlite://"]).await;
    let (_, _, stderr) = run(&password).await;
    assert!(!stderr.contains("hunter2"), "{stderr}");
    refused(&["--database", "sqlite:///proc/nowhere"], &["/proc/nowhere"]).await;
}

#[tokio::test]
async fn a_missing_configuration_key_is_named() {
    refused(&["--service", "user-service"], &["SAP_BROKER"]).await;
    refused(&["--service", "user-service", "--broker", "memory://"], &["SAP_DATABASE"]).await;
    let directory = tempfile::tempdir().unwrap();
    let database = format!("sqlite://{}", directory.path().display());
    let arguments = ["--service", "user-service", "--listen", "127.0.0.1:0", "--broker", "memory://"];
    refused(&[&arguments[..], &["--database", &database]].concat(), &["SAP_SERVICE_KEY"]).await;
    refused(&["--service", "nobody"], &["user-service"]).await;
}

#[tokio::test]
async fn an_unknown_variable_is_named() {
    let (code, _, stderr) = run_with(&["--smoke"], &[("SAP_BROKR", "memory://")]).await;
    assert_eq!(code, Some(1));
    assert!(stderr.contains("SAP_BROKR is not known") && stderr.contains("SAP_BROKER"), "{stderr}");
}

#[tokio::test]
async fn bad_requests_get_the_envelope() {
    let mut program = Program::start(&["--listen", "127.0.0.1:0"]);
    let http = Http::new(program.gateway().await);
    let admin = admin_token(&http).await;
    let huge = format!("{{\"title\": \"{}\"}}", "x".repeat(3 << 20));
    let contents = "/api/v1/contents";
    http.call("POST", contents).token(&admin).body("{").refused(400, "MALFORMED_BODY").await.unwrap();
    http.call("POST", contents).token(&admin).body(huge).refused(413, "PAYLOAD_TOO_LARGE").await.unwrap();
    http.call("POST", contents)
        .token(&admin)
        .header("content-type", "text/plain")
        .refused(415, "UNSUPPORTED_MEDIA_TYPE")
        .await
        .unwrap();
    http.call("DELETE", contents).token(&admin).refused(405, "METHOD_NOT_ALLOWED").await.unwrap();
    http.get("/api/v2/users").token(&admin).refused(404, "NOT_FOUND").await.unwrap();
    http.get("/api/v1/users/usr_1").token(&admin).refused(404, "USER_NOT_FOUND").await.unwrap();
    http.get("/api/v1/users?limit=1000").token(&admin).refused(400, "INVALID_ARGUMENT").await.unwrap();
    let unknown = json!({"title": "a", "body": "b", "colour": "red"});
    let answer = http.post(contents, &unknown).token(&admin).refused(400, "MALFORMED_BODY").await.unwrap();
    assert!(answer.text("/error/message").unwrap().contains("colour"), "{}", answer.body);
}
