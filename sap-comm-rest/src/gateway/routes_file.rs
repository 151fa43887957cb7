//! Routes from a file, which may change while the gateway serves.

use std::{
    io::Read,
    path::{Path, PathBuf},
    sync::{Arc, Weak},
    time::Duration,
};

use sap_comm_core::config::{ConfigError, Format, from_text};
use serde::{Deserialize, Serialize};
use tokio::{
    sync::watch,
    time::{MissedTickBehavior, interval},
};

use super::{RouteConfig, service::Inner};

/// A larger file is no list of routes.
const MAX_FILE: u64 = 4 << 20;

/// What the file holds.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Contents {
    routes: Vec<RouteConfig>,
}

/// Which routes a gateway serves by.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct RoutesStatus {
    /// How often they were replaced.
    pub generation: u64,
    /// Why the file, as it is now, is not served by; the routes before it are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// A file of routes, and what it held when it was last read.
#[derive(Debug, Clone)]
pub(super) struct RoutesFile {
    path: PathBuf,
    format: Format,
    pub(super) text: String,
}

impl RoutesFile {
    pub(super) fn open(path: &Path) -> Result<Self, ConfigError> {
        let format = Format::of(path)?;
        Ok(Self { path: path.to_owned(), format, text: read(path)? })
    }

    /// The routes that it held.
    pub(super) fn routes(&self) -> Result<Vec<RouteConfig>, ConfigError> {
        from_text::<Contents>(&self.text, self.format)
            .map(|contents| contents.routes)
            .map_err(|error| self.names(&error))
    }

    /// The same error, with the file and the line that it is about.
    pub(super) fn names(&self, error: &ConfigError) -> ConfigError {
        let line = line_of(&self.text, error.field()).filter(|_| !error.reason().contains("line "));
        let line = line.map(|line| format!("line {line}: ")).unwrap_or_default();
        let reason = format!("{line}{} (in {})", error.reason(), self.path.display());
        match error.value() {
            Some(value) => ConfigError::refused(error.field(), value, reason),
            None => ConfigError::new(error.field(), reason),
        }
    }
}

fn read(path: &Path) -> Result<String, ConfigError> {
    let fail = |reason: String| ConfigError::new(&path.display().to_string(), reason);
    let file = std::fs::File::open(path).map_err(|error| fail(format!("cannot be read: {error}")))?;
    let mut text = String::new();
    let read = file.take(MAX_FILE + 1).read_to_string(&mut text);
    match read.map_err(|error| fail(format!("cannot be read: {error}")))? as u64 {
        length if length > MAX_FILE => Err(fail(format!("is over {MAX_FILE} bytes"))),
        _ => Ok(text),
    }
}

/// The line, from 1, of a field such as `routes[/api/v1/users].roles`: below its route's path, or that path's own.
fn line_of(text: &str, field: &str) -> Option<usize> {
    let (path, key) = field.strip_prefix("routes[")?.split_once(']')?;
    let key = key.trim_start_matches('.').split('.').next().unwrap_or_default();
    let quoted = [format!("\"{path}\""), format!("'{path}'")];
    let lines: Vec<_> = text.lines().collect();
    // Of routes at one path the last is the one in conflict.
    let at = lines.iter().rposition(|line| line.contains("path") && quoted.iter().any(|path| line.contains(path)))?;
    let begins = |line: &&str| line.trim_start().starts_with("[[") || line.contains('{');
    let above = lines[..at].iter().rposition(begins).unwrap_or(0);
    let below =
        lines[at + 1..].iter().position(|line| line.trim_start().starts_with("[[")).map_or(lines.len(), |n| at + 1 + n);
    let names_key = |line: &&str| !key.is_empty() && line.trim_start().trim_start_matches('"').starts_with(key);
    let found = lines[above..below].iter().position(names_key).map(|n| above + n);
    Some(found.unwrap_or(at) + 1)
}

/// Serves by the file's routes once it has changed and rests, for as long as the gateway lives.
pub(super) async fn follow(
    mut file: RoutesFile,
    gateway: Weak<Inner>,
    every: Duration,
    status: watch::Sender<RoutesStatus>,
) {
    let mut ticks = interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // The first comes at once, and the file was just read.
    ticks.tick().await;
    let mut settled = Ok(file.text.clone());
    let mut seen = settled.clone();
    loop {
        ticks.tick().await;
        let path = file.path.clone();
        let read = match tokio::task::spawn_blocking(move || read(&path)).await {
            Ok(read) => read,
            Err(error) => Err(ConfigError::new(&file.path.display().to_string(), error)),
        };
        // What is half-written may be a whole list of other routes: it is taken once two looks have seen the same.
        if read != seen {
            seen = read;
            continue;
        }
        if read == settled {
            continue;
        }
        settled.clone_from(&read);
        let Some(gateway) = gateway.upgrade() else { return };
        match read {
            Ok(text) => file.text = text,
            Err(error) => {
                refuse(&status, &error);
                continue;
            }
        }
        match replace(&file, &gateway) {
            Ok(routes) => {
                tracing::info!(file = %file.path.display(), routes, "routes replaced");
                status.send_modify(|status| {
                    status.generation += 1;
                    status.error = None;
                });
            }
            Err(error) => refuse(&status, &error),
        }
    }
}

fn replace(file: &RoutesFile, gateway: &Arc<Inner>) -> Result<usize, ConfigError> {
    let routes = file.routes()?;
    let count = routes.len();
    gateway.replace_routes(routes).map_err(|error| file.names(&error))?;
    Ok(count)
}

fn refuse(status: &watch::Sender<RoutesStatus>, error: &ConfigError) {
    tracing::error!(%error, "the file of routes is not served by; those before it are");
    status.send_modify(|status| status.error = Some(error.to_string()));
}

#[cfg(test)]
mod tests {
    use super::line_of;

    #[test]
    fn the_line_of_a_routes_field_is_found() {
        let toml = "# routes\n[[routes]]\npath = \"/a\"\naccess = \"public\"\nroles = [\"x\"]\n\n[[routes]]\nroles = []\npath = '/b'\n";
        let json = "{\"routes\": [\n  {\n    \"path\": \"/a\",\n    \"roles\": [\"x\"]\n  }\n]}";
        for (text, field, line) in [
            (toml, "routes[/a].roles", Some(5)),
            (toml, "routes[/a].target", Some(3)),
            (toml, "routes[/b].roles", Some(8)),
            (toml, "routes[/a].rate_limit.requests", Some(3)),
            (json, "routes[/a].roles", Some(4)),
            (json, "routes[/b].roles", None),
            (toml, "rate_limit.quota", None),
        ] {
            assert_eq!(line_of(text, field), line, "{field}");
        }
    }
}
