use std::net::{IpAddr, SocketAddr};

use axum::extract::ConnectInfo;
use http::{Extensions, HeaderMap, HeaderName, HeaderValue, header};
use sap_comm_core::config::ConfigError;

use super::Scheme;
use crate::{network::Network, tls::TlsConnection};

pub(super) const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
pub(super) const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
pub(super) const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// Where a request came from, and what to tell services about it.
#[derive(Debug, Clone, Default)]
pub(super) struct Client {
    /// The client's own address, as far as trusted proxies say.
    pub(super) address: Option<IpAddr>,
    forwarded_for: Option<HeaderValue>,
    forwarded_host: Option<HeaderValue>,
    forwarded_proto: Option<HeaderValue>,
}

/// The networks whose `X-Forwarded-*` headers are believed.
#[derive(Debug, Clone, Default)]
pub(super) struct TrustedProxies(Vec<Network>);

impl TrustedProxies {
    pub(super) fn parse(texts: &[String]) -> Result<Self, ConfigError> {
        Network::parse_all("trusted_proxies", texts).map(Self)
    }

    fn contain(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(address))
    }
}

impl Client {
    /// Reads the peer's address and, from a trusted one, what it says about the client. Call it before stripping.
    pub(super) fn read(
        headers: &HeaderMap,
        extensions: &Extensions,
        host: Option<&HeaderValue>,
        proxies: &TrustedProxies,
        scheme: Scheme,
    ) -> Self {
        let peer = extensions.get::<ConnectInfo<SocketAddr>>().map(|ConnectInfo(peer)| peer.ip().to_canonical());
        let scheme = extensions.get::<TlsConnection>().map_or(scheme, |_| Scheme::Https);
        let mut client = Self {
            address: peer,
            forwarded_for: peer.and_then(|peer| HeaderValue::try_from(peer.to_string()).ok()),
            forwarded_host: host.cloned(),
            forwarded_proto: Some(HeaderValue::from_static(scheme.as_str())),
        };
        if let Some(peer) = peer.filter(|peer| proxies.contain(*peer)) {
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
                let Ok(address) = hop.trim().parse::<IpAddr>() else { break };
                self.address = Some(address.to_canonical());
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

    /// Tells a service, in place of whatever the client said.
    pub(super) fn write(&self, headers: &mut HeaderMap) {
        headers.remove(header::FORWARDED);
        for (name, value) in [
            (X_FORWARDED_FOR, &self.forwarded_for),
            (X_FORWARDED_HOST, &self.forwarded_host),
            (X_FORWARDED_PROTO, &self.forwarded_proto),
        ] {
            match value {
                Some(value) => headers.insert(name, value.clone()),
                None => headers.remove(name),
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(peer: &str, chain: &[&str], trusted: &[&str]) -> (String, String) {
        let proxies = TrustedProxies::parse(&trusted.iter().map(|&text| text.to_owned()).collect::<Vec<_>>()).unwrap();
        let mut headers = HeaderMap::new();
        for line in chain {
            headers.append(X_FORWARDED_FOR, HeaderValue::from_str(line).unwrap());
        }
        let mut extensions = Extensions::new();
        extensions.insert(ConnectInfo(SocketAddr::new(peer.parse().unwrap(), 1)));
        let client = Client::read(&headers, &extensions, None, &proxies, Scheme::Http);
        client.write(&mut headers);
        let line = headers[X_FORWARDED_FOR].to_str().unwrap().to_owned();
        (client.address.unwrap().to_string(), line)
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
            ("10.0.0.1", &[], &["0.0.0.0/0"], "10.0.0.1", "10.0.0.1"),
            ("fd00::1", &["2001:db8::1"], &["fd00::/8"], "2001:db8::1", "2001:db8::1, fd00::1"),
        ] {
            assert_eq!(read(peer, chain, trusted), (address.to_owned(), line.to_owned()), "{peer} {chain:?}");
        }
    }

    #[test]
    fn a_network_that_is_none_is_named() {
        for text in ["", "10.0.0.0/33", "10.0.0.0/", "10.0.0.0/+8", "localhost", "::/129"] {
            assert!(TrustedProxies::parse(&[text.to_owned()]).unwrap_err().to_string().contains(text), "{text}");
        }
    }
}
