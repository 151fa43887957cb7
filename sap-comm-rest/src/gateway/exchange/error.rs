use std::io;

use crate::gateway::body::UploadFault;

/// Why a request has no answer, or its answer no end.
#[derive(Debug, thiserror::Error)]
pub(in crate::gateway) enum ExchangeError {
    /// What came is no answer, or none that can be passed on.
    #[error("{0}")]
    Garbage(&'static str),
    #[error("the connection ended before the answer did")]
    Ended,
    #[error("the connection broke")]
    Broken(#[from] io::Error),
    /// The client's body failed.
    #[error(transparent)]
    Upload(UploadFault),
}
