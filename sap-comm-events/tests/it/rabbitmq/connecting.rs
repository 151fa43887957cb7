//! Making a connection, and what is said when there is none.

use std::time::Duration;

use sap_comm_events::{Broker, BrokerConfig, BrokerState, ConnectError, TlsConfig};
use sap_comm_testkit::{Direction, RabbitNode, Relay, free_port, tls::TestCa};
use tokio::time::Instant;

use super::{config, numbers, soon, vhost};
use crate::events::UserCreated;

async fn refused(url: &str) -> ConnectError {
    let config = config().connect_timeout(Duration::from_secs(2));
    let error = soon(Broker::connect(url, config)).await.map(drop).unwrap_err();
    assert!(!error.to_string().contains("secret"), "{error}");
    error
}

#[tokio::test]
async fn a_wrong_password_is_named_without_the_password() {
    let uri = vhost().await.replace("guest:guest@", "guest:secret@");
    let error = refused(&uri).await;
    assert!(matches!(&error, ConnectError::Credentials { user, .. } if user == "guest"), "{error:?}");
}

#[tokio::test]
async fn an_unknown_vhost_is_named() {
    let uri = RabbitNode::shared().await.unwrap().uri().replace("%2f", "nowhere");
    let error = refused(&uri).await;
    assert!(matches!(&error, ConnectError::Vhost { vhost, .. } if vhost == "nowhere"), "{error:?}");
}

#[tokio::test]
async fn a_port_that_nobody_listens_on_is_named() {
    let port = free_port().unwrap();
    let error = refused(&format!("amqp://guest:secret@127.0.0.1:{port}/%2f")).await;
    assert!(
        matches!(&error, ConnectError::Unreachable { address, .. } if *address == format!("127.0.0.1:{port}")),
        "{error:?}"
    );
}

#[tokio::test]
async fn an_unknown_host_is_named() {
    let error = refused("amqp://guest:secret@nowhere.invalid").await;
    assert!(error.to_string().contains("nowhere.invalid:5672"), "{error:?}");
}

#[tokio::test]
async fn an_unknown_scheme_is_named() {
    let error = refused("kafka://guest:secret@127.0.0.1").await;
    assert!(error.to_string().contains("\"kafka\"") && error.to_string().contains("amqp"), "{error}");
    let error = refused("guest:secret@host").await;
    assert!(matches!(error, ConnectError::Scheme { .. }), "{error:?}");
}

#[tokio::test]
async fn a_silent_broker_is_given_up_in_time() {
    let node = RabbitNode::shared().await.unwrap();
    let relay = Relay::start(format!("127.0.0.1:{}", node.port())).await.unwrap();
    relay.freeze(Direction::Both);
    let start = Instant::now();
    let error = refused(&relay.through(&node.uri())).await;
    assert!(matches!(error, ConnectError::Timeout { .. }), "{error:?}");
    assert!(start.elapsed() < Duration::from_secs(5));
    // A frozen relay does not see its clients go.
    relay.pass().await.unwrap();
    super::eventually("the silent connection is dropped", || relay.open_connections() == 0).await;
}

#[tokio::test]
async fn a_broker_that_is_late_is_awaited() {
    let node = RabbitNode::shared().await.unwrap();
    let relay = Relay::start(format!("127.0.0.1:{}", node.port())).await.unwrap();
    relay.cut().await.unwrap();
    let uri = relay.through(&vhost().await);
    let connecting = tokio::spawn(async move { Broker::connect(&uri, config().connect_timeout(super::LIMIT)).await });
    tokio::time::sleep(Duration::from_millis(300)).await;
    relay.pass().await.unwrap();
    let broker = soon(connecting).await.unwrap().unwrap();
    assert_eq!(broker.health().state, BrokerState::Connected);
}

#[tokio::test]
async fn a_dropped_broker_leaves_no_connection() {
    let node = RabbitNode::shared().await.unwrap();
    let relay = Relay::start(format!("127.0.0.1:{}", node.port())).await.unwrap();
    let broker = Broker::connect(&relay.through(&vhost().await), config()).await.unwrap();
    let (router, _numbers) = numbers();
    let handle = broker.subscribe("user.events", router).await.unwrap();
    assert_eq!(relay.open_connections(), 2);
    drop(handle);
    drop(broker);
    super::eventually("connections end with the broker", || relay.open_connections() == 0).await;
}

