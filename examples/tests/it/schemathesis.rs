//! Every service's OpenAPI document, held against what the service does, through the gateway.

use std::{net::SocketAddr, time::Duration};

use sap_comm_examples::smoke::http::Http;
use sap_comm_testkit::install::locate_python;
use tokio::{process::Command, time::timeout};

use crate::program::{Program, admin_token};

/// What an answer must not be: a failure, a status, a type, a header or a body that the document does not name.
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,\
    response_headers_conformance,response_schema_conformance";
/// Within the gateway's limit for one caller.
const PACE: &str = "90/s";
const LIMIT: Duration = Duration::from_secs(240);

#[tokio::test]
async fn every_service_keeps_to_its_document_through_the_gateway() {
    let schemathesis = locate_python("schemathesis").unwrap();
    let mut program = Program::start(&["--listen", "127.0.0.1:0"]);
    let (gateway, services) = addresses(&mut program).await;
    // Once, for the runs may well delete the administrator.
    let token = admin_token(&Http::new(gateway)).await;
    let mut broken = Vec::new();
    for service in services {
        let mut run = Command::new(&schemathesis);
        run.arg("run")
            .arg(format!("http://{service}/openapi.json"))
            .args(["--url", &format!("http://{gateway}")])
            .args(["--header", &format!("Authorization: Bearer {token}")])
            .args(["--checks", CHECKS, "--rate-limit", PACE, "--seed", "7", "--max-examples", "10"])
            .args(["--continue-on-failure", "--no-shrink", "--warnings", "off", "--no-color"])
            // Its cache of examples, and its settings, are this run's own.
            .current_dir(std::env::temp_dir())
            .env("HYPOTHESIS_STORAGE_DIRECTORY", std::env::temp_dir().join("sap-comm-hypothesis"))
            .kill_on_drop(true);
        let output = timeout(LIMIT, run.output()).await.expect("it ends in time").unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        println!("{said}");
        if !output.status.success() {
            broken.push(said + &String::from_utf8_lossy(&output.stderr));
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
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
