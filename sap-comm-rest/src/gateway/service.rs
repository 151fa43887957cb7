use std::{
    net::IpAddr,
    panic::AssertUnwindSafe,
    sync::{Arc, Once, OnceLock},
    time::Duration,
};

use arc_swap::ArcSwap;
use axum::{Router, extract::ConnectInfo};
use futures_util::{FutureExt, future::BoxFuture};
use http::{
    HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri, header, request::Parts as Head,
    uri::PathAndQuery,
};
use parking_lot::Mutex;
use sap_comm_core::{ApiError, Context, ErrorCode, Principal, auth::AuthError, config::ConfigError, telemetry};
use tokio::{sync::watch, task::AbortHandle};
use tower_service::Service;
use tracing::Instrument;

use super::{
    Access, GatewayConfig, Refusal, RequestBody, ResponseBody, RouteConfig, RoutesStatus, Scheme, Target,
    access::authorize,
    client::{Client, Peer},
    entry::{Entry, Limit},
    headers::{Via, goes_no_further, strip_delegated, strip_forged},
    live::{Live, Parts, Place},
    log::Log,
    outbound::tell_context,
    proxy::target,
    rate_limit::{Caller, Denied, Failures},
    record::Record,
    routes_file::{RoutesFile, follow},
    screen::{Screened, screen},
    spread::Spread,
    table::{Found, allow},
    upgrade::Tunnels,
};
use crate::{
    server::{SERVED_METHODS, auth::SignatureBound, set_security_headers},
    tls::TlsConnection,
};

/// Everything that a gateway's requests share.
pub(super) struct Inner {
    pub(super) service: Arc<str>,
    pub(super) live: ArcSwap<Spread<Live>>,
    pub(super) parts: Parts,
    pub(super) tunnels: Tunnels,
    pub(super) log: Log,
    pub(super) via: Via,
    /// The routes that stay, whatever the file says.
    own_routes: Vec<RouteConfig>,
    following: OnceLock<Following>,
    /// Where requests come in through [`Gateway::serve`](super::Gateway::serve). Held by whoever replaces `live`.
    places: Mutex<Vec<Place>>,
}

/// WebSocket connections of a gateway that nobody has told how many, nor at what server.
const MAX_TUNNELS: usize = 5_000;

/// The task that follows a file of routes, and what it says of it.
struct Following {
    task: AbortHandle,
    status: watch::Receiver<RoutesStatus>,
}

impl Drop for Following {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Inner {
    pub(super) fn new(live: Live, parts: Parts, own_routes: Vec<RouteConfig>) -> Self {
        let service = Arc::from(live.config.service.as_str());
        Self {
            tunnels: Tunnels::new(live.config.max_tunnels.unwrap_or(MAX_TUNNELS), live.config.tunnel_idle),
            log: Log::new(Arc::clone(&service), live.config.log),
            via: Via::new(),
            live: ArcSwap::from_pointee(Spread::new(live)),
            parts,
            own_routes,
            service,
            following: OnceLock::new(),
            places: Mutex::default(),
        }
    }

    /// Serves by another configuration from now on.
    pub(super) fn reload(&self, config: GatewayConfig) -> Result<(), ConfigError> {
        if self.following.get().is_some() {
            return Err(ConfigError::new("routes", "come from a file: change that"));
        }
        self.replace(|_| config)
    }

    /// Serves by the routes of a file from now on, and by those that stay.
    pub(super) fn replace_routes(&self, routes: Vec<RouteConfig>) -> Result<(), ConfigError> {
        self.replace(|before| {
            let routes = self.own_routes.iter().cloned().chain(routes).collect();
            GatewayConfig { routes, ..before.clone() }
        })
    }

    /// Begins to follow a file of routes.
    pub(super) fn follow(self: &Arc<Self>, file: RoutesFile, every: Duration) {
        let (tell, status) = watch::channel(RoutesStatus::default());
        let task = tokio::spawn(follow(file, Arc::downgrade(self), every, tell)).abort_handle();
        // A gateway follows one file, from its beginning.
        let _ = self.following.set(Following { task, status });
    }

    pub(super) fn routes_status(&self) -> Option<watch::Receiver<RoutesStatus>> {
        self.following.get().map(|following| following.status.clone())
    }

    /// Lets requests come in at a place, unless secrets would come in clear text there; no reload lets them later.
    pub(super) fn serve_at(&self, place: Place) -> Result<(), ConfigError> {
        let mut places = self.places.lock();
        let live = self.live.load();
        live.check_place(&place)?;
        places.push(place);
        if live.config.max_tunnels.is_none()
            && let Some(least) = places.iter().map(Place::half).min()
        {
            self.tunnels.set_max(least);
        }
        Ok(())
    }