#[tokio::test]
async fn tls_with_a_private_authority_works_and_without_it_is_refused() {
    let node = RabbitNode::builder().verify_peer().start().await.unwrap();
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let identity = node.client_identity("user-service").unwrap().unwrap();
    let mut tls = TlsConfig::default();
    let uri = node.tls_uri().unwrap();
    let config =
        |tls: &TlsConfig| BrokerConfig::new("user-service").connect_timeout(Duration::from_secs(5)).tls(tls.clone());
    let error = Broker::connect(&uri, config(&tls)).await.map(drop).unwrap_err();
    assert!(matches!(error, ConnectError::Tls { .. }), "{error:?}");
    tls.ca_file = Some(file("other.pem", TestCa::new().unwrap().pem()));
    let error = Broker::connect(&uri, config(&tls)).await.map(drop).unwrap_err();
    assert!(matches!(error, ConnectError::Tls { .. }), "another authority: {error:?}");
    tls.ca_file = Some(file("ca.pem", node.ca_pem().unwrap()));
    let error = Broker::connect(&uri, config(&tls)).await.map(drop).unwrap_err();
    assert!(
        matches!(&error, ConnectError::Tls { reason, .. } if reason.to_lowercase().contains("certificate")),
        "without a client certificate: {error:?}"
    );
    tls.cert_file = Some(file("client.pem", &identity.certificate));
    tls.key_file = Some(file("client.key", &identity.key));
    let broker = Broker::connect(&uri, config(&tls)).await.unwrap();
    let (router, mut numbers) = numbers();
    let _handle = broker.subscribe("user.events", router).await.unwrap();
    broker.publish("user.events", UserCreated::numbered(1)).await.unwrap();
    assert_eq!(soon(numbers.recv()).await, Some(1));
}

#[tokio::test]
async fn a_certificate_logs_in_without_a_password() {
    let node = RabbitNode::builder()
        .verify_peer()
        .plugin("rabbitmq_auth_mechanism_ssl")
        .config("auth_mechanisms.1 = EXTERNAL")
        .config("ssl_cert_login_from = common_name")
        .start()
        .await
        .unwrap();
    node.ctl(&["add_user", "user-service", "unused"]).await.unwrap();
    node.ctl(&["set_permissions", "user-service", ".*", ".*", ".*"]).await.unwrap();
    let dir = tempfile::tempdir().unwrap();
    let tls = |user: &str| {
        let identity = node.client_identity(user).unwrap().unwrap();
        let file = |name: &str, text: &str| {
            let path = dir.path().join(format!("{user}.{name}"));
            std::fs::write(&path, text).unwrap();
            Some(path)
        };
        TlsConfig {
            ca_file: file("ca.pem", node.ca_pem().unwrap()),
            cert_file: file("pem", &identity.certificate),
            key_file: file("key", &identity.key),
        }
    };
    let uri = node.tls_uri().unwrap();
    let external = format!("{uri}?auth_mechanism=external");
    let broker = Broker::connect(&external, config().tls(tls("user-service"))).await.unwrap();
    let (router, mut numbers) = numbers();
    let _handle = broker.subscribe("user.events", router).await.unwrap();
    broker.publish("user.events", UserCreated::numbered(1)).await.unwrap();
    assert_eq!(soon(numbers.recv()).await, Some(1));
    let error = soon(Broker::connect(&external, config().tls(tls("stranger")))).await.map(drop).unwrap_err();
    assert!(matches!(error, ConnectError::Credentials { .. }), "{error:?}");
    let error = soon(Broker::connect(&uri, config().tls(tls("user-service")))).await.map(drop).unwrap_err();
    assert!(error.to_string().contains("offers EXTERNAL, and not PLAIN"), "{error:?}");
}

#[tokio::test]
async fn an_expired_certificate_is_refused_and_named() {
    let node = RabbitNode::builder().expired_certificate().start().await.unwrap();
    let dir = tempfile::tempdir().unwrap();
    let ca_file = dir.path().join("ca.pem");
    std::fs::write(&ca_file, node.ca_pem().unwrap()).unwrap();
    let tls = TlsConfig { ca_file: Some(ca_file), ..TlsConfig::default() };
    let error = soon(Broker::connect(&node.tls_uri().unwrap(), config().tls(tls))).await.map(drop).unwrap_err();
    let reason = error.to_string().to_lowercase();
    assert!(matches!(error, ConnectError::Tls { .. }) && reason.contains("expired"), "{error:?}");
}
