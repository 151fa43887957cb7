//! Every service's OpenAPI document, held against what the service does, through the gateway.

mod answers;
mod subjects;

use std::{net::SocketAddr, path::Path, time::Duration};

use futures_util::future::join_all;
use sap_comm_examples::smoke::http::Http;
use sap_comm_testkit::install::locate_python;
use serde_json::{Value, json};
use tokio::{process::Command, time::timeout};

use self::{answers::Answers, subjects::Subjects};
use crate::program::Program;

/// What an answer must not be: a failure, a status, a type, a header or a body that the document does not name.
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,\
    response_headers_conformance,response_schema_conformance";
/// Within the gateway's limit for one caller.
const PACE: &str = "90/s";
const EXAMPLES: &str = "10";
const LIMIT: Duration = Duration::from_secs(240);

/// What the outside cannot succeed at.
const NEVER: [(&str, &str); 4] = [
    ("PUT /internal/v1/credentials/{user_id}", "the gateway has no route for what services ask each other"),
    ("PUT /internal/v1/credentials/{user_id}/activation", "the same"),
    ("DELETE /internal/v1/credentials/{user_id}", "the same"),
    ("GET /internal/v1/api-keys", "the same, and it is not asked for"),
];
/// Where most credentials are made up, and refused.
const GUESSED: [&str; 2] = ["POST /api/v1/auth/login", "POST /api/v1/auth/refresh"];

#[tokio::test]
async fn every_service_keeps_to_its_document_through_the_gateway() {
    let schemathesis = locate_python("schemathesis").unwrap();
    let files = tempfile::tempdir().unwrap();
    let routes = files.path().join("routes.json");
    std::fs::write(&routes, login_without_a_quota().to_string()).unwrap();
    let mut program = Program::start(&["--listen", "127.0.0.1:0", "--routes-file", &routes.display().to_string()]);
    let (gateway, services) = addresses(&mut program).await;
    // Before the runs, which may well delete the administrator.
    let subjects = Subjects::prepare(&Http::new(gateway)).await;
    let run = async |number: usize| {
        let service = Http::new(services[number]);
        let document = subjects.shown_in(service.get("/openapi.json").expect(200).await.unwrap().body);
        let (schema, har) = (files.path().join(format!("{number}.json")), files.path().join(format!("{number}.har")));
        std::fs::write(&schema, document.to_string()).unwrap();
        // Each as a caller of its own, with a quota of its own.
        let token = &subjects.tokens[number];
        let said = ask(&schemathesis, &schema, &har, gateway, token).await;
        let har = std::fs::read_to_string(&har).unwrap_or_default();
        (said, Answers::read(&document, &har))
    };
    // The auth service first: what the user service is asked takes from users what they log in with.
    let mut runs = vec![run(0).await];
    runs.extend(join_all((1..services.len()).map(&run)).await);
    let (mut broken, mut empty) = (Vec::new(), Vec::new());
    for (said, answers) in runs {
        broken.extend(said.err());
        println!("{answers}");
        empty.extend(answers.without_success().filter(|operation| !NEVER.iter().any(|(never, _)| never == operation)));
        empty.extend(answers.dominated_by(&[429], 0.0).map(|operation| format!("{operation}: over a quota")));
        let denied = answers.dominated_by(&[401, 403], 0.1).filter(|operation| !GUESSED.contains(&operation.as_str()));
        empty.extend(denied.map(|operation| format!("{operation}: denied")));
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
    assert!(empty.is_empty(), "these show nothing:\n{}", empty.join("\n"));
}

/// A route that names the host is taken before that of the contract.
fn login_without_a_quota() -> Value {
    json!({"routes": [{
        "path": "/api/v1/auth/login", "hosts": ["127.0.0.1"], "methods": ["POST"],
        "target": {"service": "auth-service"}, "access": "public", "unlimited": true,
    }]})
}

/// What schemathesis says where it does not pass.
async fn ask(program: &Path, schema: &Path, har: &Path, gateway: SocketAddr, token: &str) -> Result<(), String> {
    let mut run = Command::new(program);
    run.arg("run")
        .arg(schema)
        .args(["--url", &format!("http://{gateway}")])
        .args(["--header", &format!("Authorization: Bearer {token}")])
        .args(["--checks", CHECKS, "--rate-limit", PACE, "--seed", "7", "--max-examples", EXAMPLES])
        .args(["--continue-on-failure", "--no-shrink", "--no-color", "--generation-with-security-parameters", "false"])
        // The gateway's 404 stands in no document of an operation that finds nothing by a name.
        .args(["--exclude-path", "/internal/v1/api-keys"])
        .args(["--report", "har", "--report-har-path"])
        .arg(har)
        // Its cache of examples, and its settings, are this run's own.
        .current_dir(schema.parent().unwrap())
        .env("HYPOTHESIS_STORAGE_DIRECTORY", schema.with_extension("hypothesis"))
        .kill_on_drop(true);
    let output = timeout(LIMIT, run.output()).await.expect("it ends in time").unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    println!("{said}");
    if output.status.success() { Ok(()) } else { Err(said + &String::from_utf8_lossy(&output.stderr)) }
}

/// The gateway's address and those of the four services behind it.
async fn addresses(program: &mut Program) -> (SocketAddr, Vec<SocketAddr>) {
    let (mut gateway, mut services) = (None, Vec::new());
    loop {
        let line = program.stdout.next_line().await.unwrap().expect("the program runs");
        if let Some((name, address)) = line.split_once("http://") {
            if let Some(service) = address.strip_suffix("/docs") {
                services.push(service.parse().unwrap());
            } else if name.trim() == "console" {
                gateway = Some(address.trim_end_matches('/').parse().unwrap());
            }
        }
        match gateway {
            Some(gateway) if services.len() == 4 => return (gateway, services),
            _ => {}
        }
    }
}
