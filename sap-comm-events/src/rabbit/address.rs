//! Where a broker is, and who enters it.

use std::{fmt, sync::Arc};

use percent_encoding::percent_decode_str;
use rustls::ClientConfig;
use url::Url;

use crate::{
    ConnectError, TlsConfig,
    amqp::{Login, Mechanism},
    tls::client_config,
};

/// Two missed heartbeats, 20 s, and a silent peer is taken for dead.
const HEARTBEAT: u16 = 10;

/// A broker's URL, read; nothing of it shows but what may.
pub(super) struct Address {
    pub(super) host: String,
    pub(super) port: u16,
    /// Without the connection's name.
    pub(super) login: Login,
    /// For `amqps://`.
    pub(super) tls: Option<Arc<ClientConfig>>,
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
    let mut url = Url::parse(url).map_err(invalid)?;
    let node =
        Url::parse(&format!("amqp://{node}")).map_err(|error| invalid(format_args!("node {node:?}: {error}")))?;
    let moved = url.set_host(node.host_str()).is_ok() && url.set_port(node.port()).is_ok();
    if moved { Ok(url.into()) } else { Err(invalid("it has no host that a node could stand for")) }
}

impl Address {
    /// Reads a URL and the certificates that go with it.
    pub(super) fn parse(text: &str, tls: &TlsConfig) -> Result<Self, ConnectError> {
        let url = Url::parse(text).map_err(invalid)?;
        let Some(host) = url.host_str().filter(|_| !url.cannot_be_a_base()) else {
            return Err(invalid("it names no host: write amqp://user:password@host:5672/vhost"));
        };
        let (is_encrypted, port) = match url.scheme() {
            "amqp" => (false, 5672),
            "amqps" => (true, 5671),
            other => return Err(invalid(format_args!("{other:?} is neither amqp nor amqps"))),
        };
        // Certificates are looked at in any case, so that a missing one shows before it is needed.
        let config = if is_encrypted || *tls != TlsConfig::default() { Some(client_config(tls)?) } else { None };
        Ok(Self {
            host: decoded("host", host.trim_matches(['[', ']']))?,
            port: url.port().unwrap_or(port),
            login: login(&url)?,
            tls: config.filter(|_| is_encrypted).map(Arc::new),
        })
    }

    /// Host and port.
    pub(super) fn shown(&self) -> String {
        let (host, port) = (&self.host, self.port);
        if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
    }
}

fn login(url: &Url) -> Result<Login, ConnectError> {
    let vhost = match url.path().strip_prefix('/').unwrap_or_default() {
        "" => "/".to_owned(),
        path if path.contains('/') => return Err(invalid("a slash in the name of a virtual host is written %2f")),
        path => decoded("virtual host", path)?,
    };
    let user = if url.username().is_empty() { "guest".to_owned() } else { decoded("user", url.username())? };
    let password = url.password().map_or_else(|| Ok("guest".to_owned()), |password| decoded("password", password))?;
    for (what, length) in [("virtual host", vhost.len()), ("user", user.len())] {
        if length > 255 {
            return Err(invalid(format_args!("its {what} is over 255 bytes")));
        }
    }
    let (mut heartbeat, mut mechanism) = (HEARTBEAT, Mechanism::default());
    for (name, value) in url.query_pairs() {
        match &*name {
            "heartbeat" => {
                let seconds = value.parse();
                heartbeat =
                    seconds.map_err(|_| invalid(format_args!("heartbeat={value:?} is no number of seconds")))?;
            }
            "auth_mechanism" if value.eq_ignore_ascii_case("plain") => mechanism = Mechanism::Plain,
            "auth_mechanism" if value.eq_ignore_ascii_case("external") => mechanism = Mechanism::External,
            "auth_mechanism" => {
                return Err(invalid(format_args!("auth_mechanism={value:?} is neither plain nor external")));
            }
            // Other clients have options of their own.
            _ => tracing::debug!(option = &*name, "an option of the broker's URL means nothing here"),
        }
    }
    Ok(Login { mechanism, user, password, vhost, name: String::new(), heartbeat })
}

fn decoded(what: &str, text: &str) -> Result<String, ConnectError> {
    let decoded = percent_decode_str(text).decode_utf8();
    decoded.map(Into::into).map_err(|_| invalid(format_args!("its {what} is not UTF-8")))
}

fn invalid(reason: impl fmt::Display) -> ConnectError {
    ConnectError::Url { reason: reason.to_string() }
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
        assert_eq!((address.shown().as_str(), address.login.vhost.as_str()), ("[::1]:5672", "/"));
        assert_eq!(address.login.heartbeat, HEARTBEAT);
        let address = parse("amqps://u:p@rabbit/%2fteam?heartbeat=3").unwrap();
        assert_eq!((address.shown().as_str(), address.login.vhost.as_str()), ("rabbit:5671", "/team"));
        assert_eq!((address.login.heartbeat, address.tls.is_some()), (3, true));
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
            assert_eq!((node.login.user.as_str(), node.login.vhost.as_str()), ("u", "v"));
            assert!(node.tls.is_some() && node.login.heartbeat == 3);
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
