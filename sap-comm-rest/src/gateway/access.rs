use std::sync::Arc;

use sap_comm_core::{ApiError, ErrorCode, Principal};

use super::entry::Entry;

/// Whether the principal has what the route demands: one of its roles, and all of its scopes.
pub(super) fn authorize(entry: &Entry, principal: &Arc<Principal>) -> Result<(), ApiError> {
    let role = entry.roles.is_empty() || entry.roles.iter().any(|role| principal.has_role(role));
    let scopes = entry.scopes.iter().all(|scope| principal.has_scope(scope));
    if role && scopes {
        return Ok(());
    }
    let missing = if role { "scope" } else { "role" };
    Err(ApiError::new(ErrorCode::FORBIDDEN, format!("A {missing} that this needs is missing")))
}
