use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{Extension, Router, routing::get};
use sap_comm_core::{Context, Endpoint, Principal, StaticResolver};
use sap_comm_rest::{
    gateway::{Gateway, Route},
    server::auth::{Authenticator, CurrentUser, authenticate, require_scope},
    tls::{CertificateName, ClientTls, ClientTlsConfig, TlsConnection},
};
use sap_comm_testkit::tls::TestCa;
use serde_json::{Value, json};

use super::support::{causes, client, get as fetch, https, serve_tls, server_options};
use crate::support::{Files, ask, serve, serve_with};

const SPIFFE: &str = "spiffe://sap.example/user-service";

/// Tells who called, and counts the calls.
fn router(calls: &Arc<AtomicUsize>) -> Router {
    let calls = Arc::clone(calls);
    let who = move |Extension(tls): Extension<TlsConnection>| {
        calls.fetch_add(1, Ordering::SeqCst);
        async move {
            tls.peer.map_or_else(
                || "nobody".to_owned(),
                |peer| format!("{:?} {:?} {:?}", peer.common_name, peer.dns_names, peer.uris),
            )
        }
    };
    Router::new().route("/who", get(who))
}

#[tokio::test]
async fn a_client_without_a_certificate_of_ours_is_refused() {
    let (files, ca, other) = (Files::new(), TestCa::new().unwrap(), TestCa::new().unwrap());
    let calls = Arc::default();
    let options = server_options(&files, &ca).client_ca(files.write("clients.pem", ca.pem()));
    let (server, _tls) = serve_tls(router(&calls), options).await;
    let trusting = ClientTlsConfig::default().ca(files.write("ca.pem", ca.pem()));
    let with = |name: &str, identity| {
        let (cert, key) = files.identity(name, &identity);
        trusting.clone().identity(cert, key)
    };
    for (what, options, alert) in [
        ("no certificate", trusting.clone(), "CertificateRequired"),
        ("another authority's", with("foreign", other.client("user-service").unwrap()), "received fatal alert"),
        ("a server's", with("server-as-client", ca.server(&["user-service"]).unwrap()), "received fatal alert"),
    ] {
        let error = fetch(&client(https(&server), options), "/who").await.unwrap_err();
        assert!(causes(&error).contains(alert), "{what}: {}", causes(&error));
    }
    assert_eq!(calls.load(Ordering::SeqCst), 0, "no request came through");
    let known = with("client", ca.client_named("user-service", &["users.internal", SPIFFE]).unwrap());
    assert_eq!(
        fetch(&client(https(&server), known), "/who").await.unwrap(),
        format!(r#"Some("user-service") ["users.internal"] ["{SPIFFE}"]"#)
    );
    assert_eq!(calls.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_certificate_may_be_optional_and_must_not_be_wrong() {
    let (files, ca, other) = (Files::new(), TestCa::new().unwrap(), TestCa::new().unwrap());
    let mut options = server_options(&files, &ca).client_ca(files.write("clients.pem", ca.pem()));
    options.client_cert_optional = true;
    let (server, _tls) = serve_tls(router(&Arc::default()), options).await;
    let trusting = ClientTlsConfig::default().ca(files.write("ca.pem", ca.pem()));
    assert_eq!(fetch(&client(https(&server), trusting.clone()), "/who").await.unwrap(), "nobody");
    let (cert, key) = files.identity("foreign", &other.client("a").unwrap());
    assert!(fetch(&client(https(&server), trusting.identity(cert, key)), "/who").await.is_err());
}

#[tokio::test]
async fn a_certificate_stands_for_a_service_only_where_that_was_said() {
    let (files, ca) = (Files::new(), TestCa::new().unwrap());
    let authenticator = Authenticator::builder()
        .client_certificate(CertificateName::Uri(SPIFFE.into()), Principal::service("user-service", ["users:read"]))
        .client_certificate(
            CertificateName::CommonName("old-service".into()),
            Principal::service("old-service", ["users:read"]),
        )
        .build()
        .unwrap();
    let router = Router::new()
        .route("/who", get(async |user: CurrentUser| user.id.clone()).layer(require_scope("users:read")))
        .layer(authenticate(authenticator));
    let options = server_options(&files, &ca).client_ca(files.write("clients.pem", ca.pem()));
    let (server, _tls) = serve_tls(router, options).await;
    let trusting = ClientTlsConfig::default().ca(files.write("ca.pem", ca.pem()));
    let call = async |name: &str, names: &[&str]| {
        let (cert, key) = files.identity("client", &ca.client_named(name, names).unwrap());
        fetch(&client(https(&server), trusting.clone().identity(cert, key)), "/who").await
    };
    assert_eq!(call("anything", &[SPIFFE]).await.unwrap(), "user-service");
    assert_eq!(call("old-service", &[]).await.unwrap(), "old-service");
    for (name, names) in [
        ("user-service", &[][..]),
        ("old-service", &["other.internal"]),
        ("anything", &["spiffe://sap.example/user-service/"]),
        ("anything", &["spiffe://sap.example/user-servic"]),
        (SPIFFE, &[]),
    ] {
        let error = call(name, names).await.unwrap_err();
        assert!(error.to_string().contains("401"), "{name} {names:?}: {error}");
    }
}

#[tokio::test]
async fn a_certificate_makes_a_peer_whose_principal_deadline_and_attempt_count() {
    let (files, ca) = (Files::new(), TestCa::new().unwrap());
    let authenticator = Authenticator::builder()
        .client_certificate(CertificateName::Uri(SPIFFE.into()), Principal::service("user-service", ["delegate"]))
        .build()
        .unwrap();
    let tell = async || {
        let context = Context::current();
        axum::Json(json!({
            "principal": context.principal().map(|principal| principal.id.clone()),
            "attempt": context.attempt(),
            "remaining": context.remaining().map(|remaining| remaining.as_millis() as u64),
        }))
    };
    let router = Router::new().route("/", get(tell)).layer(authenticate(authenticator).optional());
    let options = server_options(&files, &ca).client_ca(files.write("clients.pem", ca.pem()));
    let (server, _tls) = serve_tls(router, options).await;
    let (cert, key) = files.identity("client", &ca.client_named("anything", &[SPIFFE]).unwrap());
    let identity = ClientTlsConfig::default().ca(files.write("ca.pem", ca.pem())).identity(cert, key);
    let limit = Duration::from_secs(9);
    let context =
        Context::root().with_principal(Principal::user("usr_1", ["admin"])).with_attempt(2).with_timeout(limit);
    let peer = client(https(&server), identity.clone());
    let told: Value = context.clone().scope(peer.get("/", []).fetch()).await.unwrap();
    assert_eq!((&told["principal"], &told["attempt"]), (&"usr_1".into(), &2.into()));
    assert!(told["remaining"].as_u64().is_some_and(|left| left <= 9_000), "{told}");

    let headers = async |headers: http::HeaderMap| {
        let named = headers.get("x-principal").is_some_and(|said| said != "-");
        axum::Json(json!(named || headers.contains_key("x-timeout-ms")))
    };
    let plain = serve(Router::new().route("/", get(headers))).await;
    let said: Value = context.scope(client(plain.endpoint(), identity.clone()).get("/", []).fetch()).await.unwrap();
    assert_eq!(said, false, "no certificate is shown without TLS");

    let through = async |endpoint: Endpoint| {
        let resolver = StaticResolver::new();
        resolver.set("user-service", [endpoint]);
        let gateway = Gateway::builder()
            .resolver(Arc::new(resolver))
            .route(Route::new("/").to("user-service").public().timeout(limit))
            .upstream_tls(ClientTls::load(identity.clone()).unwrap())
            .build()
            .unwrap();
        let edge = serve_with(gateway.into_router(), "127.0.0.1:0", Default::default()).await;
        ask(edge.addr, "GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.json()
    };
    let told = through(Endpoint::parse(&https(&server).to_string()).unwrap()).await;
    assert_eq!((&told["principal"], &told["attempt"]), (&Value::Null, &1.into()));
    assert!(told["remaining"].as_u64().is_some_and(|left| left <= 9_000), "{told}");
    assert_eq!(through(plain.endpoint()).await, false, "no certificate is shown without TLS");
}
