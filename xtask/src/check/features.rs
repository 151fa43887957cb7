//! Every feature of every library alone.

use super::verdict;
use crate::{
    command::Run,
    error::TaskError,
    metadata::{Metadata, Package},
};

pub(super) fn check() -> Result<String, TaskError> {
    let metadata = Metadata::load()?;
    let mut findings = Vec::new();
    let mut builds = 0;
    for package in metadata.members().filter(|package| package.is_published()) {
        for feature in std::iter::once(None).chain(single(package).map(Some)) {
            builds += 1;
            findings.extend(build(&package.name, feature).err());
        }
    }
    verdict(&findings, format!("{builds} builds"))
}

/// The features that someone may ask for.
fn single(package: &Package) -> impl Iterator<Item = &str> {
    package.features.keys().map(String::as_str).filter(|feature| *feature != "default")
}

/// Checks one combination; a warning counts as a failure.
fn build(package: &str, feature: Option<&str>) -> Result<(), String> {
    let shown = format!("{package} with {}", feature.unwrap_or("no feature"));
    let mut run = Run::cargo().args(["check", "--package", package, "--no-default-features"]);
    if let Some(feature) = feature {
        run = run.args(["--features", feature]);
    }
    let output = run.capture().map_err(|error| format!("{shown}: {error}"))?;
    if warns(&output.stderr) { Err(format!("{shown} has warnings:\n{}", output.stderr)) } else { Ok(()) }
}

/// Whether cargo counted warnings of a crate of ours.
fn warns(stderr: &str) -> bool {
    stderr.lines().any(|line| line.starts_with("warning: `") && line.contains(" generated "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_of_warnings_is_a_warning() {
        assert!(warns("    Checking x\nwarning: `x` (lib) generated 2 warnings\n"));
        assert!(!warns("    Checking x\n    Finished `dev` profile\n"));
    }
}
