//! A gateway that serves TLS itself.

use sap_comm_core::{Context, Endpoint, Principal, Secret};
use sap_comm_rest::{
    client::{Client, ClientError},
    gateway::{GatewayBuilder, Route},
    server::{Server, ServerConfig, auth::Authenticator},
    tls::{CertificateName, ClientTlsConfig, ServerTls},
};
use sap_comm_testkit::tls::TestCa;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::support::{Running, bearer, echo, to_service, upstream, verifier};
use crate::{
    support::Files,
    tls::support::{client, server_options},
};

const REPORTS: &str = "reports.internal";

/// A gateway over TLS that asks for certificates without demanding them, and what its clients trust.
struct Edge {
    files: Files,
    ca: TestCa,
    running: Running,
    _upstream: Running,
}

impl Edge {
    async fn serve(build: impl FnOnce(GatewayBuilder) -> GatewayBuilder) -> Self {
        let (files, ca, upstream) = (Files::new(), TestCa::new().unwrap(), upstream(echo()).await);
        files.write("ca.pem", ca.pem());
        let mut options = server_options(&files, &ca).client_ca(files.path("ca.pem"));
        options.client_cert_optional = true;
        let mut config = ServerConfig::default();
        config.workers = 2;
        let server = Server::bind("127.0.0.1:0", config).await.unwrap();
        let server = server.with_tls(ServerTls::load(options).unwrap());
        let (address, gateway) = (server.local_addr(), build(to_service(&upstream)).build().unwrap());
        let running = Running::spawn(address, async { gateway.serve(server, CancellationToken::new()).await.unwrap() });
        Self { files, ca, running, _upstream: upstream }
    }

    fn client(&self, options: ClientTlsConfig) -> Client {
        client(Endpoint::parse(&format!("https://{}", self.running.address)).unwrap(), options)
    }

    fn stranger(&self) -> Client {
        self.client(ClientTlsConfig::default().ca(self.files.path("ca.pem")))
    }

    /// A client with a certificate for these names.
    fn known_as(&self, names: &[&str]) -> Client {
        let (cert, key) = self.files.identity("client", &self.ca.client_named("anything", names).unwrap());
        self.client(ClientTlsConfig::default().ca(self.files.path("ca.pem")).identity(cert, key))
    }
}

/// A header that the echoing upstream got.
fn sent<'a>(echoed: &'a Value, name: &str) -> Option<&'a str> {
    echoed["headers"].as_array().unwrap().iter().find(|pair| pair[0] == name)?[1].as_str()
}

fn status(result: Result<Value, ClientError>) -> u16 {
    match result {
        Ok(_) => 200,
        Err(ClientError::Api(error)) => error.status().as_u16(),
        Err(error) => panic!("{error:?}"),
    }
}

#[tokio::test]
async fn a_service_is_known_by_its_certificate_and_told_to_the_upstream() {
    let known = Principal::service("report-service", ["users:read", "delegate"]);
    let authenticator = Authenticator::builder()
        .jwt(verifier())
        .client_certificate(CertificateName::Dns(REPORTS.into()), known)
        .build()
        .unwrap();
    let edge = Edge::serve(|gateway| {
        gateway
            .authenticator(authenticator)
            .api_key(Secret::new("sap_gateway_key".to_owned()))
            .route(Route::new("/read").to("test").authenticated().scopes(["users:read"]))
            .route(Route::new("/write").to("test").authenticated().scopes(["users:write"]))
    })
    .await;

    let service = edge.known_as(&[REPORTS]);
    let echoed: Value = service.get("/read", []).fetch().await.unwrap();
    let context = Context::extract_trusted(|name| sent(&echoed, name));
    let principal = context.principal().unwrap();
    assert!(principal.id == "report-service" && principal.has_scope("users:read"), "{principal:?}");
    assert_eq!(status(service.get("/write", []).fetch().await), 403);
    // Who may speak for others inside may not do so from outside, and does not ask for itself then.
    let forged = service.get("/read", []).header("x-principal", "eyJpZCI6InJvb3QifQ");
    assert_eq!(status(forged.fetch().await), 401);

    let token = bearer(&[]);
    let for_user = service.get("/read", []).header("authorization", &token).fetch().await.unwrap();
    let context = Context::extract_trusted(|name| sent(&for_user, name));
    assert_eq!(context.principal().unwrap().id, "usr_1", "a token tells who is meant");

    assert_eq!(status(edge.known_as(&["other.internal"]).get("/read", []).fetch().await), 401);
    assert_eq!(status(edge.stranger().get("/read", []).fetch().await), 401);
    assert_eq!(status(edge.stranger().get("/read", []).header("authorization", &token).fetch().await), 200);
}

#[tokio::test]
async fn the_upstream_hears_that_the_client_came_over_https() {
    let edge = Edge::serve(|gateway| gateway.route(Route::new("/api").to("test").public())).await;
    for said in [None, Some("http"), Some("ftp")] {
        let request = edge.stranger().get("/api", []);
        let request = match said {
            Some(scheme) => request.header("x-forwarded-proto", scheme),
            None => request,
        };
        let echoed: Value = request.fetch().await.unwrap();
        assert_eq!(sent(&echoed, "x-forwarded-proto"), Some("https"), "{said:?}");
    }
}
