use std::sync::Arc;

use axum::{Router, routing::get};
use sap_comm::{
    Service, StaticResolver,
    rest::{
        client::Client,
        tls::{ClientTls, ClientTlsConfig, ServerTls, ServerTlsConfig},
    },
};
use sap_comm_testkit::tls::TestCa;

#[tokio::test]
async fn a_service_over_tls_registers_as_https_and_is_called_by_its_name() {
    let (files, ca) = (tempfile::tempdir().unwrap(), TestCa::new().unwrap());
    let write = |name: &str, text: &str| {
        let path = files.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let identity = ca.server(&["hello-service"]).unwrap();
    let tls = ServerTlsConfig::new(write("cert.pem", &identity.certificate), write("key.pem", &identity.key));
    let registry = Arc::new(StaticResolver::new());
    let running = Service::builder("hello-service")
        .routes(Router::new().route("/hello", get(async || axum::Json("hello"))))
        .tls(ServerTls::load(tls).unwrap())
        .register_with(registry.clone())
        .build()
        .unwrap()
        .start()
        .await
        .unwrap();
    let trusting = ClientTlsConfig::default().ca(write("ca.pem", ca.pem())).server_name("hello-service");
    let client =
        Client::builder("hello-service").resolver(registry).tls(ClientTls::load(trusting).unwrap()).build().unwrap();
    assert_eq!(client.get("/hello", []).fetch::<String>().await.unwrap(), "hello");
    running.drain().await.unwrap();
}
