use std::{sync::Arc, time::Duration};

use http::{HeaderName, HeaderValue, Method};
use sap_comm_core::config::ConfigError;

use super::{
    Access, RouteConfig, Target,
    config::MAX_BODY,
    host::HostPattern,
    path::{is_unreserved, normalize},
    rate_limit::{Counter, RateLimit},
    table::Segment,
    upstream::Upstream,
};
use crate::{options::check_duration, server::DeprecationConfig};

/// A route, ready to serve.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) pattern: String,
    pub(super) segments: Vec<Segment>,
    /// Whether it takes nothing below its path.
    pub(super) exact: bool,
    /// All hosts when empty.
    pub(super) hosts: Vec<HostPattern>,
    /// All methods when empty.
    pub(super) methods: Vec<Method>,
    pub(super) target: Target,
    /// Of a route to a service.
    pub(super) upstream: Option<Arc<Upstream>>,
    pub(super) access: Access,
    pub(super) roles: Vec<String>,
    pub(super) scopes: Vec<String>,
    pub(super) limit: Limit,
    pub(super) rewrite: Option<String>,
    pub(super) timeout: Duration,
    pub(super) max_body: u64,
    pub(super) preserve_host: bool,
    pub(super) security_headers: bool,
    /// Header lines that tell of its end.
    pub(super) deprecation: Option<Box<[(HeaderName, HeaderValue)]>>,
    /// Whether clients are likely to show a secret there: a credential that it demands or the gateway's own router may look at, or
    /// what a body holds, since a public route may be that of a login.
    pub(super) takes_secrets: bool,
}

/// Which rate limit a route is under.
#[derive(Debug)]
pub(super) enum Limit {
    Gateway,
    Own(Arc<RateLimit>),
    Unlimited,
}

/// What a route takes over from its gateway.
#[derive(Debug)]
pub(super) struct Defaults {
    pub(super) timeout: Duration,
    pub(super) max_body: u64,
    pub(super) security_headers: bool,
    pub(super) max_callers: usize,
    pub(super) shared: Option<Arc<Counter>>,
}

