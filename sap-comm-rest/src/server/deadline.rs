use std::future::Future;

use sap_comm_core::{ApiError, Context, ErrorCode};
use tokio::time::timeout_at;

/// Runs `future` in `context`, until its deadline at the latest.
pub(super) async fn within<F: Future>(context: Context, future: F) -> Result<F::Output, ApiError> {
    let Some(deadline) = context.deadline() else { return Ok(context.scope(future).await) };
    timeout_at(deadline, context.scope(future))
        .await
        .map_err(|_| ApiError::new(ErrorCode::DEADLINE_EXCEEDED, "The request took too long"))
}
