use std::fmt;

use sap_comm_core::ApiError;

/// Why a handshake is refused: `connect_error`, whose message is the error's code.
///
/// The underlying server sends a message and no data, so the rest of the envelope stays in the log, under the request id
/// that the client may set in its handshake.
#[derive(Debug)]
pub(crate) struct Refusal(pub(super) ApiError);

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.code().as_str())
    }
}

impl std::error::Error for Refusal {}
