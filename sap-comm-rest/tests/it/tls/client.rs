use std::sync::Arc;

use axum::{Router, routing::get};
use sap_comm_core::{ApiError, Endpoint, StaticResolver};
use sap_comm_rest::{
    client::ClientError,
    gateway::{Gateway, Route},
    tls::{ClientTls, ClientTlsConfig},
};
use sap_comm_testkit::tls::TestCa;

use super::support::{causes, client, get as fetch, https, serve_tls, server_options};
use crate::support::{Files, ask, serve, serve_with};

fn router() -> Router {
    Router::new().route("/", get(async || "ok"))
}

#[tokio::test]
async fn a_server_is_believed_only_with_a_certificate_for_its_name() {
    let (files, ca) = (Files::new(), TestCa::new().unwrap());
    let (server, _tls) = serve_tls(router(), server_options(&files, &ca)).await;
    let other = TestCa::new().unwrap();
    let trusting = ClientTlsConfig::default().ca(files.write("ca.pem", ca.pem()));
    for (options, reason) in [
        (ClientTlsConfig::default().ca(files.write("other.pem", other.pem())), "invalid peer certificate"),
        (trusting.clone().server_name("user-service"), "not valid for name"),
    ] {
        let error = fetch(&client(https(&server), options), "/").await.unwrap_err();
        assert!(matches!(error, ClientError::Connect { .. }), "{error}");
        assert!(causes(&error).contains("no TLS with"), "{}", causes(&error));
        assert!(causes(&error).contains(reason), "{}", causes(&error));
        assert_eq!(ApiError::from(error).status().as_u16(), 503);
    }
    // The system's authorities, which know nothing of a test's.
    let error = fetch(&client(https(&server), ClientTlsConfig::default()), "/").await.unwrap_err();
    assert!(matches!(error, ClientError::Connect { .. }), "{error}");
    let mut blind = ClientTlsConfig::default();
    blind.insecure_skip_verification = true;
    for options in [trusting.clone(), trusting.server_name("localhost"), blind] {
        assert_eq!(fetch(&client(https(&server), options), "/").await.unwrap(), "ok");
    }
}

#[tokio::test]
async fn a_server_without_tls_or_with_an_expired_certificate_is_no_https() {
    let (files, ca) = (Files::new(), TestCa::new().unwrap());
    let trusting = ClientTlsConfig::default().ca(files.write("ca.pem", ca.pem()));
    let plain = serve(router()).await;
    let error = fetch(&client(https(&plain), trusting), "/").await.unwrap_err();
    assert!(matches!(error, ClientError::Connect { .. }), "{error}");
}

#[tokio::test]
async fn a_gateway_reaches_its_upstreams_over_mutual_tls() {
    let (files, ca) = (Files::new(), TestCa::new().unwrap());
    let options = server_options(&files, &ca).client_ca(files.write("clients.pem", ca.pem()));
    let (upstream, _tls) = serve_tls(router(), options).await;
    let (cert, key) = files.identity("gateway", &ca.client("api-gateway").unwrap());
    let trusting = ClientTlsConfig::default().ca(files.write("ca.pem", ca.pem()));
    let through = async |options: ClientTlsConfig| {
        let resolver = StaticResolver::new();
        resolver.set("user-service", [Endpoint::parse(&https(&upstream).to_string()).unwrap()]);
        let gateway = Gateway::builder()
            .resolver(Arc::new(resolver))
            .route(Route::new("/").to("user-service").public())
            .upstream_tls(ClientTls::load(options).unwrap())
            .build()
            .unwrap();
        let edge = serve_with(gateway.into_router(), "127.0.0.1:0", Default::default()).await;
        ask(edge.addr, "GET / HTTP/1.1\r\nhost: a\r\n\r\n").await
    };
    assert_eq!(through(trusting.clone().identity(cert, key)).await.body, "ok");
    let refused = through(trusting).await;
    assert!(matches!(refused.status, 502 | 503), "{refused:?}");
    assert!(["BAD_GATEWAY", "SERVICE_UNAVAILABLE"].contains(&refused.code().as_str()));
}
