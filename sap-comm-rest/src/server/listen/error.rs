use std::io;

use sap_comm_core::config::ConfigError;

/// Why a server cannot listen.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServerError {
    /// An option cannot be used.
    #[error("server {0}")]
    Config(#[from] ConfigError),
    /// Another process listens there.
    #[error("cannot listen on {address}: the address is in use")]
    AddressInUse {
        /// The address that was asked for.
        address: String,
    },
    /// The system refuses the address.
    #[error("cannot listen on {address}: {source}")]
    Bind {
        /// The address that was asked for.
        address: String,
        /// What the system said.
        source: io::Error,
    },
    /// A worker thread cannot serve.
    #[error("a worker cannot serve: {source}")]
    Worker {
        /// What went wrong.
        source: io::Error,
    },
    /// Requests did not end within the drain timeout.
    #[error("{connections} connections to {address} were cut: their requests did not end in time")]
    Cut {
        /// Where the server listened.
        address: String,
        /// How many connections were still open.
        connections: usize,
    },
}

impl ServerError {
    pub(super) fn worker(source: io::Error) -> Self {
        Self::Worker { source }
    }

    pub(super) fn bind(address: String, source: io::Error) -> Self {
        match source.kind() {
            io::ErrorKind::AddrInUse => Self::AddressInUse { address },
            _ => Self::Bind { address, source },
        }
    }
}