impl Entry {
    pub(super) fn compile(config: RouteConfig, defaults: &Defaults) -> Result<Self, ConfigError> {
        let path = config.path;
        let fail = |field: &str, value: &dyn std::fmt::Debug, reason: &str| {
            ConfigError::refused(&format!("routes[{path}].{field}"), format_args!("{value:?}"), reason)
        };
        let segments = segments(&path)?;
        let Some(target) = config.target else {
            return Err(fail("target", &None::<Target>, "say `.to(service)` or `.local()`"));
        };
        if target == Target::Service(String::new()) {
            return Err(fail("target", &target, "the name of the service must not be empty"));
        }
        for (field, list) in [("roles", &config.roles), ("scopes", &config.scopes)] {
            if config.access != Some(Access::Authenticated) && !list.is_empty() {
                return Err(fail(field, list, "needs `.authenticated()`: without it nobody's are known"));
            }
        }
        let Some(access) = config.access else {
            return Err(fail("access", &None::<Access>, "say `.authenticated()`, or `.public()` to let everybody in"));
        };
        let limit = match (config.rate_limit, config.unlimited) {
            (Some(quota), true) => return Err(fail("rate_limit", &quota, "the route is `unlimited` too")),
            (None, true) => Limit::Unlimited,
            (None, false) => Limit::Gateway,
            (Some(quota), false) => {
                let exact = if config.exact { " exact" } else { "" };
                let (field, name) = (
                    format!("routes[{path}].rate_limit"),
                    format!("{path} {} {}{exact}", config.methods.join(","), config.hosts.join(",")),
                );
                let shared = defaults.shared.clone();
                Limit::Own(Arc::new(RateLimit::new(&field, name, quota, defaults.max_callers, shared)?))
            }
        };
        let hosts = config.hosts.iter().map(|host| {
            let reason = "must be a name like api.example.com, or *.example.com, without a port";
            HostPattern::parse(host).ok_or_else(|| fail("hosts", host, reason))
        });
        let hosts = hosts.collect::<Result<_, _>>()?;
        let methods = config.methods.iter().map(|name| {
            let method = Method::from_bytes(name.as_bytes()).ok();
            let served = method.filter(|method| *method != Method::CONNECT && *method != Method::TRACE);
            served.ok_or_else(|| fail("methods", name, "is not a method that a gateway serves"))
        });
        let methods = methods.collect::<Result<Vec<_>, _>>()?;
        if let Some(prefix) = &config.rewrite {
            let literal =
                prefix == "/" || normalize(prefix).is_ok_and(|normal| normal == *prefix && !prefix.ends_with('/'));
            if !literal || target == Target::Local {
                return Err(fail("rewrite", prefix, "must be a path like /users, on a route to a service"));
            }
        }
        if target == Target::Local {
            let reason = "is for a route to a service: the gateway's own router has limits of its own";
            if let Some(timeout) = &config.timeout {
                return Err(fail("timeout", timeout, reason));
            }
            if let Some(max_body) = &config.max_body {
                return Err(fail("max_body", max_body, reason));
            }
            if config.preserve_host {
                return Err(fail("preserve_host", &true, reason));
            }
            if let Some(set) = &config.security_headers {
                return Err(fail("security_headers", set, reason));
            }
        }
        if let Some(timeout) = config.timeout {
            check_duration(&format!("routes[{path}].timeout"), timeout)?;
        }
        if let Some(max_body) = config.max_body
            && !(1..=MAX_BODY).contains(&max_body)
        {
            return Err(fail("max_body", &max_body, "must be at least 1, and at most 1 TiB"));
        }
        let deprecation = config.deprecated.as_ref().map(DeprecationConfig::compile).transpose();
        let deprecation = deprecation.map_err(|error| error.within(&format!("routes[{path}].deprecated")))?;
        let reads = [Method::GET, Method::HEAD, Method::OPTIONS];
        let only_reads = !methods.is_empty() && methods.iter().all(|method| reads.contains(method));
        let takes_secrets = access == Access::Authenticated || target == Target::Local || !only_reads;
        Ok(Self {
            segments,
            exact: config.exact,
            hosts,
            methods,
            target,
            upstream: None,
            access,
            limit,
            roles: config.roles,
            scopes: config.scopes,
            rewrite: config.rewrite,
            timeout: config.timeout.unwrap_or(defaults.timeout),
            max_body: config.max_body.unwrap_or(defaults.max_body),
            preserve_host: config.preserve_host,
            security_headers: config.security_headers.unwrap_or(defaults.security_headers),
            deprecation: deprecation.map(Into::into),
            takes_secrets,
            pattern: path,
        })
    }

    pub(super) fn takes(&self, method: &Method) -> bool {
        self.methods.is_empty()
            || self.methods.contains(method)
            || (*method == Method::HEAD && self.methods.contains(&Method::GET))
    }

    /// Names of hosts come before patterns, and those before routes for any host; among such, those that take their path alone.
    pub(super) fn generality(&self) -> (u8, bool) {
        let hosts = match self.hosts.iter().all(|host| matches!(host, HostPattern::Name(_))) {
            _ if self.hosts.is_empty() => 2,
            true => 0,
            false => 1,
        };
        (hosts, !self.exact)
    }

    /// Whether it takes a path of which so much is left behind its own.
    pub(super) fn takes_rest(&self, rest: &str) -> bool {
        !self.exact || matches!(rest, "" | "/")
    }

    pub(super) fn takes_host(&self, host: &[u8]) -> bool {
        self.hosts.is_empty() || self.hosts.iter().any(|pattern| pattern.takes(host))
    }

    /// Whether it takes the same requests.
    pub(super) fn is_at(&self, other: &Self) -> bool {
        self.pattern == other.pattern
            && self.exact == other.exact
            && self.methods == other.methods
            && self.hosts == other.hosts
    }

    pub(super) fn service(&self) -> Option<&str> {
        match &self.target {
            Target::Service(service) => Some(service),
            Target::Local => None,
        }
    }

    /// The path that the upstream sees, given that the route matched `path[..end]`.
    pub(super) fn rewritten(&self, path: &str, end: usize) -> Option<String> {
        let prefix = self.rewrite.as_deref()?;
        let rest = path.get(end..).unwrap_or_default();
        Some(match (prefix, rest) {
            ("/", "") => "/".to_owned(),
            ("/", rest) => rest.to_owned(),
            (prefix, rest) => format!("{prefix}{rest}"),
        })
    }
}

