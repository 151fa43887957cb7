use std::{collections::HashSet, sync::Arc};

use axum::{
    extract::Request,
    middleware::Next,
    response::{IntoResponse, Response},
};
use sap_comm_core::{ApiError, Context, Principal, auth::AuthError};

use crate::{gateway::Access, operation::Definition, server::auth::Identity};

/// Lets those through who may call an operation, and watches that it fails only as it declares.
#[derive(Debug)]
pub(super) struct Admission {
    operation: Definition,
    codes: HashSet<String>,
}

impl Admission {
    pub(super) fn new(operation: Definition) -> Self {
        Self { codes: operation.codes().collect(), operation }
    }
}

pub(super) async fn admit(admission: Arc<Admission>, request: Request, next: Next) -> Response {
    let mut response = admission.answer(request, next).await;
    if let Some(deprecation) = &admission.operation.deprecation {
        deprecation.tell(response.headers_mut());
    }
    response
}

impl Admission {
    async fn answer(&self, request: Request, next: Next) -> Response {
        if let Err(error) = authorize(&self.operation, &request) {
            return ApiError::from(error).into_response();
        }
        let response = next.run(request).await;
        let error = response.extensions().get::<ApiError>();
        // Of what failed unforeseen, the document has the family alone.
        let declared =
            |error: &&ApiError| error.status().is_server_error() || self.codes.contains(error.code().as_str());
        if let Some(error) = error.filter(|error| !declared(error)) {
            let (operation, code) = (&self.operation, error.code().as_str());
            tracing::warn!(%operation, code, "the operation failed with a code that it does not declare");
        }
        response
    }
}

/// One of its roles and all of its scopes. When a service speaks for a user, a scope may be either's; a gateway asks for the user's.
fn authorize(operation: &Definition, request: &Request) -> Result<(), AuthError> {
    if operation.access == Access::Public || (operation.roles.is_empty() && operation.scopes.is_empty()) {
        return Ok(());
    }
    let context = Context::try_current();
    let principal = context.as_ref().and_then(Context::principal).ok_or(AuthError::Missing)?;
    let peer = request.extensions().get::<Identity>().and_then(|identity| identity.peer.as_deref());
    let has = |scope: &str| {
        let in_scope = |who: &Principal| who.has_scope(scope);
        in_scope(principal) || peer.is_some_and(in_scope)
    };
    if !operation.roles.is_empty() && !operation.roles.iter().any(|role| principal.has_role(role)) {
        let roles = operation.roles.join(" or the role ");
        return Err(AuthError::Forbidden(format!("This needs the role {roles}")));
    }
    match operation.scopes.iter().find(|scope| !has(scope)) {
        Some(scope) => Err(AuthError::Forbidden(format!("This needs the scope {scope}"))),
        None => Ok(()),
    }
}
