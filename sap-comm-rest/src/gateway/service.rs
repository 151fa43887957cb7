use std::{collections::HashMap, panic::AssertUnwindSafe, sync::Arc, time::Duration};

use axum::Router;
use futures_util::FutureExt;
use http::{HeaderValue, Request, Response, Uri, request::Parts, uri::PathAndQuery};
use sap_comm_core::{ApiError, Context, ErrorCode, Principal, auth::AuthError};
use tower_service::Service;

use super::{
    Access, Refusal, RequestBody, ResponseBody, Scheme, Target,
    access::authorize,
    client::{Client, TrustedProxies},
    entry::{Entry, Limit},
    headers::strip_forged,
    outbound::write_context,
    proxy::target,
    rate_limit::{Caller, Limiter},
    record::Record,
    screen::{Screened, screen},
    table::{Found, Table},
    upgrade::Tunnels,
    upstream::{Pool, Upstream},
};
use crate::{server::auth::Authenticator, tls::TlsConnection};

/// Everything that a gateway's requests share.
pub(super) struct Inner {
    pub(super) service: Arc<str>,
    pub(super) table: Table,
    pub(super) upstreams: HashMap<String, Upstream>,
    pub(super) limiter: Option<Limiter>,
    pub(super) proxies: TrustedProxies,
    pub(super) api_key: Option<HeaderValue>,
    pub(super) authenticator: Option<Authenticator>,
    pub(super) fallback: Option<Router>,
    pub(super) pool: Pool,
    pub(super) tunnels: Tunnels,
    pub(super) scheme: Scheme,
    pub(super) body_stall: Duration,
    pub(super) idle_timeout: Duration,
}

impl Inner {
    /// Decides about a request, in an order that gives nothing away: what is ambiguous is refused before it is routed,
    /// who asks is known before it is counted, and everything is decided before an upstream is asked.
    pub(super) async fn serve(
        &self,
        mut context: Context,
        mut parts: Parts,
        body: RequestBody,
        record: &mut Record,
    ) -> Result<Response<ResponseBody>, Refusal> {
        let uri = parts.uri.clone();
        let Screened { path, host } = screen(&parts, &uri)?;
        let client = Client::read(&parts.headers, &parts.extensions, host.as_ref(), &self.proxies, self.scheme);
        record.client = client.address;
        strip_forged(&mut parts.headers);
        client.write(&mut parts.headers);
        let (entry, matched) = match self.table.find(&parts.method, &path) {
            Found::Route(entry, matched) => (entry, matched),
            Found::OtherMethods(allow) => return Err(Refusal::method_not_allowed(&parts.method, allow)),
            Found::Nothing => {
                let Some(router) = &self.fallback else { return Err(Refusal::not_found(&path)) };
                self.count(&Limit::Gateway, Caller::Address(client.address), record)?;
                return self.serve_locally(router, context, parts, &path, body).await;
            }
        };
        record.route = Some(Arc::clone(&entry.pattern));
        if entry.access == Access::Authenticated {
            let principal = self.authenticate(entry, &parts, &client, record).await?;
            context = context.with_shared_principal(Arc::clone(&principal));
            record.principal = Some(Arc::clone(&principal));
            authorize(entry, &principal)?;
            self.count(&entry.limit, Caller::Principal(&principal), record)?;
        } else {
            self.count(&entry.limit, Caller::Address(client.address), record)?;
        }
        match (&entry.target, &self.fallback) {
            (Target::Service(service), _) => {
                let target = target(entry, &uri, &path, matched)?;
                self.proxy(service, entry, &context, parts, target, body, record).await
            }
            (Target::Local, Some(router)) => self.serve_locally(router, context, parts, &path, body).await,
            (Target::Local, None) => Err(Refusal::not_found(&path)),
        }
    }

    /// A caller that cannot say who it is counts by its address, so that guessing has a limit too.
    async fn authenticate(
        &self,
        entry: &Entry,
        parts: &Parts,
        client: &Client,
        record: &mut Record,
    ) -> Result<Arc<Principal>, Refusal> {
        let Some(authenticator) = &self.authenticator else {
            return Err(ApiError::internal("a route demands authentication, and there is no authenticator").into());
        };
        let refused = match authenticator.identify_over(parts.extensions.get::<TlsConnection>(), &parts.headers).await {
            Ok(Some(identity)) => return Ok(identity.principal),
            Ok(None) => AuthError::Missing.into(),
            Err(error) => error,
        };
        self.count(&entry.limit, Caller::Address(client.address), record)?;
        Err(refused.into())
    }

    fn count(&self, limit: &Limit, caller: Caller<'_>, record: &mut Record) -> Result<(), Refusal> {
        let limiter = match limit {
            Limit::Gateway => self.limiter.as_ref(),
            Limit::Own(limiter) => Some(limiter),
            Limit::Unlimited => None,
        };
        let Some(limiter) = limiter else { return Ok(()) };
        match limiter.check(caller) {
            Ok(allowance) => {
                record.allowance = Some(allowance);
                Ok(())
            }
            Err(exhausted) => {
                record.allowance = Some(exhausted.allowance());
                let error = ApiError::new(ErrorCode::RATE_LIMITED, "Too many requests")
                    .detail("limit", exhausted.limit)
                    .retry_after(exhausted.retry_after);
                Err(error.into())
            }
        }
    }

    /// Hands a request to the router in this process: its own headers stay, for upgrades too.
    async fn serve_locally(
        &self,
        router: &Router,
        context: Context,
        mut parts: Parts,
        path: &str,
        body: RequestBody,
    ) -> Result<Response<ResponseBody>, Refusal> {
        if path != parts.uri.path() {
            parts.uri = with_path(&parts.uri, path)?;
        }
        write_context(&mut parts.headers, &context, None);
        let request = Request::from_parts(parts, body.into_axum());
        let answer = AssertUnwindSafe(context.scope(router.clone().call(request))).catch_unwind().await;
        match answer {
            Ok(Ok(response)) => Ok(response.map(ResponseBody::from)),
            Ok(Err(never)) => match never {},
            Err(_) => Err(ApiError::internal("the gateway's own router panicked").into()),
        }
    }
}

pub(super) fn path_and_query(path: &str, query: Option<&str>) -> Result<PathAndQuery, Refusal> {
    let text = query.map_or_else(|| path.to_owned(), |query| format!("{path}?{query}"));
    PathAndQuery::try_from(text).map_err(|error| ApiError::internal(error).into())
}

fn with_path(uri: &Uri, path: &str) -> Result<Uri, Refusal> {
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(path_and_query(path, uri.query())?);
    Uri::from_parts(parts).map_err(|error| ApiError::internal(error).into())
}
