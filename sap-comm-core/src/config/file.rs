use std::path::Path;

use serde::de::DeserializeOwned;

use super::ConfigError;

/// How a configuration is written down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Format {
    /// TOML.
    Toml,
    /// JSON.
    Json,
}

impl Format {
    /// The format that a file's name ends in.
    ///
    /// # Errors
    /// For other endings than `.toml` and `.json`.
    pub fn of(path: &Path) -> Result<Self, ConfigError> {
        match path.extension().and_then(|ending| ending.to_str()) {
            Some("toml") => Ok(Self::Toml),
            Some("json") => Ok(Self::Json),
            _ => Err(ConfigError::new(&path.display().to_string(), "the name must end in .toml or .json")),
        }
    }
}

/// Reads `T` from the text of a file.
///
/// # Errors
/// When the text is not of the format, a value has the wrong type, or a key is unknown or missing: the key and the line
/// are named.
pub fn from_text<T: DeserializeOwned>(text: &str, format: Format) -> Result<T, ConfigError> {
    match format {
        Format::Toml => {
            let named = |path: String, error: &toml::de::Error| {
                let line = error.span().map(|span| line_at(text, span.start));
                failed(&path, error.message(), line)
            };
            let deserializer = toml::Deserializer::parse(text).map_err(|error| named(ALL.to_owned(), &error))?;
            serde_path_to_error::deserialize(deserializer)
                .map_err(|error| named(error.path().to_string(), error.inner()))
        }
        Format::Json => {
            let mut deserializer = serde_json::Deserializer::from_str(text);
            let value = serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
                let inner = error.inner();
                let message = inner.to_string();
                // The line stands beside the message.
                let message = message.split(" at line ").next().unwrap_or_default();
                failed(&error.path().to_string(), message, Some(inner.line()))
            })?;
            deserializer.end().map_err(|error| failed(ALL, "more follows the value", Some(error.line())))?;
            Ok(value)
        }
    }
}

/// What an error is about that names no key.
const ALL: &str = ".";

fn failed(path: &str, message: &str, line: Option<usize>) -> ConfigError {
    match line {
        Some(line) => ConfigError::new(path, format_args!("line {line}: {message}")),
        None => ConfigError::new(path, message),
    }
}

/// The number, from 1, of the line that holds the byte `at`.
fn line_at(text: &str, at: usize) -> usize {
    text.bytes().take(at).filter(|byte| *byte == b'\n').count() + 1
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde::Deserialize;

    use super::*;
    use crate::config::duration;

    #[derive(Debug, Deserialize, PartialEq)]
    #[serde(deny_unknown_fields)]
    struct Options {
        routes: Vec<Route>,
    }

    #[derive(Debug, Deserialize, PartialEq)]
    #[serde(deny_unknown_fields)]
    struct Route {
        path: String,
        #[serde(default, with = "duration")]
        timeout: Duration,
    }

    #[test]
    fn both_formats_read_alike() {
        let toml: Options = from_text("[[routes]]\npath = \"/a\"\ntimeout = \"3s\"\n", Format::Toml).unwrap();
        let json = from_text(r#"{"routes": [{"path": "/a", "timeout": "3s"}]}"#, Format::Json).unwrap();
        assert_eq!(toml, json);
        assert_eq!(toml.routes[0].timeout, Duration::from_secs(3));
    }

    #[test]
    fn what_is_wrong_is_named_with_its_line() {
        for (text, format, field, line) in [
            ("[[routes]]\npath = \"/a\"\n[[routes]]\npath = \"/b\"\ntimout = \"3s\"\n", Format::Toml, "timout", 5),
            ("[[routes]]\npath = \"/a\"\ntimeout = \"soon\"\n", Format::Toml, "routes[0].timeout", 3),
            ("[[routes]]\ntimeout = \"1s\"\n", Format::Toml, "routes[0]", 1),
            ("[[routes]]\npath = \n", Format::Toml, ".", 2),
            ("{\"routes\": [\n{\"path\": 7}]}", Format::Json, "routes[0].path", 2),
            ("{\"routes\": [\n{\"path\": \"/a\",\n\"acess\": 1}]}", Format::Json, "acess", 3),
            ("{\"routes\": []}\n\n!", Format::Json, ".", 3),
        ] {
            let error = from_text::<Options>(text, format).unwrap_err();
            assert!(error.field().ends_with(field), "{text:?}: {error}");
            assert!(error.reason().contains(&format!("line {line}:")), "{text:?}: {error}");
        }
    }

    #[test]
    fn a_name_tells_the_format() {
        assert_eq!(Format::of(Path::new("/etc/routes.toml")), Ok(Format::Toml));
        assert_eq!(Format::of(Path::new("routes.json")), Ok(Format::Json));
        assert!(Format::of(Path::new("routes.yaml")).unwrap_err().to_string().contains("routes.yaml"));
    }
}
