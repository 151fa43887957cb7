//! What cargo's own tools find.

use crate::{command::Run, error::TaskError};

pub(super) fn format() -> Result<String, TaskError> {
    Run::cargo().args(["fmt", "--all", "--check"]).capture().map(|_| String::new())
}

pub(super) fn clippy() -> Result<String, TaskError> {
    Run::cargo()
        .args(["clippy", "--quiet", "--workspace", "--all-targets", "--all-features", "--", "-D", "warnings"])
        .capture()
        .map(|_| String::new())
}

pub(super) fn docs() -> Result<String, TaskError> {
    Run::cargo()
        .args(["doc", "--quiet", "--workspace", "--all-features", "--no-deps"])
        .env("RUSTDOCFLAGS", "-D warnings")
        .capture()
        .map(|_| String::new())
}
