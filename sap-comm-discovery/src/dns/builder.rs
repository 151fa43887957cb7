use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use hickory_resolver::{
    TokioResolver,
    config::{ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts},
    net::runtime::TokioRuntimeProvider,
    proto::rr::Name,
    system_conf::read_system_conf,
};
use url::Url;

use super::{
    DnsResolver,
    lookup::Lookup,
    question::{Form, Search},
};

/// How long a server has to answer; a second try follows.
const TIMEOUT: Duration = Duration::from_secs(2);

/// Builds a [`DnsResolver`].
#[derive(Debug, Clone, Default)]
#[must_use]
pub struct DnsResolverBuilder {
    server: Option<SocketAddr>,
    domain: Option<String>,
    port: Option<u16>,
    https: bool,
}

/// Why a [`DnsResolver`] cannot be built; names the option.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("dns: {option}: {reason}")]
pub struct DnsError {
    option: &'static str,
    reason: String,
}

impl DnsError {
    fn new(option: &'static str, reason: impl Into<String>) -> Self {
        Self { option, reason: reason.into() }
    }
}

impl DnsResolverBuilder {
    /// Asks this server instead of the system's, over UDP, and over TCP when an answer is truncated.
    pub fn server(mut self, server: SocketAddr) -> Self {
        self.server = Some(server);
        self
    }

    /// Completes every name with this domain, unless it ends in a dot, instead of the system's search list.
    pub fn domain(mut self, domain: impl Into<String>) -> Self {
        self.domain = Some(domain.into());
        self
    }

    /// Asks for addresses, on which every service listens at this port.
    pub fn port(mut self, port: u16) -> Self {
        self.port = Some(port);
        self
    }

    /// Makes `https` endpoints and asks for `_https._tcp`.
    pub fn https(mut self, https: bool) -> Self {
        self.https = https;
        self
    }

    /// Reads the options of `dns:`, `dns:?port=8080`, or `dns://127.0.0.1:53?domain=cluster.local&scheme=https`.
    pub(crate) fn from_url(text: &str) -> Result<Self, DnsError> {
        let url = Url::parse(text).map_err(|error| DnsError::new("url", error.to_string()))?;
        let mut builder = Self::default();
        if let Some(host) = url.host_str().filter(|host| !host.is_empty()) {
            let ip: IpAddr = host.trim_matches(['[', ']']).parse().map_err(|_| {
                DnsError::new("server", format!("{host:?} is not an IP address, such as dns://127.0.0.1:53"))
            })?;
            builder = builder.server(SocketAddr::new(ip, url.port().unwrap_or(53)));
        }
        if !matches!(url.path(), "" | "/") {
            return Err(DnsError::new("url", format!("{:?} is not an option: write dns:?port=8080", url.path())));
        }
        for (name, value) in url.query_pairs() {
            builder = match &*name {
                "domain" => builder.domain(value),
                "port" => match value.parse() {
                    Ok(port) if port != 0 => builder.port(port),
                    _ => return Err(DnsError::new("port", format!("{value:?} is not a port"))),
                },
                "scheme" => match &*value {
                    "http" | "https" => builder.https(value == "https"),
                    _ => return Err(DnsError::new("scheme", format!("{value:?} is neither http nor https"))),
                },
                _ => return Err(DnsError::new("url", format!("unknown option {name:?}: use domain, port or scheme"))),
            };
        }
        Ok(builder)
    }

    /// Builds the resolver; nothing is asked yet.
    ///
    /// # Errors
    /// When an option cannot be used, or the system's configuration cannot be read.
    pub fn build(self) -> Result<DnsResolver, DnsError> {
        if self.port == Some(0) {
            return Err(DnsError::new("port", "0 is not a port"));
        }
        let (mut config, mut options) = match self.server {
            Some(server) => (ResolverConfig::from_parts(None, Vec::new(), vec![name_server(server)]), own_options()),
            None => read_system_conf().map_err(|error| DnsError::new("system configuration", error.to_string()))?,
        };
        let mut search = Search { ndots: Some(options.ndots), domains: config.search().to_vec() };
        if let Some(domain) = &self.domain {
            let mut name =
                Name::from_utf8(domain).map_err(|error| DnsError::new("domain", format!("{domain:?}: {error}")))?;
            name.set_fqdn(true);
            search = Search { ndots: None, domains: vec![name] };
        }
        // Whole names are asked for, one by one, and each answer is believed as long as we decide.
        config = ResolverConfig::from_parts(None, Vec::new(), config.name_servers().to_vec());
        options.cache_size = 0;
        options.timeout = options.timeout.min(TIMEOUT);
        let mut builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
        *builder.options_mut() = options;
        let client = builder.build().map_err(|error| DnsError::new("server", error.to_string()))?;
        let form = Form { scheme: if self.https { "https" } else { "http" }, port: self.port };
        Ok(DnsResolver::new(Lookup::new(client, search, form)))
    }
}

fn name_server(server: SocketAddr) -> NameServerConfig {
    let (mut udp, mut tcp) = (ConnectionConfig::udp(), ConnectionConfig::tcp());
    udp.port = server.port();
    tcp.port = server.port();
    NameServerConfig::new(server.ip(), true, vec![udp, tcp])
}

/// Options for a server that was named: no file of the system has a say.
fn own_options() -> ResolverOpts {
    let mut options = ResolverOpts::default();
    options.use_hosts_file = ResolveHosts::Never;
    options
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_gives_the_options() {
        let builder = DnsResolverBuilder::from_url("dns://[::1]:5353/?domain=a.test&port=8080&scheme=https").unwrap();
        assert_eq!(builder.server, Some("[::1]:5353".parse().unwrap()));
        assert_eq!((builder.domain.as_deref(), builder.port, builder.https), (Some("a.test"), Some(8080), true));
        assert!(DnsResolverBuilder::from_url("dns:").unwrap().server.is_none());
        let builder = DnsResolverBuilder::from_url("dns://127.0.0.1").unwrap();
        assert_eq!(builder.server, Some("127.0.0.1:53".parse().unwrap()));
    }

    #[test]
    fn a_wrong_option_is_named() {
        for (url, part) in [
            ("dns://server:53", "dns: server: \"server\""),
            ("dns:?port=0", "dns: port: \"0\""),
            ("dns:?port=http", "dns: port: \"http\""),
            ("dns:?scheme=ftp", "dns: scheme: \"ftp\""),
            ("dns:?prot=80", "unknown option \"prot\""),
            ("dns:user-service", "\"user-service\" is not an option"),
        ] {
            let error = DnsResolverBuilder::from_url(url).unwrap_err().to_string();
            assert!(error.contains(part), "{url}: {error}");
        }
        let error = DnsResolver::builder().server(([127, 0, 0, 1], 53).into()).domain("a..b").build().unwrap_err();
        assert!(error.to_string().contains("dns: domain: \"a..b\""), "{error}");
    }
}
