//! The licences and bans of `deny.toml`, with cargo-deny where it is installed.

use serde::Deserialize;

use super::{licence_expression::permits, verdict};
use crate::{
    command::{Run, read},
    error::TaskError,
    metadata::{Metadata, Package},
};

const POLICY: &str = "deny.toml";

/// The part of the policy that is checked without cargo-deny.
#[derive(Debug, Deserialize)]
struct Policy {
    licenses: Licenses,
    bans: Bans,
}

#[derive(Debug, Deserialize)]
struct Licenses {
    allow: Vec<String>,
    #[serde(default)]
    exceptions: Vec<Exception>,
}

#[derive(Debug, Deserialize)]
struct Exception {
    #[serde(alias = "name")]
    #[serde(rename = "crate")]
    package: String,
    allow: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct Bans {
    deny: Vec<Ban>,
}

#[derive(Debug, Deserialize)]
struct Ban {
    #[serde(alias = "name")]
    #[serde(rename = "crate")]
    package: String,
    #[serde(default)]
    reason: String,
}

pub(super) fn check() -> Result<String, TaskError> {
    if Run::cargo().args(["deny", "--version"]).capture().is_ok() {
        let deny = Run::cargo().args(["deny", "--all-features", "check", "bans", "licenses", "sources"]);
        return deny.capture().map(|_| "by cargo-deny".to_owned());
    }
    let policy: Policy = toml::from_str(&read(POLICY)?)
        .map_err(|error| TaskError::Unreadable { path: POLICY.to_owned(), reason: error.to_string() })?;
    let metadata = Metadata::load()?;
    let findings: Vec<String> = metadata.packages.iter().filter_map(|package| policy.objects_to(package)).collect();
    verdict(&findings, format!("{} packages, without cargo-deny", metadata.packages.len()))
}

impl Policy {
    /// Why a package may not be used.
    fn objects_to(&self, package: &Package) -> Option<String> {
        if let Some(ban) = self.bans.deny.iter().find(|ban| ban.package == package.name) {
            return Some(format!("{} is banned: {}", package.name, ban.reason));
        }
        let Some(expression) = &package.license else {
            return Some(format!("{} {} names no licence", package.name, package.version));
        };
        let exceptions = self.licenses.exceptions.iter().filter(|exception| exception.package == package.name);
        let granted: Vec<&String> =
            self.licenses.allow.iter().chain(exceptions.flat_map(|exception| &exception.allow)).collect();
        let permitted = permits(expression, &|licence| granted.iter().any(|allowed| *allowed == licence));
        (!permitted).then(|| format!("{} {}: {expression} is not allowed", package.name, package.version))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(name: &str, licence: Option<&str>) -> Package {
        serde_json::from_value(serde_json::json!({
            "id": name, "name": name, "version": "1.0.0", "license": licence, "rust_version": null,
            "dependencies": [], "features": {}, "targets": [], "publish": null,
        }))
        .unwrap()
    }

    #[test]
    fn the_policy_of_the_workspace_can_be_read_and_refuses_what_it_should() {
        let policy: Policy = toml::from_str(&read(POLICY).unwrap()).unwrap();
        assert_eq!(policy.objects_to(&package("any", Some("MIT OR Apache-2.0"))), None);
        assert!(policy.objects_to(&package("any", Some("GPL-3.0-only"))).is_some());
        assert!(policy.objects_to(&package("any", None)).is_some());
        assert!(policy.objects_to(&package("openssl", Some("MIT"))).unwrap().contains("banned"));
    }

    #[test]
    fn an_exception_is_for_its_package_only() {
        let policy: Policy = toml::from_str(
            "licenses = { allow = ['MIT'], exceptions = [{ crate = 'roots', allow = ['CDLA-Permissive-2.0'] }] }\n\
             bans = { deny = [] }",
        )
        .unwrap();
        assert_eq!(policy.objects_to(&package("roots", Some("CDLA-Permissive-2.0"))), None);
        assert!(policy.objects_to(&package("other", Some("CDLA-Permissive-2.0"))).is_some());
    }
}
