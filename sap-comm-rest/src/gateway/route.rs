use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Quota;
use crate::server::DeprecationConfig;

/// One entry of a gateway: which requests it takes, who may make them and where they go.
///
/// A path matches on whole segments: `/api/v1/users` takes `/api/v1/users` and everything below it, and not
/// `/api/v1/users2`; an [exact](Route::exact) one takes nothing below. A segment `{name}` takes any one segment. The route
/// with the most segments wins, and only its methods are served.
///
/// ```
/// use sap_comm_rest::gateway::{Quota, Route};
///
/// let users = Route::new("/api/v1/users").to("user-service").authenticated();
/// let delete = Route::new("/api/v1/users/{id}")
///     .methods(["DELETE"])
///     .to("user-service")
///     .authenticated()
///     .roles(["admin"])
///     .rate_limit(Quota::per_minute(30));
/// # let _ = (users, delete);
/// ```
#[derive(Debug, Clone, PartialEq)]
#[must_use]
pub struct Route(RouteConfig);

/// What a [`Route`] is made of, as it stands in a file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct RouteConfig {
    /// The path: segments of letters, digits and `-._~`, or `{name}`.
    pub path: String,
    /// Takes this path alone, and nothing below it; a slash at its end makes no difference.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub exact: bool,
    /// The hosts, without a port, or `*.example.com` for every name below; all when empty.
    #[serde(default)]
    pub hosts: Vec<String>,
    /// The methods; all when empty. `GET` includes `HEAD`.
    #[serde(default)]
    pub methods: Vec<String>,
    /// Where requests go.
    #[serde(default)]
    pub target: Option<Target>,
    /// Who may make requests. There is no default: a public route says so.
    #[serde(default)]
    pub access: Option<Access>,
    /// The principal needs one of these roles.
    #[serde(default)]
    pub roles: Vec<String>,
    /// The principal needs all of these scopes.
    #[serde(default)]
    pub scopes: Vec<String>,
    /// The caller's limit on this route, in place of the gateway's.
    #[serde(default)]
    pub rate_limit: Option<Quota>,
    /// Takes the route out of every rate limit; for health checks.
    #[serde(default)]
    pub unlimited: bool,
    /// What the upstream sees in place of the matched part of the path.
    #[serde(default)]
    pub rewrite: Option<String>,
    /// How long the upstream may take to answer, in place of the gateway's. On a route to a service, as are the next three.
    #[serde(default, with = "humantime_option")]
    pub timeout: Option<Duration>,
    /// The largest request body in bytes, in place of the gateway's.
    #[serde(default)]
    pub max_body: Option<u64>,
    /// Sends the client's `Host` on, in place of the endpoint's.
    #[serde(default)]
    pub preserve_host: bool,
    /// Whether answers get the security headers that they lack, in place of what the gateway says of it.
    #[serde(default)]
    pub security_headers: Option<bool>,
    /// That it is not to be used any more: every answer says so, unless the upstream does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deprecated: Option<DeprecationConfig>,
}

/// Where a route leads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Target {
    /// To a service, by its name.
    Service(String),
    /// To the gateway's own router, see [`GatewayBuilder::fallback`](super::GatewayBuilder::fallback).
    Local,
}

/// Who may use a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Access {
    /// Everybody.
    Public,
    /// Those with a valid token or key.
    Authenticated,
}

impl Route {
    /// A route for `path`; it leads nowhere and lets nobody in until it is told to.
    pub fn new(path: impl Into<String>) -> Self {
        Self(RouteConfig {
            path: path.into(),
            exact: false,
            hosts: Vec::new(),
            methods: Vec::new(),
            target: None,
            access: None,
            roles: Vec::new(),
            scopes: Vec::new(),
            rate_limit: None,
            unlimited: false,
            rewrite: None,
            timeout: None,
            max_body: None,
            preserve_host: false,
            security_headers: None,
            deprecated: None,
        })
    }

