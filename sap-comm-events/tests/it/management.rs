//! The management API of a real broker, over TLS.

use std::{path::PathBuf, process::Stdio};

use sap_comm_events::{Broker, Management, ManagementError, TlsConfig};
use sap_comm_testkit::RabbitNode;
use tokio::process::Command;

use crate::{
    events::UserCreated,
    rabbitmq::{config, numbers, soon},
};

/// The node's authority as a file, and the options that trust it.
fn trusting(node: &RabbitNode, directory: &tempfile::TempDir) -> (PathBuf, TlsConfig) {
    let file = directory.path().join("ca.pem");
    std::fs::write(&file, node.ca_pem().unwrap()).unwrap();
    (file.clone(), TlsConfig { ca_file: Some(file), ..TlsConfig::default() })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_management_api_is_asked_over_tls_and_refuses_by_name() {
    let node = RabbitNode::builder().tls().management().start().await.unwrap();
    let directory = tempfile::tempdir().unwrap();
    let (ca_file, tls) = trusting(&node, &directory);
    let broker = Broker::connect(&node.tls_uri().unwrap(), config().tls(tls.clone())).await.unwrap();
    let (router, _numbers) = numbers();
    let _handle = broker.subscribe("user.events", router).await.unwrap();
    broker.publish("user.events", UserCreated::numbered(1)).await.unwrap();

    let url = node.management_url().unwrap();
    let management = Management::with_tls(&url, &tls).unwrap();
    let found = soon(management.topology("/")).await.unwrap();
    assert_eq!(broker.topology().differences(&found), []);
    let error = soon(management.topology("nowhere")).await.unwrap_err();
    assert!(matches!(&error, ManagementError::NoVhost { vhost } if vhost == "nowhere"), "{error:?}");
    let stranger = Management::with_tls(&url.replace("guest:guest", "guest:s3cret"), &tls).unwrap();
    let error = soon(stranger.topology("/")).await.unwrap_err();
    assert!(matches!(error, ManagementError::Forbidden), "{error:?}");
    let error = soon(Management::new(&url).unwrap().topology("/")).await.unwrap_err();
    let ManagementError::Tls { reason, .. } = &error else { panic!("{error:?}") };
    assert!(reason.contains("certificate") && !error.to_string().contains("guest"), "{error}");

    let topology = directory.path().join("topology.json");
    std::fs::write(&topology, serde_json::to_vec(&broker.topology()).unwrap()).unwrap();
    let run = async |with_ca: bool| {
        let mut program = Command::new(env!("CARGO_BIN_EXE_sap-events"));
        program.args(["topology", "diff", "--topology"]).arg(&topology);
        program.env_clear().env("SAP_BROKER", node.tls_uri().unwrap()).env("SAP_BROKER_MANAGEMENT", &url);
        if with_ca {
            program.arg("--ca-file").arg(&ca_file);
        }
        let output = soon(program.stdin(Stdio::null()).kill_on_drop(true).output()).await.unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (output.status.code(), text(output.stdout), text(output.stderr))
    };
    let (code, printed, error) = run(true).await;
    assert_eq!((code, printed.as_str()), (Some(0), "no difference in 1 exchanges and 4 queues\n"), "{error}");
    let (code, _, error) = run(false).await;
    assert!(code == Some(4) && error.contains("certificate") && error.lines().count() == 1, "{code:?} {error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_expired_certificate_of_the_management_api_is_named() {
    let node = RabbitNode::builder().expired_certificate().management().start().await.unwrap();
    let directory = tempfile::tempdir().unwrap();
    let (_, tls) = trusting(&node, &directory);
    let management = Management::with_tls(&node.management_url().unwrap(), &tls).unwrap();
    let error = soon(management.topology("/")).await.unwrap_err();
    let ManagementError::Tls { reason, .. } = &error else { panic!("{error:?}") };
    assert!(reason.to_lowercase().contains("expired"), "{error}");
}

#[test]
fn a_file_of_the_tls_options_is_named() {
    let tls = TlsConfig { ca_file: Some("/nowhere/ca.pem".into()), ..TlsConfig::default() };
    let error = Management::with_tls("https://rabbit:15671", &tls).unwrap_err().to_string();
    assert!(error.contains("tls.ca_file") && error.contains("/nowhere/ca.pem"), "{error}");
}
