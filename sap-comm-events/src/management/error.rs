/// Why the management HTTP API did not tell. Never holds a password.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum ManagementError {
    /// The URL cannot be read.
    #[error("invalid management URL: {reason}")]
    Url {
        /// What is wrong with it.
        reason: String,
    },
    /// Nobody answers, or not as the API does.
    #[error("the management API at {address} does not tell: {reason}")]
    Unavailable {
        /// Its address.
        address: String,
        /// What went wrong.
        reason: String,
    },
    /// The user or the password is wrong, or the user lacks the tag `management`.
    #[error("the management API refuses the user: are its password and its tag `management` right?")]
    Forbidden,
    /// A file of the TLS options cannot be used.
    #[error(transparent)]
    Config(#[from] sap_comm_core::config::ConfigError),
    /// No encrypted connection could be made.
    #[error("cannot make a TLS connection to the management API at {address}: {reason}")]
    Tls {
        /// Its URL, without user and password.
        address: String,
        /// What the TLS library said.
        reason: String,
    },
    /// There is no such virtual host.
    #[error("the management API knows no virtual host {vhost:?}")]
    NoVhost {
        /// The virtual host.
        vhost: String,
    },
}

impl ManagementError {
    pub(super) fn of_vhost(self, vhost: &str) -> Self {
        match self {
            Self::NoVhost { .. } => Self::NoVhost { vhost: vhost.to_owned() },
            other => other,
        }
    }
}
