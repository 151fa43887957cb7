use std::{mem, pin::pin, sync::Arc};

use http::{HeaderValue, Response, StatusCode, Uri, Version, header, request::Parts, uri::PathAndQuery};
use sap_comm_core::{ApiError, Context, header as names};
use sap_comm_discovery::Outcome;
use sap_comm_resilience::{Permit, State};
use tokio::time::{Instant, timeout};

use super::{
    Refusal, RequestBody, ResponseBody, answer,
    body::{Begun, Download, Upload},
    client::{Client, X_FORWARDED_PREFIX},
    entry::Entry,
    exchange::HeaderLines,
    failure::{Failure, is_failure, is_sent},
    forward::{Answer, AsPeer, Outgoing, Share, Trace, forward},
    headers::{Rewritten, Whose, strip_hop_by_hop},
    live::Live,
    outbound::{PRINCIPAL, said_principal, tell_context},
    record::Record,
    service::{Inner, path_and_query},
    upgrade,
    upstream::{InUse, MOMENT, Place, Slot, Upstream},
};
use crate::server::{HARMLESS_SECURITY_HEADERS, Verbatim, join_cookies, set_harmless_security_headers};

const EVENT_STREAM: &[u8] = b"text/event-stream";

impl Inner {
    /// Sends a request to its service, and the answer back.
    #[expect(clippy::too_many_arguments, reason = "everything that was decided about the request")]
    pub(super) async fn proxy(
        &self,
        live: &Live,
        service: &str,
        entry: &Entry,
        matched: &str,
        context: &Context,
        client: &Client,
        parts: &mut Parts,
        target: PathAndQuery,
        body: RequestBody,
        record: &mut Record<'_>,
    ) -> Result<Response<ResponseBody>, Refusal> {
        let Some(upstream) = &entry.upstream else {
            return Err(ApiError::internal(format!("service {service:?} has no upstream")).into());
        };
        let keep = if parts.method.is_idempotent() { upstream.config.retry.max_replay } else { 0 };
        let upload = Upload::new(body, entry.max_body, keep, live.body_stall);
        if let Some(upload) = &upload {
            upload.check_announced()?;
        }
        let (mut slot, mut permit) = upstream.enter()?;
        if let Some(upload) = &upload
            // In boxes, since most requests have no body.
            && !Box::pin(upstream.enter_upload(upload)).await?
        {
            // Meanwhile it takes up nothing.
            drop((slot, permit));
            Box::pin(upstream.await_upload(upload)).await?;
            (slot, permit) = upstream.enter()?;
        }
        let version = parts.version;
        let upgrade = self.tunnels.begin(parts)?;
        let headers = &mut parts.headers;
        strip_hop_by_hop(headers);
        if version == Version::HTTP_2 {
            join_cookies(headers);
        }
        if upgrade.is_some() {
            upgrade::ask(headers);
        }
        let api_key = self.parts.api_key.as_ref();
        if api_key.is_some() {
            headers.remove(names::API_KEY);
        }
        let mut own = HeaderLines::new();
        client.tell(|name, value| own.push(name, value));
        self.via.tell(version, headers, &mut own);
        let rewritten = entry.rewrite.as_deref().map(|inside| Rewritten::new(matched, inside));
        if let Some(prefix) = rewritten.and_then(|rewritten| rewritten.prefix()) {
            own.push(X_FORWARDED_PREFIX.as_str(), prefix.as_bytes());
        }
        tell_context(context, &context.trace().child(), &record.request_id, |name, value| own.push(name, value));
        if let Some(key) = api_key {
            own.push(names::API_KEY, key.as_bytes());
        }
        let as_peer = (api_key.is_some() || live.shows_certificate).then(|| {
            let context = record.within(context);
            // A client's own key goes before the gateway's certificate, and says itself who asks where the gateway knows nobody.
            let tells = api_key.is_some() || context.principal().is_some() || !headers.contains_key(names::API_KEY);
            let mut principal = tells.then(|| said_principal(&context));
            // That it is nobody gives nothing away: it is said in any case.
            if let Some(nobody) = principal.take_if(|said| *said == names::NOBODY) {
                headers.remove(PRINCIPAL);
                own.push(names::PRINCIPAL, nobody.as_bytes());
            }
            let share = Share { attempt: context.attempt(), deadline: context.deadline() };
            AsPeer { principal, share, by_certificate: api_key.is_none() }
        });
        let outgoing = Outgoing {
            method: mem::take(&mut parts.method),
            target,
            headers: mem::take(headers),
            own,
            as_peer,
            upload,
            timeout: entry.timeout,
            upgrade: upgrade.is_some(),
            preserve_host: entry.preserve_host,
            room: answer::added(record) + if entry.security_headers { HARMLESS_SECURITY_HEADERS } else { 0 },
        };
        let (mut trace, mut permit) = (Trace::default(), Some(permit));
        let answer = if upstream.breaker.state() == State::HalfOpen && !body_has_come(&outgoing) {
            Box::pin(probe(upstream, &outgoing, &mut trace, &mut permit)).await
        } else {
            forward(upstream, &outgoing, &mut trace).await
        };
        record.endpoint = trace.endpoint;
        record.attempts = trace.attempts;
        let Answer { mut response, picked, mut lease } = match answer {
            Ok(answer) => answer,
            Err(failure) => {
                let blamed = failure.blames_upstream(outgoing.upload.as_ref());
                settle(permit, if blamed { Permit::failure } else { Permit::ignore });
                return Err(failure.into());
            }
        };
        let sent = is_sent(outgoing.upload.as_ref());
        if let Some(rewritten) = rewritten {
            let (endpoint, host) = (picked.endpoint(), lease.host());
            let asked = outgoing.headers.get(header::HOST).filter(|_| entry.preserve_host);
            rewritten.map_back(response.headers_mut(), |authority| {
                let is = |own: &[u8]| own.eq_ignore_ascii_case(authority.as_bytes());
                if asked.is_some_and(|asked| is(asked.as_bytes())) {
                    Whose::Client { over_tls: client.came_over_tls() }
                } else if is(endpoint.authority().as_bytes()) || is(host.as_bytes()) {
                    Whose::Service
                } else {
                    Whose::Another
                }
            });
        }
        let (has_come, answered) = (lease.has_come(), Instant::now());
        record.answered = Some(answered);
        let is_endless = !has_come && is_without_end(&response);
        let unsettled = match response.status().is_server_error() {
            true if sent && is_failure(response.status()) => {
                settle(permit, Permit::failure);
                None
            }
            true => {
                settle(permit, Permit::ignore);
                None
            }
            false => {
                let latency = answered.saturating_duration_since(picked.since());
                // While the client still sends, the end says nothing; of what only tells of events, silence does not either.
                if has_come || !sent || is_endless {
                    settle(permit, Permit::success);
                    picked.report_at(answered, Outcome::Success(latency));
                    None
                } else if live.config.breaker.slow_call_duration.is_some()
                    || upstream.breaker.state() == State::HalfOpen
                {
                    // How long the rest takes is the client's doing too: it makes no call slow, and keeps no probe.
                    settle(permit, Permit::success);
                    Some((None, latency))
                } else {
                    Some((permit.map(Permit::into_owned), latency))
                }
            }
        };
        let is_error = response.status().is_client_error() || response.status().is_server_error();
        if is_error || !client.at_checked_server {
            // The service's own words, which no layer around the gateway is to put into others. At a server of its own it has none.
            response.extensions_mut().insert(Verbatim);
        }
        if is_error && version < Version::HTTP_2 && !sent {
            // What is left of the body belongs to nobody, and the connection ends with it.
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        if response.status() != StatusCode::SWITCHING_PROTOCOLS {
            if entry.security_headers {
                set_harmless_security_headers(response.headers_mut());
            }
            if sent && let Some(body) = lease.take_short() {
                // The service has nothing more to do with it, however long the client takes, and it takes up little here.
                lease.give_back(answered);
                return Ok(response.map(|()| body.into()));
            }
            let begun =
                (!has_come).then(|| Begun::new(unsettled, answered, record.request_id.clone(), Arc::clone(upstream)));
            let place = match is_endless.then(|| self.tunnels.take()).flatten() {
                Some(slot) => Place::Events { _slot: slot },
                None => Place::InFlight { _slot: Slot::keep(slot, upstream) },
            };
            let until = is_endless.then(|| self.tunnels.until()).flatten();
            let in_use = InUse { picked, lease, answered, begun, until, _place: place };
            let idle_timeout = upstream.config.idle_timeout;
            return Ok(response.map(|()| Download::new(idle_timeout, in_use).into()));
        }
        let Some(upgrade) = upgrade else {
            return Err(Failure::Garbage("an upgrade that was not asked for".into()).into());
        };
        self.tunnels.join(upgrade, picked, lease);
        Ok(response.map(|()| ResponseBody::default()))
    }
}

fn settle<'a>(permit: Option<Permit<'a>>, end: fn(Permit<'a>)) {
    permit.into_iter().for_each(end);
}

fn body_has_come(outgoing: &Outgoing) -> bool {
    outgoing.upload.as_ref().is_none_or(Upload::has_come)
}

/// Asks a service whose breaker is half-open, for a client that still sends: it keeps for a moment only what the others wait for.
async fn probe<'a>(
    upstream: &'a Upstream,
    outgoing: &Outgoing,
    trace: &mut Trace,
    permit: &mut Option<Permit<'a>>,
) -> Result<Answer, Failure> {
    let mut asking = pin!(forward(upstream, outgoing, trace));
    match timeout(MOMENT, &mut asking).await {
        Ok(answer) => answer,
        Err(_) => {
            if body_has_come(outgoing) {
                return asking.await;
            }
            permit.take().into_iter().for_each(Permit::ignore);
            let answer = asking.await;
            // It counts as one that is asked for now, if that is let in.
            *permit = upstream.breaker.try_acquire().ok();
            answer
        }
    }
}

/// Whether an answer tells of events, which may never end, and may be silent for long.
fn is_without_end(response: &Response<()>) -> bool {
    let kind = response.headers().get(header::CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
    response.status() == StatusCode::SWITCHING_PROTOCOLS
        || kind.get(..EVENT_STREAM.len()).is_some_and(|kind| kind.eq_ignore_ascii_case(EVENT_STREAM))
}

/// What the upstream is asked for: the path as it was decided about, and the client's query.
pub(super) fn target(entry: &Entry, uri: &Uri, path: &str, matched: usize) -> Result<PathAndQuery, Refusal> {
    let rewritten = entry.rewritten(path, matched);
    match (&rewritten, uri.path_and_query()) {
        // One that begins with the query has a path all the same.
        (None, Some(own)) if own.path() == path && own.as_str().starts_with('/') => Ok(own.clone()),
        _ => path_and_query(rewritten.as_deref().unwrap_or(path), uri.query()),
    }
}
