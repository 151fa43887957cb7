//! Which addresses are connected to, whatever discovery says.
//!
//! A registry, a DNS zone or a tampered answer of theirs could otherwise send requests, credentials and all, to the metadata
//! service of a cloud, to this machine itself, or to the port of a database.

use std::{
    future::Future,
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    vec,
};

use hyper_util::client::legacy::connect::dns::{GaiResolver, Name};
use sap_comm_core::config::ConfigError;
use serde::{Deserialize, Serialize};
use tower_service::Service;

use crate::network::Network;

/// Where a client or a gateway may connect to.
///
/// Addresses are judged when a connection is made, after names were resolved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct EgressConfig {
    /// The only networks that are connected to, such as `10.0.0.0/8`. Default: every address but link-local, unspecified and
    /// multicast ones, those of clouds' metadata services, and this machine's own.
    pub networks: Vec<String>,
    /// Ports that are never connected to. Default: those of remote shells, container engines, registries, brokers and databases.
    pub refused_ports: Vec<u16>,
    /// Connects to this machine's own addresses whoever names them, as in development. Default: only where the endpoints were
    /// written down by whoever runs the process, in its environment or its code.
    pub insecure_loopback: bool,
}

/// ssh, telnet, smtp; Docker, etcd, kubelet, Consul, Nomad; MySQL, PostgreSQL, AMQP, Redis, RabbitMQ's management,
/// Elasticsearch, memcached, MongoDB.
const REFUSED_PORTS: [u16; 21] = [
    22, 23, 25, 2375, 2376, 2379, 2380, 3306, 4646, 5432, 5671, 5672, 6379, 8500, 9200, 9300, 10_250, 10_255, 11_211,
    15_672, 27_017,
];

impl Default for EgressConfig {
    fn default() -> Self {
        Self { networks: Vec::new(), refused_ports: REFUSED_PORTS.to_vec(), insecure_loopback: false }
    }
}

impl EgressConfig {
    /// Checks every field.
    ///
    /// # Errors
    /// Names the first network that is none.
    pub fn validate(&self) -> Result<(), ConfigError> {
        Egress::new(self, false).map(drop)
    }
}

/// The rules in use.
#[derive(Debug, Clone)]
pub(crate) struct Egress(Arc<Rules>);

#[derive(Debug)]
struct Rules {
    networks: Vec<Network>,
    refused_ports: Vec<u16>,
    loopback: bool,
}

impl Egress {
    /// `configured` says whether the endpoints were written down by whoever runs the process.
    pub(crate) fn new(config: &EgressConfig, configured: bool) -> Result<Self, ConfigError> {
        Ok(Self(Arc::new(Rules {
            networks: Network::parse_all("networks", &config.networks)?,
            refused_ports: config.refused_ports.clone(),
            loopback: configured || config.insecure_loopback,
        })))
    }

    pub(crate) fn check_port(&self, port: u16) -> io::Result<()> {
        if self.0.refused_ports.contains(&port) {
            return Err(refused(format_args!("port {port} is no service's; see `egress.refused_ports`")));
        }
        Ok(())
    }

    pub(crate) fn check(&self, address: IpAddr) -> io::Result<()> {
        let own = embedded(address.to_canonical());
        if !self.0.networks.is_empty() {
            return match self.0.networks.iter().any(|network| network.contains(own)) {
                true => Ok(()),
                false => Err(refused(format_args!("{address} is in none of `egress.networks`"))),
            };
        }
        let what = match own {
            own if own.is_loopback() && self.0.loopback => return Ok(()),
            own if own.is_loopback() => "this machine itself; `insecure_loopback` would allow it",
            own if own.is_unspecified() => "no address of anybody",
            own if own.is_multicast() => "a group of machines",
            IpAddr::V4(own) if own.is_link_local() => "link-local, as metadata services are",
            IpAddr::V4(own) if own.is_broadcast() || own.octets()[0] == 0 => "no machine's",
            IpAddr::V6(own) if own.is_unicast_link_local() => "link-local, as metadata services are",
            own if METADATA.contains(&own) => "a metadata service",
            _ => return Ok(()),
        };
        Err(refused(format_args!("{address} is {what}; `egress.networks` says what is allowed")))
    }
}

/// Where clouds answer what most of them answer at 169.254.169.254.
const METADATA: [IpAddr; 5] = [
    // Alibaba, Azure, Oracle.
    IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200)),
    IpAddr::V4(Ipv4Addr::new(168, 63, 129, 16)),
    IpAddr::V4(Ipv4Addr::new(192, 0, 0, 192)),
    // AWS, Google.
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)),
    IpAddr::V6(Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254)),
];

