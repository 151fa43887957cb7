use std::time::Duration;

use http::{HeaderName, HeaderValue, Method};
use sap_comm_core::config::{ConfigError, duration};
use serde::{Deserialize, Serialize};
use tower_http::cors::{self, AllowOrigin};
use url::Url;

use super::CorsLayer;
use crate::options::check_duration;

/// Which web pages of other origins may call, and what they may see.
///
/// Origins are compared as a whole. There is no way to take any origin with credentials: a page that its user merely visits
/// could then act as them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Options", into = "Options")]
pub struct CorsConfig {
    options: Options,
    origins: Option<Vec<HeaderValue>>,
    allowed: Vec<HeaderName>,
    exposed: Vec<HeaderName>,
}

/// The form in files and variables.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Options {
    /// Such as `https://app.example.com`; `*` alone for any, without credentials.
    origins: Vec<String>,
    #[serde(default)]
    credentials: bool,
    /// The headers that a page may send.
    #[serde(default = "default_allowed")]
    allowed_headers: Vec<String>,
    /// The headers of a response that a page may read.
    #[serde(default = "default_exposed")]
    exposed_headers: Vec<String>,
    #[serde(default = "default_max_age", with = "duration")]
    max_age: Duration,
}

const METHODS: [Method; 6] = [Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::PATCH, Method::DELETE];

fn default_allowed() -> Vec<String> {
    ["authorization", "content-type", "idempotency-key", "if-match", "if-none-match", "x-request-id"]
        .map(Into::into)
        .into()
}

/// What the kit and the gateway tell by headers.
fn default_exposed() -> Vec<String> {
    [
        "deprecation",
        "etag",
        "idempotency-replayed",
        "link",
        "location",
        "ratelimit-limit",
        "ratelimit-remaining",
        "ratelimit-reset",
        "retry-after",
        "sunset",
        "x-request-id",
    ]
    .map(Into::into)
    .into()
}

fn default_max_age() -> Duration {
    Duration::from_secs(600)
}

impl CorsConfig {
    /// Lets pages of these origins call, such as `https://app.example.com`.
    ///
    /// # Errors
    /// Names the first that is no origin: a path, `null`, a wildcard.
    pub fn new(origins: impl IntoIterator<Item = impl Into<String>>) -> Result<Self, ConfigError> {
        Options::of(origins.into_iter().map(Into::into).collect()).try_into()
    }

    /// Lets pages of any origin call, which their browsers do without cookies.
    ///
    /// # Errors
    /// Never, as it stands.
    pub fn any_origin() -> Result<Self, ConfigError> {
        Options::of(vec![ANY.to_owned()]).try_into()
    }

    /// Lets the browser send its cookies along.
    ///
    /// # Errors
    /// When any origin may call.
    pub fn credentials(self) -> Result<Self, ConfigError> {
        Options { credentials: true, ..self.options }.try_into()
    }

    /// Lets pages send these headers, in place of the usual ones.
    ///
    /// # Errors
    /// Names the first that is no header.
    pub fn allowed_headers(self, names: impl IntoIterator<Item = impl Into<String>>) -> Result<Self, ConfigError> {
        Options { allowed_headers: names.into_iter().map(Into::into).collect(), ..self.options }.try_into()
    }

    /// Lets pages read these headers of an answer, in place of those that the kit and the gateway tell something by.
    ///
    /// # Errors
    /// Names the first that is no header.
    pub fn exposed_headers(self, names: impl IntoIterator<Item = impl Into<String>>) -> Result<Self, ConfigError> {
        Options { exposed_headers: names.into_iter().map(Into::into).collect(), ..self.options }.try_into()
    }

    /// For how long a browser need not ask again. Default 10 min.
    ///
    /// # Errors
    /// When it is no time that can be kept.
    pub fn max_age(self, max_age: Duration) -> Result<Self, ConfigError> {
        Options { max_age, ..self.options }.try_into()
    }

    /// The layer that answers a browser's questions, which are `OPTIONS` with `Origin` and `Access-Control-Request-Method`; it stands outside of whatever authenticates.
    pub fn layer(&self) -> CorsLayer {
        let origin = match &self.origins {
            None => AllowOrigin::any(),
            Some(origins) => AllowOrigin::list(origins.iter().cloned()),
        };
        let layer = cors::CorsLayer::new()
            .allow_origin(origin)
            .allow_credentials(self.options.credentials)
            .allow_methods(METHODS)
            .allow_headers(self.allowed.clone())
            .expose_headers(self.exposed.clone())
            .max_age(self.options.max_age);
        CorsLayer(layer)
    }
}

