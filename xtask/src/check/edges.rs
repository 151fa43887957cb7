//! Which crate of the workspace may depend on which.

use super::verdict;
use crate::{
    error::TaskError,
    metadata::{Metadata, Package},
};

const CORE: &str = "sap-comm-core";
const DISCOVERY: &str = "sap-comm-discovery";
const EVENTS: &str = "sap-comm-events";
const GRAPHQL: &str = "sap-comm-graphql";
const MACROS: &str = "sap-comm-macros";
const RESILIENCE: &str = "sap-comm-resilience";
const REST: &str = "sap-comm-rest";
const TESTKIT: &str = "sap-comm-testkit";
const WS: &str = "sap-comm-ws";

/// The table of ARCHITECTURE.md: a crate and what it may depend on. Tests may use anything.
const EDGES: &[(&str, &[&str])] = &[
    (MACROS, &[]),
    (CORE, &[MACROS]),
    (RESILIENCE, &[CORE]),
    (DISCOVERY, &[CORE, RESILIENCE]),
    (EVENTS, &[CORE, RESILIENCE]),
    (REST, &[CORE, RESILIENCE, DISCOVERY]),
    (WS, &[CORE, EVENTS]),
    (GRAPHQL, &[CORE, REST]),
    ("sap-comm", &[CORE, MACROS, RESILIENCE, DISCOVERY, EVENTS, REST, WS, GRAPHQL]),
    ("sap-comm-examples", &["sap-comm", TESTKIT]),
    ("sap-comm-benches", &["sap-comm", TESTKIT]),
    (TESTKIT, &[]),
    ("xtask", &[TESTKIT]),
];

pub(super) fn check() -> Result<String, TaskError> {
    let metadata = Metadata::load()?;
    let findings: Vec<String> = metadata.members().flat_map(|package| forbidden(package, EDGES)).collect();
    verdict(&findings, format!("{} crates", EDGES.len()))
}

/// The edges of one crate that the table does not have.
fn forbidden(package: &Package, table: &[(&str, &[&str])]) -> Vec<String> {
    let Some((_, allowed)) = table.iter().find(|(name, _)| *name == package.name) else {
        return vec![format!("{} is not in the table of crate edges", package.name)];
    };
    let inner = package.dependencies.iter().filter(|dependency| {
        dependency.path.is_some() && dependency.kind.as_deref() != Some("dev") && dependency.name != package.name
    });
    inner
        .filter(|dependency| !allowed.contains(&dependency.name.as_str()))
        .map(|dependency| format!("{} may not depend on {}", package.name, dependency.name))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(name: &str, dependencies: &[(&str, Option<&str>)]) -> Package {
        let dependencies: Vec<_> = dependencies
            .iter()
            .map(|(name, kind)| serde_json::json!({ "name": name, "kind": kind, "path": "/somewhere" }))
            .collect();
        serde_json::from_value(serde_json::json!({
            "id": name, "name": name, "version": "0.1.0", "license": null, "rust_version": null,
            "dependencies": dependencies, "features": {}, "targets": [], "publish": null,
        }))
        .unwrap()
    }

    #[test]
    fn an_edge_outside_the_table_is_named() {
        let core = package(CORE, &[(MACROS, None), (EVENTS, None)]);
        assert_eq!(forbidden(&core, EDGES), ["sap-comm-core may not depend on sap-comm-events"]);
    }

    #[test]
    fn tests_may_use_anything() {
        assert!(forbidden(&package(EVENTS, &[(TESTKIT, Some("dev"))]), EDGES).is_empty());
        assert_eq!(forbidden(&package(EVENTS, &[(TESTKIT, Some("build"))]), EDGES).len(), 1);
    }

    #[test]
    fn a_crate_outside_the_table_is_named() {
        assert_eq!(forbidden(&package("stranger", &[]), EDGES).len(), 1);
    }

    #[test]
    fn the_table_has_no_cycle() {
        for (index, (_, allowed)) in EDGES.iter().enumerate() {
            let earlier: Vec<&str> = EDGES[..index].iter().map(|(name, _)| *name).collect();
            let late = allowed.iter().filter(|name| **name != TESTKIT && !earlier.contains(name));
            assert_eq!(late.count(), 0, "row {index}");
        }
    }
}
