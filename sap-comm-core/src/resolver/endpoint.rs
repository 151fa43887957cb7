use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use url::Url;

use crate::Name;

/// Where one instance of a service listens: scheme, host, port and a weight.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Endpoint {
    scheme: &'static str,
    authority: Name,
    weight: u32,
}

/// The text is not an endpoint.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid endpoint {text:?}: {reason}")]
pub struct EndpointError {
    text: String,
    reason: String,
}

impl Endpoint {
    /// Reads `http://host:port` or `https://host:port`.
    ///
    /// # Errors
    /// For other schemes, a missing host, credentials, a path, a query or a fragment.
    pub fn parse(text: &str) -> Result<Self, EndpointError> {
        let fail = |reason: &str| EndpointError { text: text.to_owned(), reason: reason.to_owned() };
        let url = Url::parse(text.trim()).map_err(|error| fail(&error.to_string()))?;
        let scheme = match url.scheme() {
            "http" => "http",
            "https" => "https",
            _ => return Err(fail("the scheme must be http or https")),
        };
        let host = url.host_str().ok_or_else(|| fail("the host is missing"))?;
        if !url.username().is_empty() || url.password().is_some() {
            // The text holds a secret, so it is not repeated.
            return Err(EndpointError {
                text: format!("{scheme}://…@{host}"),
                reason: "credentials do not belong in an endpoint".into(),
            });
        }
        if url.path() != "/" || url.query().is_some() || url.fragment().is_some() {
            return Err(fail("an endpoint has no path, query or fragment"));
        }
        let port = url.port_or_known_default().ok_or_else(|| fail("the port is missing"))?;
        if port == 0 {
            return Err(fail("port 0 is no endpoint"));
        }
        Ok(Self { scheme, authority: format!("{host}:{port}").into(), weight: 1 })
    }

    /// With a weight; a balancer sends an endpoint of weight 2 twice as much as one of weight 1.
    #[must_use]
    pub fn with_weight(mut self, weight: u32) -> Self {
        self.weight = weight;
        self
    }

    /// `http` or `https`.
    #[must_use]
    pub fn scheme(&self) -> &'static str {
        self.scheme
    }

    /// `host:port`.
    #[must_use]
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// The weight, 1 unless set.
    #[must_use]
    pub fn weight(&self) -> u32 {
        self.weight
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme, self.authority)
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self} (weight {})", self.weight)
    }
}

impl FromStr for Endpoint {
    type Err = EndpointError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

impl Serialize for Endpoint {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Endpoint {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(de::Error::custom)
    }
}

/// All endpoints of a service at one moment: sorted, without duplicates.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[serde(transparent)]
pub struct EndpointSet(Vec<Endpoint>);

impl EndpointSet {
    /// The endpoints.
    #[must_use]
    pub fn as_slice(&self) -> &[Endpoint] {
        &self.0
    }

    /// Whether the service has no endpoint.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl FromIterator<Endpoint> for EndpointSet {
    fn from_iter<I: IntoIterator<Item = Endpoint>>(endpoints: I) -> Self {
        let mut endpoints: Vec<_> = endpoints.into_iter().collect();
        endpoints.sort();
        endpoints.dedup_by(|a, b| (a.scheme, &a.authority) == (b.scheme, &b.authority));
        Self(endpoints)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_are_read_strictly() {
        assert_eq!(Endpoint::parse("http://user-service").unwrap().authority(), "user-service:80");
        assert_eq!(Endpoint::parse("https://[::1]:8443/").unwrap().to_string(), "https://[::1]:8443");
        for text in ["", "user-service:80", "ftp://a", "http://a/path", "http://a?x=1", "http://a:0", "http://"] {
            assert!(Endpoint::parse(text).is_err(), "{text}");
        }
        assert!(!Endpoint::parse("http://me:hunter2@a").unwrap_err().to_string().contains("hunter2"));
    }
}
