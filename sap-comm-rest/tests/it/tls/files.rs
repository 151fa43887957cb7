use sap_comm_core::config::{self, ConfigError};
use sap_comm_rest::{
    client::Client,
    server::{Server, ServerConfig},
    tls::{ClientTls, ClientTlsConfig, ServerTls, ServerTlsConfig},
};
use sap_comm_testkit::tls::TestCa;
use serde::Deserialize;

use super::support::server_options;
use crate::support::Files;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Options {
    server: ServerConfig,
}

fn refused(error: &ConfigError, field: &str, path: &std::path::Path, reason: &str) {
    assert_eq!(error.field(), field, "{error}");
    assert_eq!(error.value(), Some(path.display().to_string().as_str()), "{error}");
    assert!(error.reason().contains(reason), "{error}");
}

#[test]
fn a_file_that_cannot_be_used_is_named_with_the_reason() {
    let (files, ca) = (Files::new(), TestCa::new().unwrap());
    let good = server_options(&files, &ca);
    let missing = files.path("missing.pem");
    let expired = files.identity("expired", &ca.expired_server(&["localhost"]).unwrap());
    let (cert, key) = (good.cert.clone(), good.key.clone());
    let broken = files.write("broken.pem", "-----BEGIN CERTIFICATE-----\nMIIB!!\n-----END CERTIFICATE-----\n");
    let no_der = files.write("no-der.pem", "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n");
    let other_key = files.identity("other", &ca.server(&["localhost"]).unwrap()).1;
    for (config, field, path, reason) in [
        (ServerTlsConfig::new(&missing, &key), "cert", &missing, "No such file"),
        (ServerTlsConfig::new(&cert, &missing), "key", &missing, "No such file"),
        (good.clone().client_ca(&missing), "client_ca", &missing, "No such file"),
        (ServerTlsConfig::new(&key, &key), "cert", &key, "has no certificate in it"),
        (ServerTlsConfig::new(&cert, &cert), "key", &cert, "has no private key in it"),
        (good.clone().client_ca(&key), "client_ca", &key, "has no certificate in it"),
        (ServerTlsConfig::new(&broken, &key), "cert", &broken, "is not PEM"),
        (ServerTlsConfig::new(&no_der, &key), "cert", &no_der, "cannot be read"),
        (ServerTlsConfig::new(&cert, &other_key), "key", &other_key, "is not the key of the certificate in"),
        (ServerTlsConfig::new(&expired.0, &expired.1), "cert", &expired.0, "expired at 2001-01-01"),
    ] {
        refused(&ServerTls::load(config).unwrap_err(), field, path, reason);
    }
    for (config, field, path, reason) in [
        (ClientTlsConfig::default().ca(&missing), "ca", &missing, "No such file"),
        (ClientTlsConfig::default().ca(&key), "ca", &key, "has no certificate in it"),
        (ClientTlsConfig::default().identity(&cert, &other_key), "key", &other_key, "is not the key of"),
    ] {
        refused(&ClientTls::load(config.clone()).unwrap_err(), field, path, reason);
    }
    assert!(ServerTls::load(good).is_ok());
}

#[tokio::test]
async fn certificates_are_configured_like_everything_else() {
    let (files, ca) = (Files::new(), TestCa::new().unwrap());
    let good = server_options(&files, &ca);
    let pairs = |cert: &std::path::Path| {
        [
            ("SAP_SERVER__TLS__CERT".to_owned(), cert.display().to_string()),
            ("SAP_SERVER__TLS__KEY".to_owned(), good.key.display().to_string()),
            ("SAP_SERVER__TLS__HANDSHAKE_TIMEOUT".to_owned(), "3s".to_owned()),
        ]
    };
    let options: Options = config::from_pairs(pairs(&good.cert)).unwrap();
    assert_eq!(options.server.tls.as_ref().map(|tls| tls.handshake_timeout.as_secs()), Some(3));
    let server = Server::bind("127.0.0.1:0", options.server).await.unwrap();
    assert!(server.tls().is_some());
    let options: Options = config::from_pairs(pairs(&files.path("missing.pem"))).unwrap();
    let error = Server::bind("127.0.0.1:0", options.server).await.unwrap_err().to_string();
    assert!(error.contains("`tls.cert`") && error.contains("missing.pem"), "{error}");
    let error = config::from_pairs::<Options>([("SAP_SERVER__TLS__CRT".to_owned(), "a".to_owned())]).unwrap_err();
    assert_eq!(error.field(), "SAP_SERVER__TLS__CRT");

    let mut config = sap_comm_rest::client::ClientConfig::default();
    config.tls = ClientTlsConfig::default().ca(files.path("missing.pem"));
    let resolver = std::sync::Arc::new(sap_comm_core::StaticResolver::new());
    let error = Client::builder("user-service").resolver(resolver).config(config).build().unwrap_err();
    assert_eq!(error.field(), "tls.ca");
}
