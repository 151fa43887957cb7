use std::net::{IpAddr, SocketAddr};

use axum::extract::ConnectInfo;
use http::{Extensions, HeaderMap, HeaderName, HeaderValue};
use sap_comm_core::config::ConfigError;

use super::{Scheme, live::is_local};
use crate::network::Network;

pub(super) const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
pub(super) const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
pub(super) const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
pub(super) const X_FORWARDED_PREFIX: HeaderName = HeaderName::from_static("x-forwarded-prefix");

/// Where a request came from, and what to tell services about it.
#[derive(Debug, Clone, Default)]
pub(super) struct Client {
    /// The other end of the connection.
    pub(super) peer: Option<SocketAddr>,
    /// The client's own address, as far as trusted proxies say.
    pub(super) address: Option<IpAddr>,
    /// The same as text, where its connection has it.
    pub(super) address_text: Option<HeaderValue>,
    forwarded_for: Option<HeaderValue>,
    forwarded_host: Option<HeaderValue>,
    forwarded_proto: Option<HeaderValue>,
    pub(super) at_checked_server: bool,
}

/// Who is at the other end of a connection.
#[derive(Debug, Clone)]
pub(super) struct Peer {
    socket: SocketAddr,
    address: IpAddr,
    /// The address as the value of a header.
    text: Option<HeaderValue>,
    /// Whether it is one of a server where secrets may come.
    at_checked_server: bool,
}

/// The networks whose `X-Forwarded-*` headers are believed.
#[derive(Debug, Clone, Default)]
pub(super) struct TrustedProxies(Vec<Network>);

impl TrustedProxies {
    /// Refuses networks that anybody may be in, unless `wide` ones are wanted.
    pub(super) fn parse(texts: &[String], wide: bool) -> Result<Self, ConfigError> {
        let networks = Network::parse_all("trusted_proxies", texts)?;
        let open = networks.iter().zip(texts).find(|(network, _)| network.is_wide() && !wide);
        match open {
            Some((_, text)) => Err(ConfigError::refused(
                "trusted_proxies",
                format_args!("{text:?}"),
                "anybody may be in so wide a network; to believe anybody, set `insecure_trust_any_proxy`",
            )),
            None => Ok(Self(networks)),
        }
    }

    fn contain(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(address))
    }
}

impl Peer {
    pub(super) fn new(socket: SocketAddr) -> Self {
        let address = socket.ip().to_canonical();
        Self { socket, address, text: HeaderValue::try_from(address.to_string()).ok(), at_checked_server: false }
    }

    /// Of a server that was [checked](super::Gateway::check_exposed), and is at every reload.
    pub(super) fn at_checked_server(socket: SocketAddr) -> Self {
        Self { at_checked_server: true, ..Self::new(socket) }
    }

    /// Of a request that came through axum.
    pub(super) fn of(extensions: &Extensions) -> Option<Self> {
        extensions.get::<ConnectInfo<SocketAddr>>().map(|ConnectInfo(peer)| Self::new(*peer))
    }
}

impl Client {
    /// Reads the peer's address and, from a trusted one, what it says about the client. Call it before stripping.
    pub(super) fn read(
        headers: &HeaderMap,
        peer: Option<Peer>,
        host: Option<&HeaderValue>,
        proxies: &TrustedProxies,
        scheme: Scheme,
    ) -> Self {
        let address = peer.as_ref().map(|peer| peer.address);
        let mut client = Self {
            peer: peer.as_ref().map(|peer| peer.socket),
            address,
            address_text: peer.as_ref().and_then(|peer| peer.text.clone()),
            at_checked_server: peer.as_ref().is_some_and(|peer| peer.at_checked_server),
            forwarded_for: peer.and_then(|peer| peer.text),
            forwarded_host: host.cloned(),
            forwarded_proto: Some(HeaderValue::from_static(scheme.as_str())),
        };
        if let Some(peer) = address.filter(|peer| proxies.contain(*peer)) {
            client.believe(headers, peer, proxies);
        }
        client
    }

