use std::sync::Arc;

use http::{HeaderMap, header::AUTHORIZATION};
use sap_comm_core::{ApiError, Context, ErrorCode, Principal, PrincipalKind, Secret, auth::AuthError, header};
use serde::Deserialize;
use socketioxide::extract::SocketRef;
use tokio::time::timeout;
use tracing::Instrument;

use super::{events, lifecycle, refusal::Refusal, session::Session};
use crate::{
    edge::Admission,
    gateway::{Hub, room},
};

/// What a client puts into `auth`: the token, and the trace that the connection belongs to.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct HandshakeAuth {
    token: Option<Secret<String>>,
    traceparent: Option<String>,
    tracestate: Option<String>,
    request_id: Option<String>,
    correlation_id: Option<String>,
}

impl HandshakeAuth {
    /// The context of the connection: what `auth` says, else what the headers say, else a new one.
    fn context(&self, headers: &HeaderMap) -> Context {
        Context::extract(|name| {
            let own = match name {
                header::TRACEPARENT => self.traceparent.as_deref(),
                header::TRACESTATE => self.tracestate.as_deref(),
                header::REQUEST_ID => self.request_id.as_deref(),
                header::CORRELATION_ID => self.correlation_id.as_deref(),
                _ => None,
            };
            own.or_else(|| headers.get(name)?.to_str().ok())
        })
    }

    fn token<'a>(&'a self, headers: &'a HeaderMap) -> Option<&'a str> {
        let header = || headers.get(AUTHORIZATION)?.to_str().ok().and_then(bearer);
        match &self.token {
            Some(token) if !token.expose().is_empty() => Some(bearer(token.expose()).unwrap_or(token.expose())),
            _ => header(),
        }
    }
}

fn bearer(credentials: &str) -> Option<&str> {
    let (scheme, token) = credentials.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// Lets a socket in: verifies the token, sets the handlers and joins the user's room, all before the client is told.
///
/// `auth` is `None` when the client sent something that is not an object.
pub(crate) async fn admit(
    hub: &Arc<Hub>,
    socket: &SocketRef,
    auth: Option<Option<HandshakeAuth>>,
) -> Result<(), Refusal> {
    let headers = &socket.req_parts().headers;
    let readable = auth.is_some();
    let auth = auth.flatten().unwrap_or_default();
    let context = auth.context(headers);
    let span = tracing::info_span!(
        "socket.handshake",
        trace_id = %context.trace().trace_id(),
        request_id = %context.request_id(),
        socket.id = %socket.id,
    );
    let verify = async {
        let principal = if readable {
            verify(hub, socket, auth.token(headers)).await
        } else {
            Err(ApiError::new(ErrorCode::BAD_REQUEST, "auth must be an object such as {token: \"…\"}"))
        };
        match principal {
            Ok(principal) => {
                let session = Arc::new(Session::new(hub, &context, principal));
                socket.extensions.insert(Arc::clone(&session));
                events::listen(hub, socket);
                lifecycle::watch(hub, socket);
                socket.join(room(session.user_id()));
                Ok(())
            }
            Err(error) => {
                hub.counters.refused.add_one();
                tracing::info!(code = %error.code(), cause = ?std::error::Error::source(&error), "handshake refused");
                Err(Refusal::new(&error, &context))
            }
        }
    };
    context.clone().scope(verify.instrument(span)).await
}

async fn verify(hub: &Hub, socket: &SocketRef, token: Option<&str>) -> Result<Principal, ApiError> {
    if hub.draining.is_cancelled() {
        return Err(ApiError::new(ErrorCode::SERVICE_UNAVAILABLE, "This node takes no more connections"));
    }
    let admission = socket.req_parts().extensions.get::<Admission>();
    if admission.is_some_and(|admission| !admission.attempt()) {
        return Err(ApiError::new(ErrorCode::RATE_LIMITED, "Too many handshakes on one connection"));
    }
    let token = token.ok_or(AuthError::Missing)?;
    let principal = timeout(hub.options.connect_timeout, hub.authenticate.authenticate(token))
        .await
        .map_err(|_| ApiError::new(ErrorCode::DEADLINE_EXCEEDED, "The token could not be verified in time"))??;
    if principal.kind != PrincipalKind::User {
        return Err(AuthError::Forbidden("Only people have notifications".to_owned()).into());
    }
    if let Some(admission) = admission {
        admission.succeeded();
    }
    Ok(principal)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn the_token_comes_from_auth_or_else_from_the_header() {
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, HeaderValue::from_static("Bearer of-header"));
        let auth = |token: &str| HandshakeAuth { token: Some(token.to_owned().into()), ..HandshakeAuth::default() };
        assert_eq!(auth("of-auth").token(&headers), Some("of-auth"));
        assert_eq!(auth("Bearer of-auth").token(&headers), Some("of-auth"));
        assert_eq!(auth("").token(&headers), Some("of-header"));
        assert_eq!(HandshakeAuth::default().token(&headers), Some("of-header"));
        assert_eq!(HandshakeAuth::default().token(&HeaderMap::new()), None);
    }

    #[test]
    fn the_connection_continues_the_trace_of_auth() {
        let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let auth = HandshakeAuth { traceparent: Some(parent.into()), ..HandshakeAuth::default() };
        assert_eq!(auth.context(&HeaderMap::new()).trace().trace_id(), "4bf92f3577b34da6a3ce929d0e0e4736");
    }
}