    /// Takes this path alone, and nothing below it; a slash at its end makes no difference. Another may take the rest.
    pub fn exact(mut self) -> Self {
        self.0.exact = true;
        self
    }

    /// Takes only requests for these hosts, named without a port, or as `*.example.com` for every name below. Among routes
    /// with as many segments, one that names the host wins.
    pub fn hosts(mut self, hosts: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.0.hosts = hosts.into_iter().map(Into::into).collect();
        self
    }

    /// Takes only these methods; `GET` includes `HEAD`.
    pub fn methods(mut self, methods: impl IntoIterator<Item = impl AsRef<str>>) -> Self {
        self.0.methods = methods.into_iter().map(|method| method.as_ref().to_owned()).collect();
        self
    }

    /// Leads to the service of this name.
    pub fn to(mut self, service: impl Into<String>) -> Self {
        self.0.target = Some(Target::Service(service.into()));
        self
    }

    /// Leads to the gateway's own router.
    pub fn local(mut self) -> Self {
        self.0.target = Some(Target::Local);
        self
    }

    /// Lets everybody in.
    pub fn public(mut self) -> Self {
        self.0.access = Some(Access::Public);
        self
    }

    /// Lets those in who have a valid token or key.
    pub fn authenticated(mut self) -> Self {
        self.0.access = Some(Access::Authenticated);
        self
    }

    /// Demands one of these roles.
    pub fn roles(mut self, roles: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.0.roles = roles.into_iter().map(Into::into).collect();
        self
    }

    /// Demands all of these scopes.
    pub fn scopes(mut self, scopes: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.0.scopes = scopes.into_iter().map(Into::into).collect();
        self
    }

    /// Limits each caller on this route, in place of the gateway's limit.
    pub fn rate_limit(mut self, quota: Quota) -> Self {
        self.0.rate_limit = Some(quota);
        self
    }

    /// Takes the route out of every rate limit; for health checks.
    pub fn unlimited(mut self) -> Self {
        self.0.unlimited = true;
        self
    }

    /// Replaces the matched part of the path: `/api/v1/users` with `/users` turns `/api/v1/users/7` into `/users/7`.
    pub fn rewrite(mut self, prefix: impl Into<String>) -> Self {
        self.0.rewrite = Some(prefix.into());
        self
    }

    /// Waits this long for the upstream's answer, in place of the gateway's timeout.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.0.timeout = Some(timeout);
        self
    }

    /// Takes request bodies of up to this many bytes, in place of the gateway's limit.
    pub fn max_body(mut self, bytes: u64) -> Self {
        self.0.max_body = Some(bytes);
        self
    }

    /// Sends the client's `Host` on, in place of the endpoint's.
    pub fn preserve_host(mut self) -> Self {
        self.0.preserve_host = true;
        self
    }

    /// Sets the security headers that the service's answers lack, or does not, whatever the gateway does elsewhere.
    pub fn security_headers(mut self, set: bool) -> Self {
        self.0.security_headers = Some(set);
        self
    }

    /// Tells callers in every answer that it is not to be used any more, unless the upstream does: `Deprecation`, `Sunset`,
    /// `Link`.
    pub fn deprecated(mut self, deprecation: impl Into<DeprecationConfig>) -> Self {
        self.0.deprecated = Some(deprecation.into());
        self
    }
}

impl From<RouteConfig> for Route {
    fn from(config: RouteConfig) -> Self {
        Self(config)
    }
}

impl From<Route> for RouteConfig {
    fn from(route: Route) -> Self {
        route.0
    }
}

/// Optional durations as `"30s"`.
mod humantime_option {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(value: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
        match value {
            Some(value) => sap_comm_core::config::duration::serialize(value, serializer),
            None => serializer.serialize_none(),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
        let Some(text) = Option::<String>::deserialize(deserializer)? else { return Ok(None) };
        humantime::parse_duration(&text)
            .map(Some)
            .map_err(|error| D::Error::custom(format_args!("invalid duration {text:?}: {error}")))
    }
}