/// The IPv4 address that a NAT64 gateway would make of an IPv6 address.
fn embedded(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V6(v6) if v6.segments()[..6] == [0x64, 0xff9b, 0, 0, 0, 0] => {
            let [.., a, b, c, d] = v6.octets();
            IpAddr::from([a, b, c, d])
        }
        other => other,
    }
}

fn refused(reason: std::fmt::Arguments<'_>) -> io::Error {
    io::Error::new(io::ErrorKind::PermissionDenied, format!("not connected: {reason}"))
}

/// Resolves names, and leaves out the addresses that are refused.
#[derive(Debug, Clone)]
pub(crate) struct Screened {
    names: GaiResolver,
    egress: Egress,
}

impl Screened {
    pub(crate) fn new(egress: Egress) -> Self {
        Self { names: GaiResolver::new(), egress }
    }
}

impl Service<Name> for Screened {
    type Response = vec::IntoIter<SocketAddr>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.names.poll_ready(cx)
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let found = self.names.call(name);
        let egress = self.egress.clone();
        Box::pin(async move {
            let (mut allowed, mut first_refusal) = (Vec::new(), None);
            for address in found.await? {
                match egress.check(address.ip()) {
                    Ok(()) => allowed.push(address),
                    Err(error) => drop(first_refusal.get_or_insert(error)),
                }
            }
            match first_refusal {
                Some(error) if allowed.is_empty() => Err(error),
                _ => Ok(allowed.into_iter()),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn egress(networks: &[&str], configured: bool) -> Egress {
        let networks = networks.iter().map(|&network| network.to_owned()).collect();
        Egress::new(&EgressConfig { networks, ..EgressConfig::default() }, configured).unwrap()
    }

    fn allows(egress: &Egress, address: &str) -> bool {
        egress.check(address.parse().unwrap()).is_ok()
    }

    #[test]
    fn addresses_that_no_service_has_are_refused() {
        let own = egress(&[], false);
        for address in [
            "10.1.2.3",
            "192.168.0.1",
            "100.64.0.1",
            "100.100.100.201",
            "8.8.8.8",
            "2001:db8::1",
            "fd12::1",
            "64:ff9b::a01:203",
        ] {
            assert!(allows(&own, address), "{address}");
        }
        for address in [
            "169.254.169.254",
            "169.254.0.1",
            "::ffff:169.254.169.254",
            "64:ff9b::169.254.169.254",
            "fe80::1",
            "fd00:ec2::254",
            "fd20:ce::254",
            "100.100.100.200",
            "::ffff:100.100.100.200",
            "168.63.129.16",
            "::ffff:168.63.129.16",
            "64:ff9b::168.63.129.16",
            "192.0.0.192",
            "::ffff:192.0.0.192",
            "127.0.0.1",
            "127.8.9.1",
            "::1",
            "::ffff:127.0.0.1",
            "64:ff9b::127.0.0.1",
            "0.0.0.0",
            "0.1.2.3",
            "::",
            "224.0.0.1",
            "255.255.255.255",
            "ff02::1",
        ] {
            assert!(!allows(&own, address), "{address}");
        }
    }

    #[test]
    fn this_machine_is_reached_where_that_was_written_down() {
        for address in ["127.0.0.1", "::1", "::ffff:127.0.0.1"] {
            assert!(allows(&egress(&[], true), address), "{address}");
        }
        assert!(!allows(&egress(&[], true), "169.254.169.254"));
        let config = EgressConfig { insecure_loopback: true, ..EgressConfig::default() };
        assert!(allows(&Egress::new(&config, false).unwrap(), "127.0.0.1"));
    }

    #[test]
    fn a_list_of_networks_is_the_whole_list() {
        let own = egress(&["10.0.0.0/8", "fd00::/8"], true);
        for address in ["10.255.0.1", "::ffff:10.0.0.1", "fd00::1"] {
            assert!(allows(&own, address), "{address}");
        }
        for address in ["11.0.0.1", "127.0.0.1", "169.254.169.254", "2001:db8::1"] {
            assert!(!allows(&own, address), "{address}");
        }
        assert!(allows(&egress(&["169.254.0.0/16"], false), "169.254.169.254"), "said outright");
        let config = EgressConfig { networks: vec!["10.0.0.0/33".to_owned()], ..EgressConfig::default() };
        let error = config.validate().unwrap_err();
        assert!(error.field() == "networks" && error.to_string().contains("10.0.0.0/33"), "{error}");
    }

    #[test]
    fn ports_of_administration_are_refused() {
        let own = egress(&[], true);
        for port in [22, 2375, 2379, 6379, 10_250] {
            assert!(own.check_port(port).unwrap_err().to_string().contains(&port.to_string()));
        }
        assert!([80, 443, 3000, 8080, 8443].into_iter().all(|port| own.check_port(port).is_ok()));
    }
}
