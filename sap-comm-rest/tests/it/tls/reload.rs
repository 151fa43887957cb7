use std::time::Duration;

use axum::{Router, routing::get};
use sap_comm_rest::tls::{ClientTls, ClientTlsConfig};
use sap_comm_testkit::tls::TestCa;

use super::support::{client, der, get as fetch, handshake, https, serve_tls, server_options, sharing, shown};
use crate::support::Files;

fn router() -> Router {
    Router::new().route("/", get(async || "ok"))
}

#[tokio::test]
async fn certificates_that_cannot_be_used_are_refused_and_the_old_ones_stay() {
    let (files, ca) = (Files::new(), TestCa::new().unwrap());
    let (server, tls) = serve_tls(router(), server_options(&files, &ca)).await;
    let (first, good) = (shown(server.addr, &ca).await, ca.server(&["localhost"]).unwrap());
    let expired = ca.expired_server(&["localhost"]).unwrap();
    for (cert, key, field, reason) in [
        ("", good.key.as_str(), "cert", "has no certificate in it"),
        (&good.certificate, "", "key", "has no private key in it"),
        (&good.certificate, &ca.server(&["localhost"]).unwrap().key, "key", "is not the key of the certificate in"),
        (&expired.certificate, &expired.key, "cert", "expired at 2001-01-01"),
    ] {
        files.write("server.pem", cert);
        files.write("server.key", key);
        for _ in 0..2 {
            let error = tls.reload().unwrap_err();
            assert_eq!(error.field(), field, "{error}");
            assert!(error.to_string().contains(reason) && error.to_string().contains("/server."), "{error}");
        }
        assert_eq!(shown(server.addr, &ca).await, first, "{reason}");
    }
    std::fs::remove_file(files.path("server.pem")).unwrap();
    assert!(tls.reload().unwrap_err().to_string().contains("server.pem"));
    files.identity("server", &good);
    assert_eq!(tls.reload(), Ok(true));
    assert_eq!(tls.reload(), Ok(false), "nothing has changed since");
    assert_eq!(shown(server.addr, &ca).await, der(&good));
}

#[tokio::test]
async fn clients_of_an_authority_that_is_gone_are_refused_at_once() {
    let (files, ca, old, new) = (Files::new(), TestCa::new().unwrap(), TestCa::new().unwrap(), TestCa::new().unwrap());
    let options = server_options(&files, &ca).client_ca(files.write("clients.pem", old.pem()));
    let (server, tls) = serve_tls(router(), options).await;
    let trusting = ClientTlsConfig::default().ca(files.write("ca.pem", ca.pem()));
    let (of_old, of_new) =
        (files.identity("old", &old.client("a").unwrap()), files.identity("new", &new.client("a").unwrap()));
    // One client each, so that it would resume the session that it has.
    let old_client = client(https(&server), trusting.clone().identity(of_old.0, of_old.1));
    let new_client = client(https(&server), trusting.identity(of_new.0, of_new.1));
    for _ in 0..2 {
        assert!(fetch(&old_client, "/").await.is_ok() && fetch(&new_client, "/").await.is_err());
    }
    files.write("clients.pem", &format!("{}{}", old.pem(), new.pem()));
    assert_eq!(tls.reload(), Ok(true));
    assert!(fetch(&old_client, "/").await.is_ok() && fetch(&new_client, "/").await.is_ok());
    files.write("clients.pem", new.pem());
    assert_eq!(tls.reload(), Ok(true));
    assert!(fetch(&old_client, "/").await.is_err() && fetch(&new_client, "/").await.is_ok());
}

#[tokio::test]
async fn a_client_takes_new_authorities_and_a_new_certificate_over() {
    let (files, old, new) = (Files::new(), TestCa::new().unwrap(), TestCa::new().unwrap());
    let options = server_options(&files, &old).client_ca(files.write("clients.pem", old.pem()));
    let (server, tls) = serve_tls(router(), options).await;
    let (cert, key) = files.identity("client", &old.client("a").unwrap());
    let mut options = ClientTlsConfig::default().ca(files.write("ca.pem", old.pem())).identity(cert, key);
    options.reload_interval = Duration::from_millis(1);
    let client_tls = ClientTls::load(options).unwrap();
    let client = sharing(https(&server), client_tls.clone());
    assert_eq!(fetch(&client, "/").await.unwrap(), "ok");

    files.identity("server", &new.server(&["localhost", "127.0.0.1"]).unwrap());
    files.write("clients.pem", new.pem());
    assert_eq!(tls.reload(), Ok(true));
    assert!(fetch(&client, "/").await.is_err(), "neither knows the other");

    files.write("ca.pem", "rubbish");
    assert!(client_tls.reload().unwrap_err().to_string().contains("ca.pem"));
    files.identity("client", &new.client("a").unwrap());
    files.write("ca.pem", new.pem());
    client_tls.reload().unwrap();
    assert_eq!(fetch(&client, "/").await.unwrap(), "ok");
    assert!(handshake(server.addr, &new, &[], Some(&new.client("b").unwrap())).await.is_ok());
}
