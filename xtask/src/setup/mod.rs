//! What the tests need of the machine, brought where that is allowed.

mod debian;
mod npm;
mod pip;

use std::collections::BTreeSet;

use sap_comm_testkit::install::{COMPARISONS, REQUIREMENTS, Requirement};

use crate::error::TaskError;

/// Installs what the tests miss, or says what it is and how to get it.
pub(crate) fn prepare() -> Result<(), TaskError> {
    bring(REQUIREMENTS)
}

/// The same for the comparison of these subjects; the peers of the gateway need more.
pub(crate) fn prepare_to_compare(subjects: &[&str]) -> Result<(), TaskError> {
    let more = if subjects.contains(&"gateway") { COMPARISONS } else { &[] };
    bring(&[REQUIREMENTS, more].concat())
}

fn bring(requirements: &[Requirement]) -> Result<(), TaskError> {
    let missing = || -> BTreeSet<&str> {
        requirements.iter().filter(|item| item.locate().is_err()).map(|item| item.package).collect()
    };
    let packages = missing();
    if !packages.is_empty() {
        if !debian::may_install() {
            return Err(TaskError::Missing(hint(requirements, &packages)));
        }
        debian::install(&packages)?;
        let still = missing();
        if !still.is_empty() {
            return Err(TaskError::Missing(hint(requirements, &still)));
        }
    }
    npm::install()?;
    pip::install()
}

/// Which part needs which program, and the one command that brings them all.
fn hint(requirements: &[Requirement], packages: &BTreeSet<&str>) -> String {
    let lines: Vec<String> = requirements
        .iter()
        .filter(|item| packages.contains(item.package) && item.locate().is_err())
        .map(|item| format!("  {} ({}): Debian package {}", item.program, item.part, item.package))
        .collect();
    let names: Vec<&str> = packages.iter().copied().collect();
    format!(
        "{}\nOn Debian, as root:\n  apt-get update && apt-get install --no-install-recommends {}\n\
         To run the tests all the same: cargo xtask test --no-install",
        lines.join("\n"),
        names.join(" ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hint_names_the_command_that_installs() {
        let text = hint(REQUIREMENTS, &BTreeSet::from(["redis-server", "rabbitmq-server"]));
        assert!(text.contains("apt-get install --no-install-recommends rabbitmq-server redis-server"), "{text}");
    }
}
