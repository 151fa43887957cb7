use std::{collections::HashMap, panic::AssertUnwindSafe, sync::Arc, time::Duration};

use axum::Router;
use futures_util::FutureExt;
use http::{HeaderValue, Request, Response, StatusCode, Uri, header, request::Parts, uri::PathAndQuery};
use sap_comm_core::{ApiError, Context, ErrorCode, Principal, auth::AuthError};
use tower_service::Service;

use super::{
    Access, Refusal, RequestBody, ResponseBody, Scheme, Target,
    access::authorize,
    body::{Download, Upload},
    client::{Client, TrustedProxies},
    entry::{Entry, Limit},
    failure::Failure,
    forward::{Outgoing, Trace, forward},
    headers::{strip_forged, strip_hop_by_hop},
    outbound::write_context,
    rate_limit::{Caller, Limiter},
    record::Record,
    screen::{Screened, screen},
    table::{Found, Table},
    upgrade::{self, Tunnels},
    upstream::{Pool, Upstream},
};
use crate::server::{Verbatim, auth::Authenticator};

/// Everything that a gateway's requests share.
pub(super) struct Inner {
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
            context = context.with_principal(Principal::clone(&principal));
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
        let refused = match authenticator.identify(&parts.headers).await {
            Ok(Some(identity)) => return Ok(Arc::new(identity.principal)),
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

    #[expect(clippy::too_many_arguments, reason = "everything that was decided about the request")]
    async fn proxy(
        &self,
        service: &str,
        entry: &Entry,
        context: &Context,
        mut parts: Parts,
        target: PathAndQuery,
        body: RequestBody,
        record: &mut Record,
    ) -> Result<Response<ResponseBody>, Refusal> {
        let Some(upstream) = self.upstreams.get(service) else {
            return Err(ApiError::internal(format!("service {service:?} has no upstream")).into());
        };
        let upload = Upload::new(body, entry.max_body, self.body_stall);
        if let Some(upload) = &upload {
            upload.check_announced()?;
        }
        let permit = upstream.breaker.try_acquire_owned().map_err(|rejected| {
            ApiError::new(ErrorCode::CIRCUIT_OPEN, "The service is not available now")
                // Never zero, which would ask for a retry at once.
                .retry_after(rejected.retry_after.max(Duration::from_millis(1)))
                .caused_by(rejected)
        })?;
        let upgrade = self.tunnels.begin(&mut parts)?;
        let mut headers = parts.headers;
        strip_hop_by_hop(&mut headers);
        if upgrade.is_some() {
            upgrade::ask(&mut headers);
        }
        if !entry.preserve_host {
            headers.remove(header::HOST);
        }
        let context = context.child().with_timeout(entry.timeout);
        write_context(&mut headers, &context, self.api_key.as_ref());
        let outgoing = Outgoing {
            method: parts.method,
            target,
            headers,
            upload,
            timeout: entry.timeout,
            upgrade: upgrade.is_some(),
        };
        let mut trace = Trace::default();
        let answer = forward(&self.pool, upstream, outgoing, &mut trace).await;
        record.upstream = trace.endpoint.map(|endpoint| format!("{service} {endpoint}"));
        record.attempts = trace.attempts;
        let (mut response, picked) = match answer {
            Ok(answer) => answer,
            Err(failure) => {
                if failure.blames_upstream() {
                    permit.failure()
                } else {
                    permit.ignore()
                }
                return Err(failure.into());
            }
        };
        if response.status().is_server_error() {
            permit.failure()
        } else {
            permit.success()
        }
        if response.status().is_client_error() || response.status().is_server_error() {
            // The service's own words, which no layer around the gateway is to put into others.
            response.extensions_mut().insert(Verbatim);
        }
        if response.status() != StatusCode::SWITCHING_PROTOCOLS {
            return Ok(response.map(|body| Download::new(body, self.idle_timeout, picked).into()));
        }
        let Some(upgrade) = upgrade else {
            return Err(Failure::Garbage("an upgrade that was not asked for".into()).into());
        };
        self.tunnels.join(upgrade, &mut response, picked);
        Ok(response.map(|_| axum::body::Body::empty().into()))
    }
}

/// What the upstream is asked for: the path as it was decided about, and the client's query.
fn target(entry: &Entry, uri: &Uri, path: &str, matched: usize) -> Result<PathAndQuery, Refusal> {
    let rewritten = entry.rewritten(path, matched);
    match (&rewritten, uri.path_and_query()) {
        (None, Some(own)) if own.path() == path => Ok(own.clone()),
        _ => path_and_query(rewritten.as_deref().unwrap_or(path), uri.query()),
    }
}

fn path_and_query(path: &str, query: Option<&str>) -> Result<PathAndQuery, Refusal> {
    let text = query.map_or_else(|| path.to_owned(), |query| format!("{path}?{query}"));
    PathAndQuery::try_from(text).map_err(|error| ApiError::internal(error).into())
}

fn with_path(uri: &Uri, path: &str) -> Result<Uri, Refusal> {
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(path_and_query(path, uri.query())?);
    Uri::from_parts(parts).map_err(|error| ApiError::internal(error).into())
}
