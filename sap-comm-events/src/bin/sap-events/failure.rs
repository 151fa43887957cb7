use std::{io, path::PathBuf, process::ExitCode};

use sap_comm_events::{ConnectError, DeadLetterError, ManagementError, SubscribeError};

/// Why the command failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error("{0}")]
    Usage(String),
    #[error(transparent)]
    Connect(#[from] ConnectError),
    #[error(transparent)]
    DeadLetters(#[from] DeadLetterError),
    #[error(transparent)]
    Subscribe(#[from] SubscribeError),
    #[error(transparent)]
    Management(#[from] ManagementError),
    #[error("cannot read {}: {reason}", .path.display())]
    File { path: PathBuf, reason: String },
    #[error("cannot print: {0}")]
    Output(#[from] io::Error),
    #[error("the connection was closed")]
    Closed,
}

impl Failure {
    pub(crate) fn usage(reason: impl Into<String>) -> Self {
        Self::Usage(reason.into())
    }

    /// As `--help` lists them.
    pub(crate) fn code(&self) -> ExitCode {
        ExitCode::from(match self {
            Self::Usage(_) | Self::File { .. } => 2,
            Self::Connect(ConnectError::Config(_) | ConnectError::Scheme { .. } | ConnectError::Url { .. })
            | Self::Management(ManagementError::Url { .. } | ManagementError::Config(_))
            | Self::DeadLetters(DeadLetterError::Option { .. })
            | Self::Subscribe(SubscribeError::Name { .. }) => 2,
            Self::Connect(_) | Self::Management(_) => 4,
            Self::DeadLetters(DeadLetterError::NoQueue { .. }) | Self::Subscribe(SubscribeError::NoExchange { .. }) => {
                5
            }
            Self::DeadLetters(_) | Self::Subscribe(_) | Self::Output(_) | Self::Closed => 1,
        })
    }
}