    fn believe(&mut self, headers: &HeaderMap, peer: IpAddr, proxies: &TrustedProxies) {
        let lines: Vec<_> = headers.get_all(X_FORWARDED_FOR).iter().filter_map(|line| line.to_str().ok()).collect();
        if !lines.is_empty() {
            let chain = lines.join(", ");
            // From the right: every hop that a trusted one vouches for.
            for hop in chain.rsplit(',') {
                let Some(address) = address(hop.trim()) else { break };
                (self.address, self.address_text) = (Some(address.to_canonical()), None);
                if !proxies.contain(address) {
                    break;
                }
            }
            self.forwarded_for = HeaderValue::try_from(format!("{chain}, {peer}")).ok();
        }
        if let Some(host) = headers.get(X_FORWARDED_HOST) {
            self.forwarded_host = Some(host.clone());
        }
        if let Some(proto) = headers.get(X_FORWARDED_PROTO).filter(|proto| *proto == "http" || *proto == "https") {
            self.forwarded_proto = Some(proto.clone());
        }
    }

    /// Whether it came over TLS, as far as services are told.
    pub(super) fn came_over_tls(&self) -> bool {
        self.forwarded_proto.as_ref().is_some_and(|proto| proto == Scheme::Https.as_str())
    }

    /// Whether it came in clear text from another machine, as far as that is known: to us, or to a trusted proxy in front. A server
    /// that [`Gateway::serve`](super::Gateway::serve) has looked at is not asked for each request, whatever a proxy says of its own.
    pub(super) fn is_exposed(&self) -> bool {
        if self.at_checked_server {
            return false;
        }
        let peer = self.peer.map(|peer| peer.ip());
        !self.came_over_tls() && [peer, self.address].into_iter().flatten().any(|address| !is_local(address))
    }

    /// Tells a service of it.
    pub(super) fn tell(&self, mut tell: impl FnMut(&str, &[u8])) {
        for (name, value) in [
            (X_FORWARDED_FOR, &self.forwarded_for),
            (X_FORWARDED_HOST, &self.forwarded_host),
            (X_FORWARDED_PROTO, &self.forwarded_proto),
        ] {
            if let Some(value) = value {
                tell(name.as_str(), value.as_bytes());
            }
        }
    }
}

