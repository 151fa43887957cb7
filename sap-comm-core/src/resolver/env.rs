use std::{env, sync::Arc, time::Duration};

use futures_util::{StreamExt, stream, stream::BoxStream};

use super::{Endpoint, EndpointSet, Resolution, ResolveError, Resolver};

/// Endpoints from environment variables.
///
/// For `user-service` it reads `USER_SERVICE_URL` (`http://a:1,http://b:2`), and else `USER_SERVICE_SERVICE_HOST` with
/// `USER_SERVICE_SERVICE_PORT`, which Kubernetes sets.
#[derive(Debug, Clone, Copy, Default)]
pub struct EnvResolver;

impl EnvResolver {
    /// A resolver over this process's environment.
    #[must_use]
    pub fn new() -> Self {
        Self
    }
}

impl Resolver for EnvResolver {
    fn watch(&self, service: &str) -> BoxStream<'static, Resolution> {
        let resolution = match lookup(service, |name| env::var(name).ok()) {
            Ok(set) => Resolution::Snapshot(Arc::new(set)),
            Err(reason) => Resolution::Unavailable {
                error: ResolveError { service: service.to_owned(), reason },
                // The environment of a process does not change from outside.
                retry_in: Duration::MAX,
            },
        };
        stream::once(async { resolution }).chain(stream::pending()).boxed()
    }

    fn is_configured(&self) -> bool {
        true
    }
}

fn lookup(service: &str, get: impl Fn(&str) -> Option<String>) -> Result<EndpointSet, String> {
    let stem: String =
        service.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' }).collect();
    let url = format!("{stem}_URL");
    if let Some(list) = get(&url) {
        return list.split(',').map(|text| Endpoint::parse(text).map_err(|error| format!("{url}: {error}"))).collect();
    }
    let (host, port) = (format!("{stem}_SERVICE_HOST"), format!("{stem}_SERVICE_PORT"));
    let (Some(host_value), Some(port_value)) = (get(&host), get(&port)) else {
        return Err(format!("set {url} (such as http://127.0.0.1:8080), or {host} and {port}"));
    };
    let host_value = if host_value.contains(':') { format!("[{host_value}]") } else { host_value };
    let endpoint = Endpoint::parse(&format!("http://{host_value}:{port_value}"))
        .map_err(|error| format!("{host}, {port}: {error}"))?;
    Ok([endpoint].into_iter().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(pairs: &[(&str, &str)]) -> Result<EndpointSet, String> {
        lookup("user-service", |name| pairs.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned()))
    }

    #[test]
    fn a_list_of_urls_is_read() {
        let set = with(&[("USER_SERVICE_URL", "http://b:2, http://a:1,http://a:1")]).unwrap();
        let texts: Vec<_> = set.as_slice().iter().map(ToString::to_string).collect();
        assert_eq!(texts, ["http://a:1", "http://b:2"]);
    }

    #[test]
    fn kubernetes_variables_are_read() {
        let set = with(&[("USER_SERVICE_SERVICE_HOST", "fd00::1"), ("USER_SERVICE_SERVICE_PORT", "80")]).unwrap();
        assert_eq!(set.as_slice()[0].authority(), "[fd00::1]:80");
    }

    #[test]
    fn what_is_missing_or_wrong_is_named() {
        assert!(with(&[]).unwrap_err().contains("USER_SERVICE_URL"));
        assert!(with(&[("USER_SERVICE_URL", "nope")]).unwrap_err().contains("USER_SERVICE_URL"));
    }
}
