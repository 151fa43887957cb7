mod builder;
mod lookup;
mod question;
mod watch;

use std::{fmt, sync::Arc};

use futures_util::stream::BoxStream;
use sap_comm_core::{Resolution, Resolver};
use tokio::sync::broadcast;

pub use builder::{DnsError, DnsResolverBuilder};

use lookup::Lookup;

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
    hints: broadcast::Sender<Arc<str>>,
}

impl DnsResolver {
    /// Starts from the system's configuration: its servers, its search list, SRV records, `http`.
    pub fn builder() -> DnsResolverBuilder {
        DnsResolverBuilder::default()
    }

    fn new(lookup: Lookup) -> Self {
        // A watch that missed hints takes that for one.
        let (hints, _) = broadcast::channel(16);
        Self { lookup: Arc::new(lookup), hints }
    }
}

impl Resolver for DnsResolver {
    fn watch(&self, service: &str) -> BoxStream<'static, Resolution> {
        watch::watch(Arc::clone(&self.lookup), service, self.hints.subscribe())
    }

    fn refresh(&self, service: &str) {
        // Without a watch there is nothing to refresh.
        let _ = self.hints.send(service.into());
    }
}

impl fmt::Debug for DnsResolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DnsResolver").field("lookup", &self.lookup).finish_non_exhaustive()
    }
}
