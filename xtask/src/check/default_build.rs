//! What the default build of the topology must not pull in.

use std::collections::BTreeSet;

use super::verdict;
use crate::{error::TaskError, metadata::tree};

const PACKAGE: &str = "sap-comm-examples";

struct Banned {
    name: &'static str,
    because: &'static str,
    /// Crates that may bring it all the same.
    unless_through: &'static [&'static str],
}

const fn ban(name: &'static str, because: &'static str) -> Banned {
    Banned { name, because, unless_through: &[] }
}

const BANNED: &[Banned] = &[
    ban("kube", "Kubernetes is a feature"),
    ban("k8s-openapi", "Kubernetes is a feature"),
    ban("etcd-client", "etcd is a feature"),
    ban("prost-build", "it needs protoc"),
    ban("tonic-build", "it needs protoc"),
    ban("protobuf", "it needs protoc"),
    ban("protobuf-src", "it builds protoc"),
    // aws-lc-sys builds with a C compiler alone and names cmake only for the platforms where it does not.
    Banned { name: "cmake", because: "it needs cmake", unless_through: &["aws-lc-sys"] },
    ban("bindgen", "it needs libclang"),
    ban("reqwest", "hyper serves"),
    ban("openssl", "rustls serves"),
    ban("openssl-sys", "rustls serves"),
    ban("native-tls", "rustls serves"),
    ban("ring", "aws-lc-rs serves"),
    ban("curl-sys", "hyper serves"),
];

pub(super) fn check() -> Result<String, TaskError> {
    let present = names(&[])?;
    let mut findings = Vec::new();
    for banned in BANNED.iter().filter(|banned| present.contains(banned.name)) {
        let mut parents = names(&["--invert", banned.name, "--depth", "1"])?;
        parents.remove(banned.name);
        parents.retain(|parent| !banned.unless_through.contains(&parent.as_str()));
        if !parents.is_empty() {
            let parents: Vec<_> = parents.into_iter().collect();
            findings.push(format!("{} through {}: {}", banned.name, parents.join(", "), banned.because));
        }
    }
    verdict(&findings, format!("{} packages", present.len()))
}

/// The names in the tree of the default build.
fn names(args: &[&str]) -> Result<BTreeSet<String>, TaskError> {
    let fixed = ["--package", PACKAGE, "--edges", "normal,build"];
    Ok(tree(&[&fixed[..], args].concat())?.into_iter().map(|(name, _)| name).collect())
}
