use std::{
    convert::Infallible,
    sync::Arc,
    task::{Context as TaskContext, Poll},
};

use axum::{
    extract::Request,
    response::{IntoResponse, Response},
};
use futures_util::future::{Either, Ready, ready};
use sap_comm_core::{ApiError, Context, Principal, auth::AuthError};
use tower_layer::Layer;
use tower_service::Service;

use super::Identity;

/// Lets only principals with `role` through; stands behind [`authenticate`](super::authenticate).
pub fn require_role(role: &str) -> Require {
    Require { roles: Arc::from([role.to_owned()]), scopes: Arc::default() }
}

/// Lets only callers with `scope` through; stands behind [`authenticate`](super::authenticate).
///
/// When a service speaks for a user, the scope may be either's: roles are a user's, scopes mostly a key's.
pub fn require_scope(scope: &str) -> Require {
    Require { roles: Arc::default(), scopes: Arc::from([scope.to_owned()]) }
}

/// The layer of [`require_role`] and [`require_scope`]: one of its roles or scopes suffices.
#[derive(Debug, Clone)]
#[must_use]
pub struct Require {
    roles: Arc<[String]>,
    scopes: Arc<[String]>,
}

impl Require {
    /// Lets principals with `role` through, too.
    pub fn or_role(mut self, role: &str) -> Self {
        self.roles = self.roles.iter().cloned().chain([role.to_owned()]).collect();
        self
    }

    /// Lets principals with `scope` through, too.
    pub fn or_scope(mut self, scope: &str) -> Self {
        self.scopes = self.scopes.iter().cloned().chain([scope.to_owned()]).collect();
        self
    }

    fn check(&self, principal: Option<&Principal>, peer: Option<&Principal>) -> Result<(), AuthError> {
        let principal = principal.ok_or(AuthError::Missing)?;
        let role = self.roles.iter().any(|role| principal.has_role(role));
        let in_scope = |who: &Principal| self.scopes.iter().any(|scope| who.has_scope(scope));
        if role || in_scope(principal) || peer.is_some_and(in_scope) {
            return Ok(());
        }
        let needed = self.roles.iter().map(|role| format!("role {role}"));
        let needed: Vec<_> = needed.chain(self.scopes.iter().map(|scope| format!("scope {scope}"))).collect();
        Err(AuthError::Forbidden(format!("This needs the {}", needed.join(" or the "))))
    }
}

impl<S> Layer<S> for Require {
    type Service = RequireService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        RequireService { inner, layer: self.clone() }
    }
}

/// The service of [`require_role`] and [`require_scope`].
#[derive(Debug, Clone)]
pub struct RequireService<S> {
    inner: S,
    layer: Require,
}

impl<S> Service<Request> for RequireService<S>
where
    S: Service<Request, Response = Response, Error = Infallible>,
{
    type Response = Response;
    type Error = Infallible;
    type Future = Either<S::Future, Ready<Result<Response, Infallible>>>;

    fn poll_ready(&mut self, cx: &mut TaskContext<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let context = Context::try_current();
        let principal = context.as_ref().and_then(Context::principal);
        let peer = request.extensions().get::<Identity>().and_then(|identity| identity.peer.as_deref());
        match self.layer.check(principal.map(AsRef::as_ref), peer) {
            Ok(()) => Either::Left(self.inner.call(request)),
            Err(error) => Either::Right(ready(Ok(ApiError::from(error).into_response()))),
        }
    }
}
