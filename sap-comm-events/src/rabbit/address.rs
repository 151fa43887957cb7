//! Where a broker is, and who enters it.

use std::{fs, path::Path, sync::Arc};

use lapin::{
    tcp::{OwnedIdentity, OwnedTLSConfig},
    uri::{AMQPScheme, AMQPUri},
};
use sap_comm_core::config::ConfigError;
use tokio::sync::OnceCell;
use url::Url;

use super::version::Version;
use crate::{ConnectError, TlsConfig};

/// Two missed heartbeats, 20 s, and a silent peer is taken for dead.
const HEARTBEAT: u16 = 10;

/// A broker's URL, read; nothing of it shows but what may.
pub(super) struct Address {
    pub(super) uri: AMQPUri,
    identity: Option<(Vec<u8>, Vec<u8>)>,
    authorities: Option<String>,
    /// What the broker said it is, once somebody asked.
    pub(super) version: OnceCell<Version>,
}

/// The nodes of one broker, tried in turn.
#[derive(Clone)]
pub(super) struct Addresses {
    nodes: Vec<Arc<Address>>,
    current: usize,
}

impl Addresses {
    /// Reads one URL, or several with commas between them; `nodes` are further hosts for the first of them.
    pub(super) fn parse(text: &str, nodes: &[String], tls: &TlsConfig) -> Result<Self, ConnectError> {
        let mut urls: Vec<_> = urls(text).into_iter().map(str::to_owned).collect();
        let first = urls[0].clone();
        for node in nodes {
            urls.push(at_node(&first, node)?);
        }
        let nodes = urls.iter().map(|url| Address::parse(url, tls).map(Arc::new));
        Ok(Self { nodes: nodes.collect::<Result<_, _>>()?, current: 0 })
    }

    /// The same nodes in an order of chance, so that the connections of many processes spread over them.
    pub(super) fn shuffled(mut self) -> Self {
        fastrand::shuffle(&mut self.nodes);
        self
    }

    pub(super) fn current(&self) -> &Arc<Address> {
        &self.nodes[self.current]
    }

    /// Goes on to the next node; whether a round is complete.
    pub(super) fn advance(&mut self) -> bool {
        self.current = (self.current + 1) % self.nodes.len();
        self.current == 0
    }

    pub(super) fn len(&self) -> usize {
        self.nodes.len()
    }
}

/// Splits at the commas that a URL follows: a password may hold others.
fn urls(text: &str) -> Vec<&str> {
    let begins = |rest: &str| ["amqp://", "amqps://"].iter().any(|scheme| rest.trim_start().starts_with(scheme));
    let mut urls = Vec::new();
    let mut start = 0;
    for (comma, _) in text.match_indices(',') {
        if begins(&text[comma + 1..]) {
            urls.push(text[start..comma].trim());
            start = comma + 1;
        }
    }
    urls.push(text[start..].trim());
    urls
}

/// `url` with the host and port of `node`.
fn at_node(url: &str, node: &str) -> Result<String, ConnectError> {
    let invalid = |reason: String| ConnectError::Url { reason };
    let mut url = Url::parse(url).map_err(|error| invalid(error.to_string()))?;
    let node = Url::parse(&format!("amqp://{node}")).map_err(|error| invalid(format!("node {node:?}: {error}")))?;
    let moved = url.set_host(node.host_str()).is_ok() && url.set_port(node.port()).is_ok();
    if moved { Ok(url.into()) } else { Err(invalid("it has no host that a node could stand for".to_owned())) }
}

impl Address {
    /// Reads a URL and the certificates that go with it.
    pub(super) fn parse(text: &str, tls: &TlsConfig) -> Result<Self, ConnectError> {
        let invalid = |reason: String| ConnectError::Url { reason };
        let url = Url::parse(text).map_err(|error| invalid(error.to_string()))?;
        // Also keeps the whole text out of the next parser's errors.
        let Some(host) = url.host_str().filter(|_| !url.cannot_be_a_base()) else {
            return Err(invalid("it names no host: write amqp://user:password@host:5672/vhost".to_owned()));
        };
        let mut uri: AMQPUri = text.parse().map_err(invalid)?;
        uri.authority.host = host.trim_matches(['[', ']']).to_owned();
        if uri.vhost.is_empty() {
            uri.vhost = "/".to_owned();
        }
        for (what, length) in [("virtual host", uri.vhost.len()), ("user", uri.authority.userinfo.username.len())] {
            if length > 255 {
                return Err(invalid(format!("its {what} is over 255 bytes")));
            }
        }
        uri.query.heartbeat.get_or_insert(HEARTBEAT);
        let identity = match (&tls.cert_file, &tls.key_file) {
            (Some(cert), Some(key)) => Some((read("tls.cert_file", cert)?, read("tls.key_file", key)?)),
            _ => None,
        };
        let authorities = match &tls.ca_file {
            Some(file) => Some(pem_text("tls.ca_file", file)?),
            None => None,
        };
        Ok(Self { uri, identity, authorities, version: OnceCell::new() })
    }