    fn replace(&self, config: impl FnOnce(&GatewayConfig) -> GatewayConfig) -> Result<(), ConfigError> {
        let places = self.places.lock();
        let before = self.live.load_full();
        let config = config(&before.config);
        let live = Live::compile(config, &self.parts, Some(&before))?;
        places.iter().try_for_each(|place| live.check_place(place))?;
        live.take_over(&before)?;
        self.log.set_sample(live.config.log.sample);
        self.live.store(Arc::new(Spread::new(live)));
        Ok(())
    }

    /// Decides about a request, in an order that gives nothing away: what is ambiguous is refused before it is routed,
    /// who asks is known before it is counted, and everything is decided before an upstream is asked.
    ///
    /// It takes what it needs of the head and of the peer where they are: a future has room for what it is given, and once more for
    /// what it makes of it.
    pub(super) async fn serve<'a>(
        &self,
        live: &'a Live,
        context: Context,
        parts: &mut Head,
        body: RequestBody,
        peer: &mut Option<Peer>,
        record: &mut Record<'a>,
    ) -> Result<Response<ResponseBody>, Refusal> {
        let uri = parts.uri.clone();
        let screened = screen(parts, &uri);
        let host = screened.as_ref().ok().and_then(|screened| screened.host.as_ref());
        let scheme = parts.extensions.get::<TlsConnection>().map_or(live.scheme, |_| Scheme::Https);
        let client = Client::read(&parts.headers, peer.take(), host, &live.proxies, scheme);
        let address = client.address;
        record.is_of(&client);
        let Screened { path, host } = match screened {
            Ok(screened) => screened,
            Err(refusal) => return Err(counted(live, refusal, record).await),
        };
        if self.via.is_loop(&parts.headers) {
            let error = ApiError::new(ErrorCode::LOOP_DETECTED, "The request came back to this gateway");
            return Err(counted(live, error.into(), record).await);
        }
        let (entry, matched) = match live.table.find(&parts.method, host.as_ref(), &path) {
            Found::Route(entry, matched) => (entry, matched),
            Found::OtherMethods(allow) => {
                return Err(counted(live, Refusal::method_not_allowed(&parts.method, allow), record).await);
            }
            Found::Nothing => {
                let Some(router) = &self.parts.fallback else {
                    return Err(counted(live, Refusal::not_found(&path), record).await);
                };
                check_exposed(live, &client)?;
                count(live, &Limit::Gateway, Caller::Address(address), record).await?;
                strip_forged(&mut parts.headers);
                let request = local_request(parts, &path, body, &context, &client, &record.request_id)?;
                return self.serve_locally(router, context, request).await;
            }
        };
        record.route = Some(entry);
        if entry.takes_secrets {
            check_exposed(live, &client)?;
        }
        if entry.access == Access::Authenticated {
            strip_delegated(&mut parts.headers);
            let principal = self.authenticate(live, entry, parts, address, record).await?;
            record.principal = Some(Arc::clone(&principal));
            count(live, &entry.limit, Caller::Principal(&principal), record).await?;
            authorize(entry, &principal)?;
        } else {
            count(live, &entry.limit, Caller::Address(address), record).await?;
        }
        strip_forged(&mut parts.headers);
        match (&entry.target, &self.parts.fallback) {
            (Target::Service(service), _) => {
                if parts.method == Method::OPTIONS && goes_no_further(&mut parts.headers) {
                    return Ok(options(entry));
                }
                let target = target(entry, &uri, &path, matched)?;
                if let Some(host) = host.filter(|_| entry.preserve_host) {
                    // HTTP/2 has it in the target.
                    parts.headers.entry(header::HOST).or_insert(host);
                }
                let matched = path.get(..matched).unwrap_or_default();
                self.proxy(live, service, entry, matched, &context, &client, parts, target, body, record).await
            }
            (Target::Local, Some(router)) => {
                let context = record.within(&context);
                let request = local_request(parts, &path, body, &context, &client, &record.request_id)?;
                self.serve_locally(router, context, request).await
            }
            (Target::Local, None) => Err(Refusal::not_found(&path)),
        }
    }

    /// A caller that cannot say who it is counts by its address, so that guessing has a limit too.
    async fn authenticate(
        &self,
        live: &Live,
        entry: &Entry,
        parts: &Head,
        address: Option<IpAddr>,
        record: &mut Record<'_>,
    ) -> Result<Arc<Principal>, Refusal> {
        let Some(authenticator) = &self.parts.authenticator else {
            return Err(ApiError::internal("a route demands authentication, and there is no authenticator").into());
        };
        let (bound, tls) = (FailuresOf(live.failures.as_deref(), address), parts.extensions.get::<TlsConnection>());
        // In a box, since it is large, and public routes would carry it too.
        let refused = match Box::pin(authenticator.identify_within(&bound, tls, &parts.headers)).await {
            Ok(Some(identity)) => return Ok(identity.principal),
            Ok(None) => AuthError::Missing.into(),
            Err(error) if error.status() == StatusCode::TOO_MANY_REQUESTS => return Err(error.into()),
            Err(error) => error,
        };
        count(live, &entry.limit, Caller::Address(address), record).await?;
        Err(refused.into())
    }

