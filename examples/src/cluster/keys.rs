use std::collections::HashMap;

use sap_comm::{
    Secret,
    auth::{ApiKey, ApiKeyRecord, KeyError},
};

use super::ServiceName;
use crate::trusted_keys::TrustedKeys;

/// A key for each service that calls others, and one for the operator, made for this run.
#[derive(Debug, Clone)]
pub struct Keys {
    services: HashMap<ServiceName, Secret<String>>,
    operator: Secret<String>,
    records: Vec<ApiKeyRecord>,
}

impl Keys {
    /// Makes the keys.
    ///
    /// # Errors
    /// When the system has no randomness.
    pub fn generate() -> Result<Self, KeyError> {
        let mut services = HashMap::new();
        let mut records = Vec::new();
        for service in ServiceName::ALL {
            if !service.scopes().is_empty() {
                let key = ApiKey::generate()?;
                records.push(key.record(service.as_str(), service.scopes().iter().copied()));
                services.insert(service, key.expose());
            }
        }
        let operator = ApiKey::generate()?;
        records.push(operator.record("operator", ["delegate"]));
        Ok(Self { services, operator: operator.expose(), records })
    }

    /// The key that a service calls others with.
    #[must_use]
    pub fn of(&self, service: ServiceName) -> Option<&Secret<String>> {
        self.services.get(&service)
    }

    /// The operator's key, which acts for others.
    #[must_use]
    pub fn operator(&self) -> &Secret<String> {
        &self.operator
    }

    /// What every service trusts.
    #[must_use]
    pub fn trusted(&self) -> TrustedKeys {
        TrustedKeys::new(self.records.clone())
    }

    /// What every service trusts, as the JSON of `SAP_TRUSTED_KEYS`.
    ///
    /// # Errors
    /// When it cannot be written as JSON.
    pub fn trusted_json(&self) -> Result<String, serde_json::Error> {
        serde_json::to_string(&self.records)
    }
}
