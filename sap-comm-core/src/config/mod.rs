//! Configuration from environment variables, and from files with the feature `files`, into any struct that deserializes.

use config::{Config, Environment};
use serde::de::DeserializeOwned;

pub mod duration;
mod error;
#[cfg(feature = "files")]
mod file;
mod variable;

pub use error::ConfigError;
#[cfg(feature = "files")]
pub use file::{Format, from_text};
use variable::Variable;

/// Reads `T` from the variables that begin with `SAP_`; a double underscore separates levels, a comma list items.
///
/// `SAP_GATEWAY__MAX_BODY=1048576` fills `gateway.max_body`, and `SAP_GATEWAY__TRUSTED_PROXIES=10.0.0.1, 10.0.0.2` a list of
/// two; an empty variable is an empty list. Durations are read as `30s` where the field says
/// `#[serde(with = "sap_comm_core::config::duration")]`. Put `#[serde(deny_unknown_fields)]` on every struct, so that a
/// misspelt variable is an error.
///
/// # Errors
/// When a required variable is missing, one has the wrong type, or one is unknown; the variable is named.
pub fn from_env<T: DeserializeOwned>() -> Result<T, ConfigError> {
    from_pairs(
        std::env::vars_os().filter_map(|(key, value)| Some((key.into_string().ok()?, value.into_string().ok()?))),
    )
}

/// Like [`from_env`], from the pairs given.
///
/// # Errors
/// As [`from_env`].
pub fn from_pairs<T: DeserializeOwned>(pairs: impl IntoIterator<Item = (String, String)>) -> Result<T, ConfigError> {
    let environment = Environment::with_prefix(PREFIX)
        .prefix_separator("_")
        .separator("__")
        .source(Some(pairs.into_iter().collect()));
    Config::builder()
        .add_source(environment)
        .build()
        .and_then(|config| T::deserialize(Variable(config.cache)))
        .map_err(|error| in_words_of_the_environment(&error))
}

const PREFIX: &str = "SAP";

/// What an error is about that names no variable.
const ALL: &str = "SAP_*";

/// Names variables instead of keys: `gateway.max_body` is `SAP_GATEWAY__MAX_BODY`.
fn in_words_of_the_environment(error: &config::ConfigError) -> ConfigError {
    use config::ConfigError as E;
    let variable = |key: &str| format!("{PREFIX}_{}", key.replace('.', "__").to_ascii_uppercase());
    match error {
        E::NotFound(key) => ConfigError::new(&variable(key), "is missing"),
        E::Type { unexpected, expected, key: Some(key), .. } => {
            ConfigError::new(&variable(key), format_args!("expected {expected}, got {unexpected}"))
        }
        E::At { error, key: Some(key), .. } => {
            // An unknown field is the key itself.
            if let E::Message(message) = &**error
                && let Some((_, known)) = split_field(message, "unknown field")
            {
                return ConfigError::new(&variable(key), format_args!("is not known{known}"));
            }
            let inner = in_words_of_the_environment(error);
            match inner.field() {
                ALL => ConfigError::new(&variable(key), inner.reason()),
                field => ConfigError::new(&variable(key), format_args!("{field} {}", inner.reason())),
            }
        }
        E::At { error, .. } => in_words_of_the_environment(error),
        E::Message(message) => {
            if let Some((field, _)) = split_field(message, "missing field") {
                ConfigError::new(&variable(field), "is missing")
            } else {
                ConfigError::new(ALL, message)
            }
        }
        other => ConfigError::new(ALL, other),
    }
}

/// Takes serde's ``unknown field `x`, expected …`` apart.
fn split_field<'a>(message: &'a str, what: &str) -> Option<(&'a str, &'a str)> {
    message.strip_prefix(what)?.strip_prefix(" `")?.split_once('`')
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize, PartialEq)]
    #[serde(deny_unknown_fields)]
    struct Options {
        broker: String,
        #[serde(default)]
        gateway: Gateway,
    }

    #[derive(Debug, Deserialize, PartialEq, Default)]
    #[serde(deny_unknown_fields, default)]
    struct Gateway {
        max_body: u64,
        #[serde(with = "duration")]
        timeout: Duration,
        proxies: Vec<String>,
        ports: Option<Vec<u16>>,
        delays: Vec<Delay>,
    }

    #[derive(Debug, Deserialize, PartialEq)]
    struct Delay(#[serde(with = "duration")] Duration);

    fn load(pairs: &[(&str, &str)]) -> Result<Options, ConfigError> {
        from_pairs(pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())))
    }

    #[test]
    fn nested_values_and_durations_are_read() {
        let options = load(&[
            ("SAP_BROKER", "memory://"),
            ("SAP_GATEWAY__MAX_BODY", "1024"),
            ("SAP_GATEWAY__TIMEOUT", "30s"),
            ("PATH", "/bin"),
        ])
        .unwrap();
        let expected = Gateway { max_body: 1024, timeout: Duration::from_secs(30), ..Gateway::default() };
        assert_eq!(options.gateway, expected);
    }

    #[test]
    fn a_comma_separates_the_items_of_a_list() {
        let options = load(&[
            ("SAP_BROKER", "amqp://a,b"),
            ("SAP_GATEWAY__PROXIES", "10.0.0.1, 10.0.0.2,007"),
            ("SAP_GATEWAY__PORTS", "80"),
            ("SAP_GATEWAY__DELAYS", "100ms,1s"),
        ])
        .unwrap();
        assert_eq!(options.broker, "amqp://a,b", "text stays whole");
        assert_eq!(options.gateway.proxies, ["10.0.0.1", "10.0.0.2", "007"]);
        assert_eq!(options.gateway.ports, Some(vec![80]));
        assert_eq!(options.gateway.delays, [Duration::from_millis(100), Duration::from_secs(1)].map(Delay));
        let none = load(&[("SAP_BROKER", "memory://"), ("SAP_GATEWAY__PROXIES", "")]).unwrap();
        assert!(none.gateway.proxies.is_empty());
    }

    #[test]
    fn what_is_missing_wrong_or_unknown_is_named() {
        for (pairs, name) in [
            (&[][..], "SAP_BROKER"),
            (&[("SAP_BROKER", "memory://"), ("SAP_GATEWAY__MAX_BODY", "lots")], "SAP_GATEWAY__MAX_BODY"),
            (&[("SAP_BROKER", "memory://"), ("SAP_GATEWAY__TIMEOUT", "soon")], "SAP_GATEWAY__TIMEOUT"),
            (&[("SAP_BROKER", "memory://"), ("SAP_GATEWAY__PORTS", "80,many")], "SAP_GATEWAY__PORTS"),
            (&[("SAP_BROKER", "memory://"), ("SAP_GATEWAY__DELAYS", "soon")], "SAP_GATEWAY__DELAYS"),
            (&[("SAP_BROKER", "memory://"), ("SAP_GATEWAY__MAX_BDY", "1")], "SAP_GATEWAY__MAX_BDY"),
            (&[("SAP_BROKER", "memory://"), ("SAP_BROKR", "x")], "SAP_BROKR"),
        ] {
            let error = load(pairs).unwrap_err();
            assert_eq!(error.field(), name, "{error}");
        }
    }
}
