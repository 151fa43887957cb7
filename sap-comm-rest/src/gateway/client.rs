use std::net::{IpAddr, SocketAddr};

use axum::extract::ConnectInfo;
use http::{Extensions, HeaderMap, HeaderName, HeaderValue, header};
use sap_comm_core::config::ConfigError;

use super::Scheme;

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

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Network {
    bits: u128,
    prefix: u32,
}

impl TrustedProxies {
    pub(super) fn parse(texts: &[String]) -> Result<Self, ConfigError> {
        let networks = texts.iter().map(|text| {
            Network::parse(text).ok_or_else(|| {
                let reason = "must be an address or a network such as 10.0.0.0/8";
                ConfigError::refused("trusted_proxies", format!("{text:?}"), reason)
            })
        });
        Ok(Self(networks.collect::<Result<_, _>>()?))
    }

    fn contain(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(address))
    }
}

impl Network {
    fn parse(text: &str) -> Option<Self> {
        let (address, prefix) = text.split_once('/').map_or((text, None), |(address, prefix)| (address, Some(prefix)));
        let address: IpAddr = address.parse().ok()?;
        let (width, offset) = if address.is_ipv4() { (32, 96) } else { (128, 0) };
        let prefix = match prefix {
            Some(text) if text.bytes().all(|byte| byte.is_ascii_digit()) => {
                text.parse().ok().filter(|n| *n <= width)?
            }
            Some(_) => return None,
            None => width,
        };
        Some(Self { bits: bits(address), prefix: prefix + offset })
    }

    fn contains(&self, address: IpAddr) -> bool {
        let mask = u128::MAX.checked_shl(128 - self.prefix).unwrap_or(0);
        (bits(address) ^ self.bits) & mask == 0
    }
}

/// IPv4 in its mapped form, so that one comparison serves both.
fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().to_bits(),
        IpAddr::V6(address) => address.to_bits(),
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