/// Only characters with one spelling: an encoded one in a request can never slip past a route.
fn segments(path: &str) -> Result<Vec<Segment>, ConfigError> {
    let fail = |reason| Err(ConfigError::refused(&format!("routes[{path}].path"), format_args!("{path:?}"), reason));
    let Some(rest) = path.strip_prefix('/') else { return fail("must begin with a slash") };
    if rest.is_empty() {
        return Ok(Vec::new());
    }
    let mut segments = Vec::new();
    for text in rest.split('/') {
        let name = text.strip_prefix('{').and_then(|text| text.strip_suffix('}'));
        let literal = name.unwrap_or(text);
        if literal.is_empty() || !literal.bytes().all(is_unreserved) || matches!(literal, "." | "..") {
            return fail("each segment must be `{name}` or letters, digits and -._~, without a slash at the end");
        }
        segments.push(if name.is_some() { Segment::Parameter } else { Segment::Literal(literal.into()) });
    }
    Ok(segments)
}

#[cfg(test)]
impl Defaults {
    pub(super) fn for_tests() -> Self {
        Self { timeout: Duration::from_secs(1), max_body: 1, security_headers: true, max_callers: 1, shared: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        gateway::{Quota, Route},
        server::Deprecation,
    };

    fn refused(route: Route) -> String {
        Entry::compile(route.into(), &Defaults::for_tests()).unwrap_err().field().to_owned()
    }

    #[test]
    fn what_is_wrong_with_a_route_is_named() {
        let sound = || Route::new("/a").to("b").public();
        assert_eq!(refused(Route::new("/a").public()), "routes[/a].target");
        assert_eq!(refused(Route::new("/a").to("").public()), "routes[/a].target");
        assert_eq!(refused(Route::new("/a").to("b")), "routes[/a].access");
        assert_eq!(refused(Route::new("/a").to("b").roles(["admin"])), "routes[/a].roles");
        assert_eq!(refused(sound().scopes(["x"])), "routes[/a].scopes");
        assert_eq!(refused(sound().rate_limit(Quota::per_second(0))), "routes[/a].rate_limit.requests");
        assert_eq!(refused(sound().rate_limit(Quota::per_second(1)).unlimited()), "routes[/a].rate_limit");
        assert_eq!(refused(sound().methods([Method::CONNECT])), "routes[/a].methods");
        for host in ["", "a:80", "*", "a.*", "a b", "*.", "http://a"] {
            assert_eq!(refused(sound().hosts([host])), "routes[/a].hosts", "{host:?}");
        }
        assert_eq!(refused(sound().timeout(Duration::ZERO)), "routes[/a].timeout");
        assert_eq!(refused(sound().max_body(0)), "routes[/a].max_body");
        assert_eq!(refused(sound().max_body(u64::MAX)), "routes[/a].max_body");
        let local = || Route::new("/a").local().public();
        assert_eq!(refused(local().timeout(Duration::from_secs(1))), "routes[/a].timeout");
        assert_eq!(refused(local().max_body(1)), "routes[/a].max_body");
        assert_eq!(refused(local().preserve_host()), "routes[/a].preserve_host");
        assert_eq!(refused(local().security_headers(false)), "routes[/a].security_headers");
        let early = Deprecation::since(2027, 1, 1).sunset(2026, 1, 1);
        assert_eq!(refused(sound().deprecated(early)), "routes[/a].deprecated.sunset");
        for prefix in ["", "users", "/users/", "/a/../b"] {
            assert_eq!(refused(sound().rewrite(prefix)), "routes[/a].rewrite");
        }
        for path in ["", "a", "/a/", "//a", "/a%20b", "/a;b", "/{", "/..", "/@me"] {
            assert_eq!(refused(Route::new(path).to("b").public()), format!("routes[{path}].path"));
        }
    }

    #[test]
    fn a_rewrite_replaces_what_matched() {
        let entry = |prefix: &str| {
            let route = Route::new("/api/v1/users").to("b").public().rewrite(prefix);
            Entry::compile(route.into(), &Defaults::for_tests()).unwrap()
        };
        assert_eq!(entry("/users").rewritten("/api/v1/users/7", 13).as_deref(), Some("/users/7"));
        assert_eq!(entry("/users").rewritten("/api/v1/users", 13).as_deref(), Some("/users"));
        assert_eq!(entry("/").rewritten("/api/v1/users", 13).as_deref(), Some("/"));
        assert_eq!(entry("/").rewritten("/api/v1/users/7", 13).as_deref(), Some("/7"));
    }
}
