//! Discovery by etcd, against a real one.

use std::time::Duration;

use base64::{Engine, prelude::BASE64_STANDARD};
use futures_util::StreamExt;
use sap_comm_core::{Endpoint, Registrar, Registration, RegistrationGuard, Resolution, Resolver};
use sap_comm_discovery::{Etcd, resolver_from_url};
use sap_comm_testkit::{
    TestkitError, free_port,
    guard::{Home, Server},
    install::locate,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::watching::next;

const LIMIT: Duration = Duration::from_secs(30);

struct EtcdServer {
    server: Server,
    address: String,
}

impl EtcdServer {
    async fn start() -> Result<Self, TestkitError> {
        let (client, peer) = (free_port()?, free_port()?);
        let (address, peer) = (format!("127.0.0.1:{client}"), format!("http://127.0.0.1:{peer}"));
        let home = Home::new("etcd")?;
        let data = home.dir().join("data").display().to_string();
        let url = format!("http://{address}");
        let cluster = format!("test={peer}");
        let server = home.guard(
            locate("etcd")?,
            [
                "--name=test",
                "--data-dir",
                &data,
                "--listen-client-urls",
                &url,
                "--advertise-client-urls",
                &url,
                "--listen-peer-urls",
                &peer,
                "--initial-advertise-peer-urls",
                &peer,
                "--initial-cluster",
                &cluster,
                "--logger=zap",
            ],
        )?;
        server.start().await?;
        let etcd = Self { server, address };
        etcd.ready().await?;
        Ok(etcd)
    }

    async fn ready(&self) -> Result<(), TestkitError> {
        let etcd = self.client();
        self.server
            .ready(LIMIT, || async { matches!(etcd.watch("ready").next().await, Some(Resolution::Snapshot(_))) })
            .await
    }

    async fn restart(&self) -> Result<(), TestkitError> {
        self.server.start().await?;
        self.ready().await
    }

    /// Calls the JSON gateway as any client would.
    async fn call(&self, path: &str, body: &str) {
        let mut stream = TcpStream::connect(&self.address).await.unwrap();
        let (address, length) = (&self.address, body.len());
        let request = format!(
            "POST {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}"
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{path}: {answer}");
    }

    fn client(&self) -> Etcd {
        Etcd::builder().server(&self.address).ttl(Duration::from_secs(2)).build().unwrap()
    }
}

async fn register(etcd: &Etcd, instance: &str, endpoint: &str) -> RegistrationGuard {
    let endpoint = Endpoint::parse(endpoint).unwrap().with_weight(2);
    let (service, instance) = ("user-service".into(), instance.into());
    etcd.register(Registration { service, instance, endpoint }).await.unwrap()
}

#[tokio::test]
async fn registrations_come_and_go() {
    let server = EtcdServer::start().await.unwrap();
    let etcd = server.client();
    let resolver = resolver_from_url(&format!("etcd://{}", server.address)).unwrap();
    let mut watch = resolver.watch("user-service");
    assert!(next(&mut watch).await.unwrap().is_empty());
    let first = register(&etcd, "a", "http://10.0.0.1:80").await;
    assert_eq!(next(&mut watch).await.unwrap(), ["http://10.0.0.1:80 (weight 2)"]);
    let _second = register(&etcd, "b", "http://10.0.0.2:80").await;
    assert_eq!(next(&mut watch).await.unwrap().len(), 2);
    drop(first);
    assert_eq!(next(&mut watch).await.unwrap(), ["http://10.0.0.2:80 (weight 2)"]);
    let mut other = resolver.watch("user");
    assert!(next(&mut other).await.unwrap().is_empty(), "a name that begins alike is another service");
}

#[tokio::test]
async fn a_process_that_dies_is_gone_when_its_lease_ends() {
    let server = EtcdServer::start().await.unwrap();
    let mut watch = server.client().watch("user-service");
    assert!(next(&mut watch).await.unwrap().is_empty());
    let etcd = server.client();
    let dying = tokio::task::spawn_blocking(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let guard = runtime.block_on(register(&etcd, "a", "http://10.0.0.1:80"));
        // The runtime goes first, so that nobody is left who could revoke.
        drop(runtime);
        drop(guard);
    });
    dying.await.unwrap();
    assert_eq!(next(&mut watch).await.unwrap().len(), 1);
    assert!(next(&mut watch).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_living_process_stays_beyond_its_lease_and_a_lost_key_comes_back() {
    let server = EtcdServer::start().await.unwrap();
    let etcd = server.client();
    let mut watch = etcd.watch("user-service");
    assert!(next(&mut watch).await.unwrap().is_empty());
    let _guard = register(&etcd, "a", "http://10.0.0.1:80").await;
    assert_eq!(next(&mut watch).await.unwrap().len(), 1);
    let key = BASE64_STANDARD.encode("sap-comm/services/user-service/a");
    server.call("/v3/kv/deleterange", &format!(r#"{{"key": "{key}"}}"#)).await;
    assert!(next(&mut watch).await.unwrap().is_empty());
    assert_eq!(next(&mut watch).await.unwrap().len(), 1, "the renewal notices");
}

#[tokio::test]
async fn a_killed_server_is_unavailable_and_its_registrations_outlive_it() {
    let server = EtcdServer::start().await.unwrap();
    let etcd = server.client();
    let mut watch = etcd.watch("user-service");
    assert!(next(&mut watch).await.unwrap().is_empty());
    let _guard = register(&etcd, "a", "http://10.0.0.1:80").await;
    assert_eq!(next(&mut watch).await.unwrap().len(), 1);
    server.server.kill().await.unwrap();
    assert!(next(&mut watch).await.is_err(), "never an empty set");
    server.restart().await.unwrap();
    loop {
        match next(&mut watch).await {
            Ok(endpoints) if !endpoints.is_empty() => break,
            Ok(_) | Err(_) => {}
        }
    }
}

#[tokio::test]
async fn a_frozen_server_is_unavailable_once_somebody_doubts() {
    let server = EtcdServer::start().await.unwrap();
    let etcd = server.client();
    let mut watch = etcd.watch("user-service");
    assert!(next(&mut watch).await.unwrap().is_empty());
    server.server.pause().await.unwrap();
    etcd.refresh("user-service");
    let error = next(&mut watch).await.unwrap_err();
    assert!(error.contains("no answer within"), "{error}");
    server.server.resume().await.unwrap();
    while next(&mut watch).await.is_err() {}
}

#[tokio::test]
async fn a_compaction_loses_nothing() {
    let server = EtcdServer::start().await.unwrap();
    let etcd = server.client();
    let guard = register(&etcd, "a", "http://10.0.0.1:80").await;
    let mut watch = etcd.watch("user-service");
    assert_eq!(next(&mut watch).await.unwrap().len(), 1);
    // The watch is not polled meanwhile: when it is, its revision is compacted away.
    drop(guard);
    let _other = register(&etcd, "b", "http://10.0.0.2:80").await;
    for _ in 0..5 {
        server.call("/v3/kv/put", r#"{"key": "eA==", "value": "eA=="}"#).await;
    }
    server.call("/v3/kv/compaction", r#"{"revision": "6", "physical": true}"#).await;
    while next(&mut watch).await.unwrap() != ["http://10.0.0.2:80 (weight 2)"] {}
}

#[tokio::test]
async fn nobody_at_the_address_is_a_clear_error() {
    let port = free_port().unwrap();
    let etcd = Etcd::builder().server(format!("127.0.0.1:{port}")).build().unwrap();
    let endpoint = Endpoint::parse("http://10.0.0.1:80").unwrap();
    let registration = Registration { service: "user-service".into(), instance: "a".into(), endpoint };
    let error = etcd.register(registration).await.unwrap_err().to_string();
    assert!(error.contains("user-service") && error.contains(&port.to_string()), "{error}");
}
