//! Several certificates on one listener.

use std::{net::SocketAddr, time::Duration};

use axum::{Router, routing::get};
use sap_comm_rest::tls::{ServerTls, ServerTlsConfig};
use sap_comm_testkit::tls::{Identity, TestCa};

use super::support::{der, serve_tls, shown_to};
use crate::support::Files;

/// The names of the default certificate: what clients ask for, so that they take what they are shown.
const DEFAULT: &[&str] =
    &["localhost", "127.0.0.1", "a.b.tenants.sap.example", "tenants.sap.exampl", "sap.example", "www.shop.sap.example"];

/// A certificate authority, and the files of a server with three certificates.
struct Scene {
    files: Files,
    ca: TestCa,
    default: Identity,
    shop: Identity,
    wild: Identity,
}

impl Scene {
    fn new() -> Self {
        let (files, ca) = (Files::new(), TestCa::new().unwrap());
        let shop = ca.server(&["shop.sap.example", "www.shop.sap.example"]).unwrap();
        let wild = ca.server(&["*.sap.example", "*.tenants.sap.example"]).unwrap();
        let default = ca.server(DEFAULT).unwrap();
        for (name, identity) in [("default", &default), ("shop", &shop), ("wild", &wild)] {
            files.identity(name, identity);
        }
        Self { files, ca, default, shop, wild }
    }

    /// The wildcards come first, so that order alone does not decide.
    fn options(&self) -> ServerTlsConfig {
        let path = |name: &str| self.files.path(name);
        ServerTlsConfig::new(path("default.pem"), path("default.key"))
            .certificate(path("wild.pem"), path("wild.key"))
            .certificate(path("shop.pem"), path("shop.key"))
    }

    async fn shown(&self, addr: SocketAddr, name: &str) -> Vec<u8> {
        shown_to(addr, &self.ca, name).await
    }
}

fn router() -> Router {
    Router::new().route("/", get(async || "ok"))
}

#[tokio::test]
async fn a_client_sees_the_certificate_of_the_name_that_it_asks_for() {
    let scene = Scene::new();
    let (server, _tls) = serve_tls(router(), scene.options()).await;
    for (asked, expected) in [
        ("shop.sap.example", &scene.shop),
        ("SHOP.sap.example", &scene.shop),
        ("www.shop.sap.example", &scene.shop),
        ("other.sap.example", &scene.wild),
        ("a.tenants.sap.example", &scene.wild),
    ] {
        assert!(scene.shown(server.addr, asked).await == der(expected), "{asked}");
    }
    // An address is not asked for by name.
    for asked in ["127.0.0.1", "localhost", "a.b.tenants.sap.example", "tenants.sap.exampl", "sap.example"] {
        assert!(scene.shown(server.addr, asked).await == der(&scene.default), "{asked}");
    }
}

#[tokio::test]
async fn each_certificate_is_replaced_by_itself() {
    let scene = Scene::new();
    let (server, tls) = serve_tls(router(), scene.options()).await;
    let next = scene.ca.server(&["shop.sap.example", "new.sap.example"]).unwrap();
    // One that cannot be used stands in nobody's way.
    scene.files.write("wild.pem", "rubbish");
    scene.files.identity("shop", &next);
    let error = tls.reload().unwrap_err();
    assert_eq!(error.field(), "certificates[0].cert");
    assert!(error.to_string().contains("wild.pem"), "{error}");
    assert!(scene.shown(server.addr, "new.sap.example").await == der(&next));
    assert!(scene.shown(server.addr, "other.sap.example").await == der(&scene.wild));
    assert!(
        scene.shown(server.addr, "www.shop.sap.example").await == der(&scene.default),
        "the new one does not bear it"
    );

    scene.files.identity("wild", &scene.wild);
    assert_eq!(tls.reload(), Ok(true), "what was refused is tried again");
    assert_eq!(tls.reload(), Ok(false));
    let default = scene.ca.server(DEFAULT).unwrap();
    scene.files.identity("default", &default);
    assert_eq!(tls.reload(), Ok(true));
    assert!(scene.shown(server.addr, "localhost").await == der(&default));
    assert!(scene.shown(server.addr, "new.sap.example").await == der(&next));
}

#[tokio::test]
async fn each_certificate_is_looked_at_when_a_connection_is_made() {
    let scene = Scene::new();
    let mut options = scene.options();
    options.reload_interval = Duration::from_nanos(1);
    let (server, _tls) = serve_tls(router(), options).await;
    let next = scene.ca.server(&["shop.sap.example"]).unwrap();
    scene.files.identity("shop", &next);
    // The first look sees that it has changed, the second that it rests.
    scene.shown(server.addr, "shop.sap.example").await;
    assert!(scene.shown(server.addr, "shop.sap.example").await == der(&next));
}

#[test]
fn a_certificate_that_nobody_could_ask_for_is_refused() {
    let scene = Scene::new();
    let address = scene.ca.server(&["127.0.0.1"]).unwrap();
    scene.files.identity("shop", &address);
    let error = ServerTls::load(scene.options()).unwrap_err();
    assert_eq!(error.field(), "certificates[1].cert");
    assert!(error.to_string().contains("bears no host name") && error.to_string().contains("shop.pem"), "{error}");
}

#[test]
fn certificates_are_configured_as_pairs() {
    let text = r#"{"cert": "a", "key": "b", "certificates": [{"cert": "c", "key": "d"}]}"#;
    let config: ServerTlsConfig = serde_json::from_str(text).unwrap();
    assert_eq!(config, ServerTlsConfig::new("a", "b").certificate("c", "d"));
    let half = r#"{"cert": "a", "key": "b", "certificates": [{"cert": "c"}]}"#;
    assert!(serde_json::from_str::<ServerTlsConfig>(half).unwrap_err().to_string().contains("`key`"));
}
