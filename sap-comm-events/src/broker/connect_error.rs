use std::time::Duration;

use sap_comm_core::config::ConfigError;

/// Why a broker cannot be used. Never holds a password.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// An option is invalid.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The URL's scheme names no broker that this build knows.
    #[error("unknown broker scheme {scheme:?}: expected one of {expected}")]
    Scheme {
        /// What the URL begins with.
        scheme: String,
        /// The schemes that this build knows.
        expected: &'static str,
    },
    /// The URL cannot be read.
    #[error("invalid broker URL: {reason}")]
    Url {
        /// What is wrong with it.
        reason: String,
    },
    /// Nothing answers at the address.
    #[error("cannot reach the broker at {address}: {reason}")]
    Unreachable {
        /// Host and port.
        address: String,
        /// What the operating system said.
        reason: String,
    },
    /// Somebody answers, and does not become a broker in time.
    #[error("the broker at {address} did not answer within {waited:?}")]
    Timeout {
        /// Host and port.
        address: String,
        /// How long it was waited for.
        waited: Duration,
    },
    /// The broker refused the user or its password.
    #[error("the broker at {address} refused the credentials of user {user:?}")]
    Credentials {
        /// Host and port.
        address: String,
        /// The user name.
        user: String,
    },
    /// The virtual host does not exist, or the user may not enter it.
    #[error("the broker at {address} gives user {user:?} no access to the virtual host {vhost:?}: {reason}")]
    Vhost {
        /// Host and port.
        address: String,
        /// The user name.
        user: String,
        /// The virtual host.
        vhost: String,
        /// What the broker said.
        reason: String,
    },
    /// No encrypted connection could be made.
    #[error("cannot make a TLS connection to the broker at {address}: {reason}")]
    Tls {
        /// Host and port.
        address: String,
        /// What the TLS library said.
        reason: String,
    },
    /// The broker ended the connection while it was made.
    #[error("the broker at {address} refused the connection: {reason}")]
    Refused {
        /// Host and port.
        address: String,
        /// What the broker said.
        reason: String,
    },
}

impl ConnectError {
    /// Whether trying again may help without anybody changing anything.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Unreachable { .. } | Self::Timeout { .. } | Self::Refused { .. })
    }
}
