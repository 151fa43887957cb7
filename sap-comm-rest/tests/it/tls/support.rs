use std::{net::SocketAddr, sync::Arc};

use axum::Router;
use rustls::{
    ClientConfig, RootCertStore,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject},
};
use sap_comm_core::Endpoint;
use sap_comm_rest::{
    client::{Client, ClientConfig as Options, ClientError},
    server::{KitConfig, Server, ServerConfig, kit},
    tls::{ClientTls, ClientTlsConfig, ServerTls, ServerTlsConfig},
};
use sap_comm_testkit::tls::{Identity, TestCa};
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};

use crate::support::{Files, Running, client_of, serve_server};

/// Options of a server of 127.0.0.1 and `localhost`, whose files are written.
pub(crate) fn server_options(files: &Files, ca: &TestCa) -> ServerTlsConfig {
    let (cert, key) = files.identity("server", &ca.server(&["localhost", "127.0.0.1"]).unwrap());
    ServerTlsConfig::new(cert, key)
}

/// Serves `router` within the kit, over TLS.
pub(crate) async fn serve_tls(router: Router, options: ServerTlsConfig) -> (Running, ServerTls) {
    let tls = ServerTls::load(options).unwrap();
    let server = Server::bind("127.0.0.1:0", ServerConfig::default()).await.unwrap().with_tls(tls.clone());
    (serve_server(server, kit(router, KitConfig::default())), tls)
}

pub(crate) fn https(server: &Running) -> Endpoint {
    Endpoint::parse(&format!("https://{}", server.addr)).unwrap()
}

/// A client that makes a connection for each call, and calls once.
pub(crate) fn client(endpoint: Endpoint, options: ClientTlsConfig) -> Client {
    sharing(endpoint, ClientTls::load(options).unwrap())
}

pub(crate) fn sharing(endpoint: Endpoint, tls: ClientTls) -> Client {
    let mut config = Options::default();
    config.max_idle_connections = 0;
    // Two cores make many handshakes here.
    config.connect_timeout = crate::support::PATIENCE;
    config.timeout = crate::support::PATIENCE;
    client_of(endpoint).config(config).tls(tls).without_circuit_breaker().without_retry().build().unwrap()
}

pub(crate) async fn get(client: &Client, path: &str) -> Result<String, ClientError> {
    let response = client.get(path, []).send().await?;
    Ok(String::from_utf8(response.bytes().await?.into()).unwrap())
}

/// Every cause of an error.
pub(crate) fn causes(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(&format!("; {error}"));
        cause = error.source();
    }
    text
}

/// A handshake as any client makes it; with these protocols, and this certificate.
pub(crate) async fn handshake(
    addr: SocketAddr,
    ca: &TestCa,
    alpn: &[&str],
    identity: Option<&Identity>,
) -> std::io::Result<TlsStream<TcpStream>> {
    let mut config = trusting(ca, identity);
    config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    connect(addr, "localhost", config).await
}

fn trusting(ca: &TestCa, identity: Option<&Identity>) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(ca.pem().as_bytes()).unwrap()).unwrap();
    let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots);
    match identity {
        None => builder.with_no_client_auth(),
        Some(identity) => {
            let cert = CertificateDer::from_pem_slice(identity.certificate.as_bytes()).unwrap();
            let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes()).unwrap();
            builder.with_client_auth_cert(vec![cert], key).unwrap()
        }
    }
}

async fn connect(addr: SocketAddr, name: &str, config: ClientConfig) -> std::io::Result<TlsStream<TcpStream>> {
    let stream = TcpStream::connect(addr).await?;
    let name = ServerName::try_from(name.to_owned()).unwrap();
    TlsConnector::from(Arc::new(config)).connect(name, stream).await
}

/// The certificate that a server shows now.
pub(crate) async fn shown(addr: SocketAddr, ca: &TestCa) -> Vec<u8> {
    shown_to(addr, ca, "localhost").await
}

/// The certificate that a server shows to a client that asks for `name`.
pub(crate) async fn shown_to(addr: SocketAddr, ca: &TestCa, name: &str) -> Vec<u8> {
    let stream = connect(addr, name, trusting(ca, None)).await.unwrap();
    stream.get_ref().1.peer_certificates().unwrap()[0].to_vec()
}

pub(crate) fn der(identity: &Identity) -> Vec<u8> {
    CertificateDer::from_pem_slice(identity.certificate.as_bytes()).unwrap().to_vec()
}
