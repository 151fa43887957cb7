use std::fmt;

use sap_comm_core::{ApiError, Context};

use crate::wire::ConnectError;

/// Why a handshake is refused: `connect_error`, whose message is the error's code and whose data is its envelope.
///
/// The server sends what this displays as the message; [`crate::wire`] takes it apart.
#[derive(Debug)]
pub(crate) struct Refusal(String);

impl Refusal {
    pub(super) fn new(error: &ApiError, context: &Context) -> Self {
        let message = error.code().as_str().to_owned();
        let whole = serde_json::to_value(error.envelope(context))
            .and_then(|data| serde_json::to_string(&ConnectError { message: message.clone(), data }));
        Self(whole.unwrap_or(message))
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Refusal {}