const ANY: &str = "*";

impl Options {
    fn of(origins: Vec<String>) -> Self {
        Self {
            origins,
            credentials: false,
            allowed_headers: default_allowed(),
            exposed_headers: default_exposed(),
            max_age: default_max_age(),
        }
    }
}

impl TryFrom<Options> for CorsConfig {
    type Error = ConfigError;

    fn try_from(options: Options) -> Result<Self, ConfigError> {
        let any = options.origins == [ANY];
        if options.origins.is_empty() {
            return Err(ConfigError::new("origins", "is empty: name an origin, or leave CORS out"));
        }
        if any && options.credentials {
            return Err(ConfigError::refused("credentials", true, "with any origin: name the origins"));
        }
        let origins =
            options.origins.iter().filter(|_| !any).map(|text| origin(text)).collect::<Result<Vec<_>, _>>()?;
        check_duration("max_age", options.max_age)?;
        Ok(Self {
            origins: (!any).then_some(origins),
            allowed: header_names("allowed_headers", &options.allowed_headers)?,
            exposed: header_names("exposed_headers", &options.exposed_headers)?,
            options,
        })
    }
}

impl From<CorsConfig> for Options {
    fn from(config: CorsConfig) -> Self {
        config.options
    }
}

/// An origin as browsers write it.
fn origin(text: &str) -> Result<HeaderValue, ConfigError> {
    let refused =
        || ConfigError::refused("origins", format!("{text:?}"), "must be an origin such as https://app.example.com");
    let url = Url::parse(text).map_err(|_| refused())?;
    let exact = !text.contains(ANY) && url.origin().ascii_serialization() == text;
    let is_origin = exact && matches!(url.scheme(), "http" | "https");
    HeaderValue::from_str(text).ok().filter(|_| is_origin).ok_or_else(refused)
}

fn header_names(field: &str, names: &[String]) -> Result<Vec<HeaderName>, ConfigError> {
    let parse = |name: &String| {
        // A wildcard is a header's name too, and means every header.
        let parsed = name.parse().ok().filter(|_| name != ANY);
        parsed.ok_or_else(|| ConfigError::refused(field, format!("{name:?}"), "must be the name of a header"))
    };
    names.iter().map(parse).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unsafe_configuration_cannot_be_made() {
        for origin in [
            "null",
            "",
            "https://",
            "app.example.com",
            "https://app.example.com/",
            "https://app.example.com/page",
            "https://*.example.com",
            "https://user@app.example.com",
            "https://APP.example.com",
            "https://app.example.com:443",
            "file:///etc/passwd",
            "https://a.example, https://b.example",
        ] {
            let error = CorsConfig::new([origin]).unwrap_err();
            assert!(error.field() == "origins" && error.to_string().contains(origin), "{error}");
        }
        assert_eq!(CorsConfig::new(["*"]).unwrap(), CorsConfig::any_origin().unwrap());
        assert!(CorsConfig::new(["*", "https://a.example"]).is_err());
        assert_eq!(CorsConfig::any_origin().unwrap().credentials().unwrap_err().field(), "credentials");
        assert_eq!(CorsConfig::new(Vec::<String>::new()).unwrap_err().field(), "origins");
        let config = CorsConfig::new(["https://app.example.com"]).unwrap();
        assert_eq!(config.clone().allowed_headers(["*"]).unwrap_err().field(), "allowed_headers");
        assert!(config.credentials().is_ok());
    }

    #[test]
    fn text_is_read_as_strictly() {
        let config: CorsConfig =
            serde_json::from_str(r#"{"origins": ["https://a.example"], "credentials": true, "max_age": "1m"}"#)
                .unwrap();
        assert_eq!(config.options.max_age, Duration::from_secs(60));
        let again: CorsConfig = serde_json::from_value(serde_json::to_value(&config).unwrap()).unwrap();
        assert_eq!(again, config);
        for text in [r#"{"origins": ["*"], "credentials": true}"#, r#"{"origins": ["null"]}"#, r#"{"origin": "*"}"#] {
            assert!(serde_json::from_str::<CorsConfig>(text).is_err(), "{text}");
        }
    }
}
