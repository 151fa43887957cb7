//! What `cargo metadata` tells.

use std::{
    cmp::Ordering,
    collections::{BTreeMap, BTreeSet},
};

use serde::Deserialize;

use crate::{command::Run, error::TaskError};

#[derive(Debug, Deserialize)]
pub(crate) struct Metadata {
    pub(crate) packages: Vec<Package>,
    workspace_members: Vec<String>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Package {
    id: String,
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) license: Option<String>,
    pub(crate) rust_version: Option<String>,
    pub(crate) dependencies: Vec<Dependency>,
    pub(crate) features: BTreeMap<String, Vec<String>>,
    pub(crate) targets: Vec<Target>,
    /// `None` when it may be published anywhere, empty when nowhere.
    pub(crate) publish: Option<Vec<String>>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Dependency {
    pub(crate) name: String,
    /// `None` for a normal dependency.
    pub(crate) kind: Option<String>,
    pub(crate) path: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Target {
    pub(crate) name: String,
    pub(crate) kind: Vec<String>,
}

impl Metadata {
    /// Every package that any feature brings, on any platform.
    ///
    /// `cargo metadata` also lists optional packages that nothing switches on; `cargo tree` knows better.
    pub(crate) fn load() -> Result<Self, TaskError> {
        let output = Run::cargo().args(["metadata", "--format-version", "1", "--all-features"]).capture()?;
        let mut metadata: Self = serde_json::from_str(&output.stdout)
            .map_err(|error| TaskError::Unreadable { path: "cargo metadata".to_owned(), reason: error.to_string() })?;
        let used = tree(&["--workspace", "--all-features", "--target", "all"])?;
        metadata.packages.retain(|package| used.contains(&(package.name.clone(), package.version.clone())));
        Ok(metadata)
    }

    /// The crates of this workspace.
    pub(crate) fn members(&self) -> impl Iterator<Item = &Package> {
        self.packages.iter().filter(|package| self.workspace_members.contains(&package.id))
    }

    /// The crates of others.
    pub(crate) fn foreign(&self) -> impl Iterator<Item = &Package> {
        self.packages.iter().filter(|package| !self.workspace_members.contains(&package.id))
    }
}

impl Package {
    /// Whether it has a library that other crates may use: the crates that are published.
    pub(crate) fn is_published(&self) -> bool {
        self.publish.is_none()
    }

    /// The names of its binaries.
    pub(crate) fn binaries(&self) -> impl Iterator<Item = &str> {
        let binaries = self.targets.iter().filter(|target| target.kind.iter().any(|kind| kind == "bin"));
        binaries.map(|target| target.name.as_str())
    }
}

/// Name and version of every package in a dependency tree.
pub(crate) fn tree(args: &[&str]) -> Result<BTreeSet<(String, String)>, TaskError> {
    let output = Run::cargo().args(["tree", "--prefix", "none", "--format", "{p}"]).args(args).capture()?;
    Ok(names(&output.stdout))
}

/// Reads lines of `name vVERSION …` and passes over headings.
fn names(tree: &str) -> BTreeSet<(String, String)> {
    let words = tree.lines().map(str::split_whitespace);
    words
        .filter_map(|mut words| {
            let name = words.next()?;
            Some((name.to_owned(), words.next()?.strip_prefix('v')?.to_owned()))
        })
        .collect()
}

/// Orders versions such as `1.94` and `1.94.0` by their numbers.
pub(crate) fn compare_versions(one: &str, other: &str) -> Ordering {
    let numbers = |version: &str| -> [u64; 3] {
        let mut parts = version.split(['.', '-', '+']).map(|part| part.parse().unwrap_or(0));
        std::array::from_fn(|_| parts.next().unwrap_or(0))
    };
    numbers(one).cmp(&numbers(other))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_without_headings() {
        let tree = "cmake v0.1.58\n[build-dependencies]\naws-lc-sys v0.47.0\naws-lc-sys v0.47.0 (*)\n";
        let expected = [("aws-lc-sys", "0.47.0"), ("cmake", "0.1.58")];
        assert_eq!(names(tree), expected.map(|(name, version)| (name.to_owned(), version.to_owned())).into());
    }

    #[test]
    fn versions_are_ordered_by_number_and_not_by_text() {
        assert_eq!(compare_versions("1.94", "1.94.0"), Ordering::Equal);
        assert_eq!(compare_versions("1.100", "1.94"), Ordering::Greater);
        assert_eq!(compare_versions("1.9", "1.10"), Ordering::Less);
    }
}