    /// Host and port.
    pub(super) fn shown(&self) -> String {
        let (host, port) = (&self.uri.authority.host, self.uri.authority.port);
        if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
    }

    pub(super) fn user(&self) -> String {
        self.uri.authority.userinfo.username.clone()
    }

    pub(super) fn is_encrypted(&self) -> bool {
        self.uri.scheme == AMQPScheme::AMQPS
    }

    pub(super) fn tls(&self) -> OwnedTLSConfig {
        OwnedTLSConfig {
            identity: self.identity.clone().map(|(pem, key)| OwnedIdentity::PKCS8 { pem, key }),
            cert_chain: self.authorities.clone(),
        }
    }
}

fn read(option: &str, file: &Path) -> Result<Vec<u8>, ConnectError> {
    fs::read(file).map_err(|error| ConfigError::new(option, format_args!("{}: {error}", file.display())).into())
}

fn pem_text(option: &str, file: &Path) -> Result<String, ConnectError> {
    let invalid = |reason: &str| ConfigError::new(option, format_args!("{}: {reason}", file.display()));
    let text = String::from_utf8(read(option, file)?).map_err(|_| invalid("not a PEM file"))?;
    if !text.contains("-----BEGIN CERTIFICATE-----") {
        return Err(invalid("holds no certificate").into());
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(url: &str) -> Result<Address, ConnectError> {
        Address::parse(url, &TlsConfig::default())
    }

    #[test]
    fn a_url_is_read_with_its_defaults() {
        let address = parse("amqp://guest:secret@[::1]").unwrap();
        assert_eq!((address.shown().as_str(), address.uri.vhost.as_str()), ("[::1]:5672", "/"));
        assert_eq!(address.uri.query.heartbeat, Some(HEARTBEAT));
        let address = parse("amqps://u:p@rabbit/%2fteam?heartbeat=3").unwrap();
        assert_eq!((address.shown().as_str(), address.uri.vhost.as_str()), ("rabbit:5671", "/team"));
        assert_eq!((address.uri.query.heartbeat, address.is_encrypted()), (Some(3), true));
    }

    #[test]
    fn several_urls_stand_between_commas() {
        let shown = |text: &str| {
            let mut addresses = Addresses::parse(text, &[], &TlsConfig::default()).unwrap();
            let mut shown = vec![addresses.current().shown()];
            while !addresses.advance() {
                shown.push(addresses.current().shown());
            }
            shown
        };
        assert_eq!(shown("amqp://a:1/v, amqps://u:p@b/v,amqp://c:3"), ["a:1", "b:5671", "c:3"]);
        assert_eq!(shown("amqp://u:p,w@a:1"), ["a:1"]);
        assert!(Addresses::parse("amqp://a,amqp://", &[], &TlsConfig::default()).is_err());
    }

    #[test]
    fn nodes_are_entered_as_the_url_says() {
        let nodes = ["b".to_owned(), "c:1".to_owned(), "[::1]:2".to_owned()];
        let addresses = Addresses::parse("amqps://u:p@a:9/v?heartbeat=3", &nodes, &TlsConfig::default()).unwrap();
        let shown: Vec<_> = addresses.nodes.iter().map(|node| node.shown()).collect();
        assert_eq!(shown, ["a:9", "b:5671", "c:1", "[::1]:2"]);
        for node in &addresses.nodes {
            assert_eq!((node.user().as_str(), node.uri.vhost.as_str()), ("u", "v"));
            assert!(node.is_encrypted() && node.uri.query.heartbeat == Some(3));
        }
    }

    #[test]
    fn a_wrong_url_is_explained_without_its_password() {
        for url in
            ["amqp:guest:secret", "amqp://u:secret@", "amqp://u:secret@h:99999/", "amqp://u:secret@h/?heartbeat=x"]
        {
            let error = parse(url).map(|address| address.shown()).unwrap_err().to_string();
            assert!(error.starts_with("invalid broker URL") && !error.contains("secret"), "{error}");
        }
    }

    #[test]
    fn a_missing_certificate_file_is_named() {
        let tls = TlsConfig { ca_file: Some("/nowhere/ca.pem".into()), ..TlsConfig::default() };
        let error = Address::parse("amqps://h", &tls).map(|address| address.shown()).unwrap_err().to_string();
        assert!(error.contains("tls.ca_file") && error.contains("/nowhere/ca.pem"), "{error}");
    }
}
