use http::StatusCode;
use sap_comm_core::ApiError;
use sap_comm_resilience::Outcome;

use super::{ClientError, request::Spec};
use crate::server::idempotency;

/// Whether a failed attempt may be followed by another one.
///
/// A call that changes something is not made again once bytes may have been sent, unless it has an idempotency key.
pub(super) fn outcome(error: &ClientError, spec: &Spec) -> Outcome {
    let unsent = matches!(error, ClientError::Connect { .. });
    if !spec.payload.is_replayable() || !(spec.idempotent || unsent) {
        return Outcome::Ignored;
    }
    match error {
        ClientError::Api(error) => of_answer(error),
        ClientError::Timeout { .. } | ClientError::Connect { .. } | ClientError::Broken { .. } => Outcome::Failure,
        ClientError::Open(_) | ClientError::Unresolved(_) => Outcome::Rejected,
        // Of a stream a part was read, and is not read again.
        ClientError::Stalled { .. }
        | ClientError::Decode { .. }
        | ClientError::TooLarge { .. }
        | ClientError::Request { .. } => Outcome::Ignored,
    }
}

fn of_answer(error: &ApiError) -> Outcome {
    match (error.status(), error.retry_after_hint()) {
        // An earlier attempt of this very call is being carried out: its answer can be had soon.
        (StatusCode::CONFLICT, after) if *error.code() == idempotency::in_progress() => Outcome::Throttled(after),
        (StatusCode::TOO_MANY_REQUESTS, after) => Outcome::Throttled(after),
        (StatusCode::SERVICE_UNAVAILABLE, Some(after)) => Outcome::Throttled(Some(after)),
        // It will not be implemented by the next attempt.
        (StatusCode::NOT_IMPLEMENTED, _) => Outcome::Ignored,
        (status, _) if status.is_server_error() => Outcome::Failure,
        _ => Outcome::Ignored,
    }
}
