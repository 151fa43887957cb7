use std::collections::HashSet;

use sap_comm_core::{ErrorCode, config::ConfigError};
use serde_json::Value;

use super::{Definition, document};
use crate::gateway::Route;

/// The operations of one service: what it serves, what its clients call, what a gateway shows of it, and its document.
#[derive(Debug, Clone, Copy)]
pub struct Contract {
    pub(super) service: &'static str,
    pub(super) version: &'static str,
    pub(super) description: &'static str,
    pub(super) operations: &'static [Definition],
}

impl Contract {
    /// The contract of the service of this name.
    #[must_use]
    pub const fn new(service: &'static str, operations: &'static [Definition]) -> Self {
        Self { service, version: "1.0.0", description: "", operations }
    }

    /// The version of the contract, `1.0.0` unless given.
    #[must_use]
    pub const fn version(mut self, version: &'static str) -> Self {
        self.version = version;
        self
    }

    /// What the service is for.
    #[must_use]
    pub const fn description(mut self, description: &'static str) -> Self {
        self.description = description;
        self
    }

    /// The service's name, by which resolvers know it.
    #[must_use]
    pub const fn service(&self) -> &'static str {
        self.service
    }

    /// The operations.
    #[must_use]
    pub const fn operations(&self) -> &'static [Definition] {
        self.operations
    }

    /// The entries of a gateway that lead to this service; none for [internal](super::Operation::internal) operations.
    pub fn routes(&self) -> impl Iterator<Item = Route> + use<> {
        let service = self.service;
        self.operations.iter().filter(|operation| !operation.internal).map(move |operation| operation.route(service))
    }

    /// The OpenAPI 3.1 document.
    ///
    /// Every status that a caller can see is in it, those of the kit and of a gateway in front of it too.
    #[must_use]
    pub fn openapi(&self) -> Value {
        document::build(self).0
    }

    /// Checks that the operations can be served and told apart.
    ///
    /// # Errors
    /// Names the first operation that cannot.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let refused = |operation: &Definition, reason: &str| {
            Err(ConfigError::refused("operations", format_args!("{operation}"), reason))
        };
        if self.service.is_empty() {
            return Err(ConfigError::refused("service", "\"\"", "must not be empty"));
        }
        let mut taken = HashSet::new();
        let mut ids = HashSet::new();
        for (place, operation) in self.operations.iter().enumerate() {
            if let Some(fault) = operation.path_fault() {
                return refused(operation, &format!("its path {fault}"));
            }
            if let Some(fault) = operation.deprecation.and_then(|deprecation| deprecation.fault()) {
                return refused(operation, fault);
            }
            let shape = operation.shape();
            let spelled_otherwise = |other: &&Definition| other.shape() == shape && other.path != operation.path;
            if let Some(other) = self.operations[..place].iter().find(spelled_otherwise) {
                return refused(operation, &format!("its parameters have other names than those of {other}"));
            }
            if !taken.insert((operation.verb.as_str(), shape)) {
                return refused(operation, "is there twice");
            }
            if !operation.id.is_empty() && !ids.insert(operation.id) {
                return refused(operation, &format!("another operation has the id {} too", operation.id));
            }
            let of_no_family = |(code, _): &&(&'static str, _)| !ErrorCode::from_wire(*code).has_family();
            if let Some((code, _)) = operation.errors.codes().iter().find(of_no_family) {
                return refused(operation, &format!("its error {code} ends with no family of codes"));
            }
        }
        match document::build(self).1.first() {
            Some(name) => Err(ConfigError::refused("operations", name, "is the name of two different schemas")),
            None => Ok(()),
        }
    }
}
