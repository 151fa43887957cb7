//! No dependency may ask for a newer compiler than we promise to work with.
//!
//! That our own code keeps to it is a lint, `clippy::incompatible_msrv`.

use std::cmp::Ordering;

use super::verdict;
use crate::{
    error::TaskError,
    metadata::{Metadata, compare_versions},
};

pub(super) fn check() -> Result<String, TaskError> {
    let metadata = Metadata::load()?;
    let ours =
        metadata.members().filter_map(|package| package.rust_version.as_deref()).min_by(|a, b| compare_versions(a, b));
    let Some(ours) = ours else {
        return Err(TaskError::Findings("no crate of the workspace states its rust-version".to_owned()));
    };
    let mut findings: Vec<String> = metadata
        .members()
        .filter(|package| package.rust_version.is_none())
        .map(|package| format!("{} states no rust-version", package.name))
        .collect();
    let newer = metadata.foreign().filter_map(|package| {
        let theirs = package.rust_version.as_deref()?;
        (compare_versions(theirs, ours) == Ordering::Greater)
            .then(|| format!("{} {} needs Rust {theirs}, we promise {ours}", package.name, package.version))
    });
    findings.extend(newer);
    verdict(&findings, format!("Rust {ours}"))
}
