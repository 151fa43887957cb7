use std::{collections::BTreeMap, sync::Arc};

use sap_comm_core::{Endpoint, EnvResolver, Registrar, Resolver, StaticResolver};

/// How a service finds others, and how others find it.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Discovery {
    /// Finds others.
    pub resolver: Arc<dyn Resolver>,
    /// Announces this process, where services announce themselves.
    pub registrar: Option<Arc<dyn Registrar>>,
}

/// The resolver of [`discovery_from_url`] alone.
///
/// # Errors
/// As [`discovery_from_url`].
pub fn resolver_from_url(url: &str) -> Result<Arc<dyn Resolver>, ResolverUrlError> {
    discovery_from_url(url).map(|discovery| discovery.resolver)
}

/// Discovery chosen by URL.
///
/// | URL | endpoints from |
/// | --- | --- |
/// | `env:` | environment variables such as `USER_SERVICE_URL` |
/// | `static:user-service=http://a:1,http://b:2;other=http://c:3` | the URL itself |
/// | `dns:`, `dns:?port=8080`, `dns://127.0.0.1:53?domain=prod.svc.cluster.local&scheme=https` | DNS, feature `dns` |
/// | `etcd://10.0.0.1:2379,10.0.0.2:2379`, `etcd://10.0.0.1:2379/prefix` | etcd, feature `etcd` |
///
/// # Errors
/// When the scheme is unknown, its feature is off, or the rest cannot be read; the error says what is supported.
pub fn discovery_from_url(url: &str) -> Result<Discovery, ResolverUrlError> {
    let url = url.trim();
    let Some((scheme, rest)) = url.split_once(':') else {
        return Err(ResolverUrlError::Unknown { scheme: url.to_owned() });
    };
    match scheme {
        "env" if rest.is_empty() => Ok(Discovery::found_by(EnvResolver::new())),
        "env" => Err(ResolverUrlError::invalid(url, "nothing follows `env:`")),
        "static" => {
            static_resolver(rest).map(Discovery::found_by).map_err(|reason| ResolverUrlError::invalid(url, reason))
        }
        #[cfg(feature = "dns")]
        "dns" => crate::dns::DnsResolverBuilder::from_url(url)
            .and_then(crate::dns::DnsResolverBuilder::build)
            .map(Discovery::found_by)
            .map_err(|error| ResolverUrlError::invalid(url, error.to_string())),
        #[cfg(not(feature = "dns"))]
        "dns" => Err(ResolverUrlError::FeatureOff { scheme: "dns", feature: "dns" }),
        #[cfg(feature = "etcd")]
        "etcd" => crate::etcd::EtcdBuilder::from_url(rest)
            .and_then(crate::etcd::EtcdBuilder::build)
            .map(|etcd| {
                let etcd = Arc::new(etcd);
                Discovery { resolver: etcd.clone(), registrar: Some(etcd) }
            })
            .map_err(|error| ResolverUrlError::invalid(url, error.to_string())),
        #[cfg(not(feature = "etcd"))]
        "etcd" => Err(ResolverUrlError::FeatureOff { scheme: "etcd", feature: "etcd" }),
        _ => Err(ResolverUrlError::Unknown { scheme: scheme.to_owned() }),
    }
}

impl Discovery {
    /// Others are found, and nobody announces themselves.
    fn found_by(resolver: impl Resolver + 'static) -> Self {
        Self { resolver: Arc::new(resolver), registrar: None }
    }
}

/// Why a URL gives no discovery.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ResolverUrlError {
    /// No resolver has this scheme.
    #[error("unknown discovery scheme {scheme:?}: this build supports {SUPPORTED}")]
    Unknown {
        /// What stands before the colon.
        scheme: String,
    },
    /// The resolver exists, and this build left it out.
    #[error(
        "discovery by `{scheme}:` needs the feature `{feature}` of sap-comm-discovery; this build supports {SUPPORTED}"
    )]
    FeatureOff {
        /// The scheme.
        scheme: &'static str,
        /// The feature to turn on.
        feature: &'static str,
    },
    /// What follows the scheme cannot be read.
    #[error("invalid discovery URL {url:?}: {reason}")]
    Invalid {
        /// The URL.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
}

const SUPPORTED: &str = match (cfg!(feature = "dns"), cfg!(feature = "etcd")) {
    (true, true) => "`env:`, `static:`, `dns:`, `etcd://`",
    (true, false) => "`env:`, `static:`, `dns:`",
    (false, true) => "`env:`, `static:`, `etcd://`",
    (false, false) => "`env:`, `static:`",
};

impl ResolverUrlError {
    fn invalid(url: &str, reason: impl Into<String>) -> Self {
        Self::Invalid { url: url.to_owned(), reason: reason.into() }
    }
}

/// Reads `service=http://a:1,http://b:2;other=http://c:3`.
fn static_resolver(text: &str) -> Result<StaticResolver, String> {
    let mut services = BTreeMap::new();
    for entry in text.split(';').map(str::trim).filter(|entry| !entry.is_empty()) {
        let (service, endpoints) =
            entry.split_once('=').ok_or_else(|| format!("{entry:?} is not `service=http://host:port`"))?;
        let service = service.trim();
        if service.is_empty() {
            return Err(format!("{entry:?} names no service"));
        }
        let endpoints: Result<Vec<_>, _> = endpoints.split(',').map(Endpoint::parse).collect();
        let endpoints = endpoints.map_err(|error| format!("{service}: {error}"))?;
        if services.insert(service, endpoints).is_some() {
            return Err(format!("service {service:?} stands twice"));
        }
    }
    let resolver = StaticResolver::new();
    for (service, endpoints) in services {
        resolver.set(service, endpoints);
    }
    Ok(resolver)
}

#[cfg(test)]
mod tests {
    use futures_util::StreamExt;
    use sap_comm_core::Resolution;

    use super::*;

    #[tokio::test]
    async fn a_static_url_names_the_endpoints_of_each_service() {
        let resolver = resolver_from_url("static:user-service=http://a:1,http://b:2; other = http://c:3").unwrap();
        let Some(Resolution::Snapshot(set)) = resolver.watch("user-service").next().await else { panic!("no answer") };
        let texts: Vec<_> = set.as_slice().iter().map(ToString::to_string).collect();
        assert_eq!(texts, ["http://a:1", "http://b:2"]);
        let Some(Resolution::Snapshot(set)) = resolver.watch("other").next().await else { panic!("no answer") };
        assert_eq!(set.as_slice().len(), 1);
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (url, part) in [
            ("", "unknown discovery scheme \"\""),
            ("zookeeper://a", "unknown discovery scheme \"zookeeper\""),
            ("env:x", "nothing follows"),
            ("static:user-service", "is not `service=http://host:port`"),
            ("static:=http://a", "names no service"),
            ("static:a=http://b;a=http://c", "service \"a\" stands twice"),
            ("static:a=b", "invalid endpoint \"b\""),
        ] {
            let error = resolver_from_url(url).unwrap_err().to_string();
            assert!(error.contains(part), "{url}: {error}");
        }
    }
}
