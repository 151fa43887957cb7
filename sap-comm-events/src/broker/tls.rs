use std::path::PathBuf;

use sap_comm_core::config::ConfigError;
use serde::{Deserialize, Serialize};

/// Certificates for `amqps://`; the defaults verify the broker against the machine's own authorities.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TlsConfig {
    /// A PEM file of authorities to trust besides the machine's.
    pub ca_file: Option<PathBuf>,
    /// A PEM file with this client's certificate chain, for mutual TLS; with `key_file`.
    pub cert_file: Option<PathBuf>,
    /// A PEM file with the certificate's private key, PKCS #8.
    pub key_file: Option<PathBuf>,
}

impl TlsConfig {
    pub(crate) fn validate(&self) -> Result<(), ConfigError> {
        match (&self.cert_file, &self.key_file) {
            (Some(_), None) => Err(ConfigError::new("tls.key_file", "is missing, and tls.cert_file is given")),
            (None, Some(_)) => Err(ConfigError::new("tls.cert_file", "is missing, and tls.key_file is given")),
            _ => Ok(()),
        }
    }
}