    /// Hands a request to the router in this process. In a box, since it is large, and other routes would carry it too.
    fn serve_locally<'a>(
        &'a self,
        router: &'a Router,
        context: Context,
        request: Request<axum::body::Body>,
    ) -> BoxFuture<'a, Result<Response<ResponseBody>, Refusal>> {
        let span = tracing::info_span!(
            "local",
            { telemetry::SERVICE_NAME } = &*self.service,
            { telemetry::TRACE_ID } = %context.trace().display_trace_id(),
            { telemetry::REQUEST_ID } = context.request_id(),
            { telemetry::CORRELATION_ID } = context.correlation_id(),
        );
        Box::pin(async move {
            let answer = context.scope(router.clone().call(request)).instrument(span);
            match AssertUnwindSafe(answer).catch_unwind().await {
                Ok(Ok(response)) => Ok(response.map(ResponseBody::from)),
                Ok(Err(never)) => match never {},
                Err(_) => Err(ApiError::internal("the gateway's own router panicked").into()),
            }
        })
    }
}

/// The signatures of one client address that were wrong.
struct FailuresOf<'a>(Option<&'a Failures>, Option<IpAddr>);

impl SignatureBound for FailuresOf<'_> {
    fn wait(&self) -> Option<Duration> {
        self.0.and_then(|failures| failures.wait(self.1))
    }

    fn failed(&self) {
        if let Some(failures) = self.0 {
            failures.count(self.1);
        }
    }
}

/// What a route takes, for whoever asks no further than this gateway.
fn options(entry: &Entry) -> Response<ResponseBody> {
    let methods = if entry.methods.is_empty() { None } else { allow(entry.methods.iter()) };
    let mut response = Response::new(ResponseBody::default());
    *response.status_mut() = StatusCode::NO_CONTENT;
    set_security_headers(response.headers_mut());
    response.headers_mut().insert(header::ALLOW, methods.unwrap_or(SERVED_METHODS));
    response
}

/// What the router in this process is asked: the request's own headers stay, for upgrades too.
fn local_request(
    parts: &mut Head,
    path: &str,
    body: RequestBody,
    context: &Context,
    client: &Client,
    request_id: &HeaderValue,
) -> Result<Request<axum::body::Body>, Refusal> {
    let mut parts = std::mem::replace(parts, Request::new(()).into_parts().0);
    if path != parts.uri.path() {
        parts.uri = with_path(&parts.uri, path)?;
    }
    let mut insert = |name: &str, value: &[u8]| {
        if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_bytes(value)) {
            parts.headers.insert(name, value);
        }
    };
    client.tell(&mut insert);
    if let Some(peer) = client.peer {
        parts.extensions.insert(ConnectInfo(peer));
    }
    tell_context(context, context.trace(), request_id, insert);
    Ok(Request::from_parts(parts, body.into_axum()))
}

/// Refuses secrets in clear text where no server was checked in the beginning: the gateway is served as a service or a
/// router like any other. They have been sent by then; but nobody builds on it.
fn check_exposed(live: &Live, client: &Client) -> Result<(), Refusal> {
    static WARNED: Once = Once::new();
    if !client.is_exposed() || live.takes_clear_text() {
        return Ok(());
    }
    WARNED.call_once(|| {
        tracing::warn!(
            "a request in clear text from another machine was answered with 403, and further ones will be: set `scheme = \"https\"` \
             where a proxy in front ends TLS, or `insecure_plain_http = true`"
        );
    });
    Err(ApiError::new(ErrorCode::FORBIDDEN, "This is not served in clear text: use https").into())
}

/// A refusal of what no route takes; or of one too many of them.
async fn counted(live: &Live, refusal: Refusal, record: &mut Record<'_>) -> Refusal {
    match count(live, &Limit::Gateway, Caller::Address(record.client), record).await {
        Ok(()) => refusal,
        Err(denied) => Refusal { close: refusal.close, ..denied },
    }
}

/// Counts a request by whom it is from, and refuses one too many.
async fn count(live: &Live, limit: &Limit, caller: Caller<'_>, record: &mut Record<'_>) -> Result<(), Refusal> {
    let limit = match limit {
        Limit::Gateway => live.limiter.as_deref(),
        Limit::Own(limit) => Some(&**limit),
        Limit::Unlimited => None,
    };
    let Some(limit) = limit else { return Ok(()) };
    match limit.check(caller).await {
        Ok(allowance) => {
            record.allowance = allowance;
            Ok(())
        }
        Err(Denied::Exhausted(exhausted)) => {
            record.allowance = Some(exhausted.allowance());
            let error = ApiError::new(ErrorCode::RATE_LIMITED, "Too many requests")
                .detail("limit", exhausted.limit)
                .retry_after(exhausted.retry_after);
            Err(error.into())
        }
        Err(Denied::Away) => {
            let error = ApiError::new(ErrorCode::SERVICE_UNAVAILABLE, "Requests cannot be counted now");
            Err(error.retry_after(Duration::from_secs(1)).into())
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
