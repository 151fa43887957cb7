mod builder;
mod lookup;
mod question;
mod watch;

use std::{fmt, sync::Arc};

use futures_util::stream::BoxStream;
use sap_comm_core::{Resolution, Resolver};

pub use builder::{DnsError, DnsResolverBuilder};

use self::lookup::Lookup;
use crate::pace::Hints;

/// Endpoints from DNS, as for Kubernetes' headless services.
///
/// With a port configured, or in the name (`user-service:8080`), the A records of the service are asked for, or else
/// its AAAA records. Without one, the SRV records of `_http._tcp.user-service` say host, port, priority and weight;
/// only the lowest priority that has an address is used. A name that begins with `_` is asked for as it stands.
///
/// Answers are asked for anew when their TTL ends, after 1 to 30 s; that there is no such name is believed for 5 s at
/// most. A server that fails or is silent is [`Resolution::Unavailable`], never an empty set. With `https` the names of
/// the hosts are kept, since certificates are made out to them, and the client looks them up.
#[derive(Clone)]
pub struct DnsResolver {
    lookup: Arc<Lookup>,
    hints: Hints,
}

impl DnsResolver {
    /// Starts from the system's configuration: its servers, its search list, SRV records, `http`.
    pub fn builder() -> DnsResolverBuilder {
        DnsResolverBuilder::default()
    }

    fn new(lookup: Lookup) -> Self {
        Self { lookup: Arc::new(lookup), hints: Hints::new() }
    }
}

impl Resolver for DnsResolver {
    fn watch(&self, service: &str) -> BoxStream<'static, Resolution> {
        watch::watch(Arc::clone(&self.lookup), self.hints.about(service))
    }

    fn refresh(&self, service: &str) {
        self.hints.send(service);
    }
}

impl fmt::Debug for DnsResolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DnsResolver").field("lookup", &self.lookup).finish_non_exhaustive()
    }
}