/// An address, which some proxies write with its port, or in brackets.
fn address(hop: &str) -> Option<IpAddr> {
    let bracketed = || hop.strip_prefix('[')?.strip_suffix(']')?.parse().ok().map(IpAddr::V6);
    hop.parse().ok().or_else(|| hop.parse().ok().map(|socket: SocketAddr| socket.ip())).or_else(bracketed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(peer: &str, chain: &[&str], trusted: &[&str]) -> (String, String) {
        let proxies =
            TrustedProxies::parse(&trusted.iter().map(|&text| text.to_owned()).collect::<Vec<_>>(), true).unwrap();
        let mut headers = HeaderMap::new();
        for line in chain {
            headers.append(X_FORWARDED_FOR, HeaderValue::from_str(line).unwrap());
        }
        let peer = Peer::new(SocketAddr::new(peer.parse().unwrap(), 1));
        let client = Client::read(&headers, Some(peer), None, &proxies, Scheme::Http);
        let mut told = Vec::new();
        client.tell(|name, value| told.push((name.to_owned(), String::from_utf8(value.to_vec()).unwrap())));
        let own = client.address_text.map(|text| text.to_str().unwrap().to_owned());
        assert!(own.is_none_or(|own| own == client.address.unwrap().to_string()));
        let (_, chain) = told.into_iter().find(|(name, _)| name == X_FORWARDED_FOR.as_str()).unwrap();
        (client.address.unwrap().to_string(), chain)
    }

    #[test]
    fn only_trusted_proxies_are_believed() {
        for (peer, chain, trusted, address, line) in [
            ("9.9.9.9", &["1.1.1.1"][..], &[][..], "9.9.9.9", "9.9.9.9"),
            ("9.9.9.9", &["1.1.1.1"], &["10.0.0.0/8"], "9.9.9.9", "9.9.9.9"),
            ("10.0.0.1", &["1.1.1.1"], &["10.0.0.0/8"], "1.1.1.1", "1.1.1.1, 10.0.0.1"),
            ("::ffff:10.0.0.1", &["1.1.1.1"], &["10.0.0.0/8"], "1.1.1.1", "1.1.1.1, 10.0.0.1"),
            (
                "10.0.0.1",
                &["6.6.6.6, 1.1.1.1", "10.0.0.2"],
                &["10.0.0.0/8"],
                "1.1.1.1",
                "6.6.6.6, 1.1.1.1, 10.0.0.2, 10.0.0.1",
            ),
            ("10.0.0.1", &["6.6.6.6, junk"], &["10.0.0.1"], "10.0.0.1", "6.6.6.6, junk, 10.0.0.1"),
            ("10.0.0.1", &["1.1.1.1:5000"], &["10.0.0.0/8"], "1.1.1.1", "1.1.1.1:5000, 10.0.0.1"),
            (
                "10.0.0.1",
                &["1.1.1.1:5000, [2001:db8::1]:443, 10.0.0.2:80"],
                &["10.0.0.0/8"],
                "2001:db8::1",
                "1.1.1.1:5000, [2001:db8::1]:443, 10.0.0.2:80, 10.0.0.1",
            ),
            ("10.0.0.1", &["[2001:db8::1]"], &["10.0.0.0/8"], "2001:db8::1", "[2001:db8::1], 10.0.0.1"),
            ("10.0.0.1", &["[::ffff:1.1.1.1]:5"], &["10.0.0.0/8"], "1.1.1.1", "[::ffff:1.1.1.1]:5, 10.0.0.1"),
            ("10.0.0.1", &["1.1.1.1:"], &["10.0.0.0/8"], "10.0.0.1", "1.1.1.1:, 10.0.0.1"),
            ("10.0.0.1", &["1.1.1.1:70000"], &["10.0.0.0/8"], "10.0.0.1", "1.1.1.1:70000, 10.0.0.1"),
            ("10.0.0.1", &["[1.1.1.1]"], &["10.0.0.0/8"], "10.0.0.1", "[1.1.1.1], 10.0.0.1"),
            ("10.0.0.1", &["2001:db8::1]"], &["10.0.0.0/8"], "10.0.0.1", "2001:db8::1], 10.0.0.1"),
            ("10.0.0.1", &[], &["0.0.0.0/0"], "10.0.0.1", "10.0.0.1"),
            ("fd00::1", &["2001:db8::1"], &["fd00::/8"], "2001:db8::1", "2001:db8::1, fd00::1"),
        ] {
            assert_eq!(read(peer, chain, trusted), (address.to_owned(), line.to_owned()), "{peer} {chain:?}");
        }
    }

    #[test]
    fn a_network_that_is_none_is_named() {
        for text in ["", "10.0.0.0/33", "10.0.0.0/", "10.0.0.0/+8", "localhost", "::/129"] {
            assert!(TrustedProxies::parse(&[text.to_owned()], false).unwrap_err().to_string().contains(text), "{text}");
        }
    }

    #[test]
    fn a_network_that_anybody_may_be_in_is_refused_unless_it_is_asked_for() {
        for text in ["0.0.0.0/0", "::/0", "8.0.0.0/7", "2000::/3", "::ffff:0.0.0.0/96"] {
            let texts = [text.to_owned()];
            let error = TrustedProxies::parse(&texts, false).unwrap_err();
            assert_eq!((error.field(), error.value()), ("trusted_proxies", Some(format!("{text:?}").as_str())));
            assert!(TrustedProxies::parse(&texts, true).is_ok());
        }
        for text in ["10.0.0.0/8", "fd00::/16", "127.0.0.1"] {
            assert!(TrustedProxies::parse(&[text.to_owned()], false).is_ok(), "{text}");
        }
    }
}
