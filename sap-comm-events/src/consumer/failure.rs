//! Why an event could not be handled, for the dead letters and for `error.events`.

use std::panic::AssertUnwindSafe;

use base64::{Engine, prelude::BASE64_STANDARD};
use sap_comm_core::{BoxError, DecodeError, ErrorCode, EventPayload};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::router::code_of;

/// The exchange that failures are reported on.
pub const ERROR_EVENTS: &str = "error.events";

/// An event became a dead letter; published on [`ERROR_EVENTS`] before the original is settled.
///
/// Failures of these events, and of anything else on that exchange, are not reported again.
#[derive(Debug, Serialize, Deserialize, EventPayload)]
#[event(type = "event.processing.failed", kind = "system")]
#[serde(rename_all = "camelCase")]
pub struct EventProcessingFailed {
    /// The event that failed, as it came; of a CloudEvent in the binary mode the envelope, since its message is the payload alone.
    /// What is not JSON is a string; what is not text is a string in base64; what is over 64 KiB, or would make this event too
    /// large, is cut to a string of its beginning.
    pub original_event: Box<RawValue>,
    /// What went wrong.
    pub error: FailureCause,
}

/// What went wrong, in the words of the error envelope.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailureCause {
    /// For people.
    pub message: String,
    /// The code of an [`ApiError`](sap_comm_core::ApiError), or `UNKNOWN_ERROR`.
    pub code: String,
}

/// An original beyond this is cut.
pub(super) const MAX_ORIGINAL: usize = 64 << 10;
/// A reason beyond this is cut: headers travel in one frame.
const MAX_MESSAGE: usize = 1_024;

impl EventProcessingFailed {
    /// The report about the message `body`, of which no more than `limit` bytes are kept.
    pub(crate) fn of(body: &[u8], limit: usize, error: FailureCause) -> Result<Self, DecodeError> {
        let beginning = &body[..body.len().min(limit)];
        let whole = std::str::from_utf8(body).ok().filter(|text| text.len() <= limit);
        let original_event = match whole.and_then(|text| serde_json::from_str::<Box<RawValue>>(text).ok()) {
            Some(json) => json,
            None => {
                let text = match std::str::from_utf8(beginning) {
                    Ok(text) => text.to_owned(),
                    // Cut within a character.
                    Err(error) if error.error_len().is_none() && beginning.len() < body.len() => {
                        String::from_utf8_lossy(&beginning[..error.valid_up_to()]).into_owned()
                    }
                    Err(_) => BASE64_STANDARD.encode(beginning),
                };
                serde_json::value::to_raw_value(&text)
                    .map_err(|error| DecodeError::Encode { reason: error.to_string() })?
            }
        };
        Ok(Self { original_event, error })
    }
}

impl FailureCause {
    pub(super) fn new(code: &ErrorCode, message: impl std::fmt::Display) -> Self {
        let mut message = message.to_string();
        if message.len() > MAX_MESSAGE {
            let cut = (0..=MAX_MESSAGE).rev().find(|at| message.is_char_boundary(*at)).unwrap_or(0);
            message.truncate(cut);
        }
        Self { message, code: code.as_str().to_owned() }
    }

    /// The failure of a handler.
    pub(super) fn of_handler(reason: &BoxError) -> Self {
        // Foreign code, which may panic as well as the handler.
        let told = std::panic::catch_unwind(AssertUnwindSafe(|| {
            let message = match reason.downcast_ref::<sap_comm_core::ApiError>() {
                Some(error) => error.message().to_owned(),
                None => reason.to_string(),
            };
            Self::new(&code_of(reason), message)
        }));
        told.unwrap_or_else(|_| Self::new(&ErrorCode::INTERNAL_ERROR, "the handler's error panicked when it was asked"))
    }

    /// The failure to read an event.
    pub(super) fn of_decoding(error: &DecodeError) -> Self {
        let code = match error {
            DecodeError::Type { .. } => ErrorCode::INVALID_ARGUMENT,
            DecodeError::Version { .. } => ErrorCode::EVENT_VERSION_UNSUPPORTED,
            _ => ErrorCode::MALFORMED_BODY,
        };
        Self::new(&code, error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn original(body: &[u8]) -> String {
        let cause = FailureCause::new(&ErrorCode::UNKNOWN_ERROR, "x");
        EventProcessingFailed::of(body, MAX_ORIGINAL, cause).unwrap().original_event.get().to_owned()
    }

    #[derive(Debug)]
    struct Unspeakable;

    impl std::fmt::Display for Unspeakable {
        fn fmt(&self, _: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            panic!("it shows itself to nobody")
        }
    }

    impl std::error::Error for Unspeakable {}

    #[test]
    fn an_error_that_panics_is_told_as_one() {
        let cause = FailureCause::of_handler(&BoxError::from(Unspeakable));
        assert_eq!((cause.code.as_str(), cause.message.contains("panicked")), ("INTERNAL_ERROR", true));
    }

    #[test]
    fn an_original_is_kept_as_json_text_or_base64() {
        assert_eq!(original(br#"{"id":1}"#), r#"{"id":1}"#);
        assert_eq!(original(b"{oops"), r#""{oops""#);
        assert_eq!(original(&[0xff, 0xfe]), "\"//4=\"");
        assert_eq!(original(b""), "\"\"");
    }

    #[test]
    fn a_large_original_is_cut_at_a_character() {
        let mut text = "a".repeat(MAX_ORIGINAL - 1);
        text.push('é');
        let cut: String = serde_json::from_str(&original(text.as_bytes())).unwrap();
        assert_eq!(cut, "a".repeat(MAX_ORIGINAL - 1));
    }

    #[test]
    fn a_reason_fits_a_header() {
        let cause = FailureCause::new(&ErrorCode::UNKNOWN_ERROR, "é".repeat(MAX_MESSAGE));
        assert_eq!(cause.message.len(), MAX_MESSAGE);
    }
}
