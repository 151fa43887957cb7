use std::{ops::Deref, sync::Arc};

use axum::extract::FromRequestParts;
use http::request::Parts;
use sap_comm_core::{ApiError, Context, Principal, auth::AuthError};

/// Who asks, as [`authenticate`](super::authenticate) found out; 401 when nobody is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CurrentUser(pub Arc<Principal>);

impl Deref for CurrentUser {
    type Target = Principal;

    fn deref(&self) -> &Principal {
        &self.0
    }
}

impl<S: Send + Sync> FromRequestParts<S> for CurrentUser {
    type Rejection = ApiError;

    async fn from_request_parts(_: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let context = Context::current();
        context.principal().cloned().map(Self).ok_or_else(|| AuthError::Missing.into())
    }
}
