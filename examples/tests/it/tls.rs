use std::sync::Arc;

use sap_comm::{
    Endpoint, StaticResolver,
    rest::{
        client::Client,
        tls::{ClientTls, ClientTlsConfig},
    },
};
use sap_comm_testkit::tls::TestCa;
use serde_json::{Value, json};

use crate::program::{Program, run};

/// A client of the gateway at this address, that trusts one authority.
fn client(address: &str, trusting: ClientTlsConfig) -> Client {
    let resolver = StaticResolver::new();
    resolver.set("api-gateway", [Endpoint::parse(address).unwrap()]);
    let tls = ClientTls::load(trusting).unwrap();
    Client::builder("api-gateway").resolver(Arc::new(resolver)).tls(tls).without_retry().build().unwrap()
}

#[tokio::test]
async fn the_gateway_serves_over_tls_and_demands_certificates_where_told_to() {
    let (files, ca) = (tempfile::tempdir().unwrap(), TestCa::new().unwrap());
    let write = |name: &str, text: &str| {
        let path = files.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let (server, own) = (ca.server(&["127.0.0.1"]).unwrap(), ca.client("console").unwrap());
    let (cert, key) = (write("server.pem", &server.certificate), write("server.key", &server.key));
    let authority = write("ca.pem", ca.pem());
    let mut program = Program::start(&[
        "--listen",
        "127.0.0.1:0",
        "--tls-cert",
        &cert,
        "--tls-key",
        &key,
        "--tls-client-ca",
        &authority,
    ]);
    let address = loop {
        let line = program.stdout.next_line().await.unwrap().expect("the program runs");
        if let Some(rest) = line.strip_prefix("console") {
            break rest.trim().trim_end_matches('/').to_owned();
        }
    };
    assert!(address.starts_with("https://127.0.0.1:"), "{address}");
    let trusting = ClientTlsConfig::default().ca(&authority);
    let login = json!({"email": "admin@example.com", "password": "admin-password"});
    let nobody = client(&address, trusting.clone());
    assert!(nobody.post("/api/v1/auth/login", []).json(&login).fetch::<Value>().await.is_err());
    let known = trusting.identity(write("own.pem", &own.certificate), write("own.key", &own.key));
    let tokens: Value = client(&address, known).post("/api/v1/auth/login", []).json(&login).fetch().await.unwrap();
    assert!(tokens["accessToken"].is_string());
}

#[tokio::test]
async fn a_certificate_that_cannot_be_used_ends_the_program_with_the_reason() {
    let files = tempfile::tempdir().unwrap();
    let missing = files.path().join("missing.pem").display().to_string();
    let (code, _, stderr) = run(&["--tls-cert", &missing, "--tls-key", &missing]).await;
    assert_eq!(code, Some(1));
    assert!(stderr.contains("`cert`") && stderr.contains(&missing), "{stderr}");
    let (code, _, stderr) = run(&["--tls-cert", &missing]).await;
    assert_eq!(code, Some(2));
    assert!(stderr.contains("--tls-key"), "{stderr}");
}
