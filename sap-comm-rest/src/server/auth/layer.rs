use std::{
    convert::Infallible,
    sync::Arc,
    task::{Context as TaskContext, Poll},
};

use axum::{
    extract::Request,
    response::{IntoResponse, Response},
};
use futures_util::future::BoxFuture;
use sap_comm_core::{ApiError, Context, auth::AuthError, telemetry};
use tower_layer::Layer;
use tower_service::Service;
use tracing::{Span, field::display};

use super::{
    Authenticator,
    authenticator::{Proved, trusted},
};
use crate::{server::deadline::within, tls::TlsConnection};

/// Lets only requests through that show a valid credential, and puts their principal into the context.
///
/// ```
/// use axum::{Router, routing::get};
/// use sap_comm_rest::server::auth::{Authenticator, CurrentUser, authenticate, require_role};
///
/// async fn get_user(user: CurrentUser) -> String {
///     user.id.clone()
/// }
///
/// fn routes(authenticator: Authenticator) -> Router {
///     Router::new().route("/users/{id}", get(get_user).layer((authenticate(authenticator), require_role("admin"))))
/// }
/// ```
///
/// A peer with a valid API key or a certificate that stands for a service is trusted further: its deadline and attempt count are
/// taken over. One that asks for somebody who is not known, as a gateway does on a public route, shows no credential of that
/// somebody's. Handlers find who asks as [`CurrentUser`](super::CurrentUser), and who sent it as an extension of type [`Identity`](super::Identity).
pub fn authenticate(authenticator: impl Into<Authenticator>) -> Authenticate {
    Authenticate { authenticator: authenticator.into(), required: true }
}

/// The layer of [`authenticate`].
#[derive(Debug, Clone)]
#[must_use]
pub struct Authenticate {
    authenticator: Authenticator,
    required: bool,
}

impl Authenticate {
    /// Lets requests without a credential through, too; one that is refused stays refused.
    pub fn optional(mut self) -> Self {
        self.required = false;
        self
    }

    /// The context of a request, with what its credentials prove.
    async fn admit(&self, request: &mut Request) -> Result<Context, ApiError> {
        let context = Context::current();
        let tls = request.extensions().get::<TlsConnection>();
        let Proved { identity, from_peer } = self.authenticator.prove_over(tls, request.headers()).await?;
        let context = match identity {
            Some(identity) => {
                Span::current().record(telemetry::USER_ID, display(&identity.principal.id));
                let context = context.with_shared_principal(Arc::clone(&identity.principal));
                request.extensions_mut().insert(identity);
                context
            }
            None if self.required => return Err(AuthError::Missing.into()),
            // Asked on somebody's behalf, we do not ask others for ourselves.
            None if from_peer => context.for_nobody(),
            None => context,
        };
        if !from_peer {
            return Ok(context);
        }
        let sent = trusted(request.headers());
        let context = context.with_attempt(sent.attempt());
        Ok(match sent.deadline() {
            Some(deadline) => context.with_deadline(deadline),
            None => context,
        })
    }
}

impl<S> Layer<S> for Authenticate {
    type Service = AuthenticateService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        AuthenticateService { inner, layer: self.clone() }
    }
}

/// The service of [`authenticate`].
#[derive(Debug, Clone)]
pub struct AuthenticateService<S> {
    inner: S,
    layer: Authenticate,
}

impl<S> Service<Request> for AuthenticateService<S>
where
    S: Service<Request, Error = Infallible> + Clone + Send + 'static,
    S::Response: IntoResponse,
    S::Future: Send,
{
    type Response = Response;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response, Infallible>>;

    fn poll_ready(&mut self, cx: &mut TaskContext<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request) -> Self::Future {
        // The clone takes the place of the service that was polled ready.
        let clone = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, clone);
        let layer = self.layer.clone();
        Box::pin(async move {
            let context = match layer.admit(&mut request).await {
                Ok(context) => context,
                Err(error) => return Ok(error.into_response()),
            };
            // Called within the scope: a layer may look at its context before it returns a future.
            match within(context, async move { inner.call(request).await }).await {
                Ok(response) => response.map(IntoResponse::into_response),
                Err(error) => Ok(error.into_response()),
            }
        })
    }
}
