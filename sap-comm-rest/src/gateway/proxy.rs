use std::time::Duration;

use http::{HeaderValue, Response, StatusCode, Uri, Version, header, request::Parts, uri::PathAndQuery};
use sap_comm_core::{ApiError, Context, ErrorCode};

use super::{
    Refusal, RequestBody, ResponseBody,
    body::{Download, Upload},
    entry::Entry,
    failure::{Failure, is_sent},
    forward::{Outgoing, Trace, forward},
    headers::strip_hop_by_hop,
    outbound::write_context,
    record::Record,
    service::{Inner, path_and_query},
    upgrade,
};
use crate::server::Verbatim;

impl Inner {
    /// Sends a request to its service, and the answer back.
    #[expect(clippy::too_many_arguments, reason = "everything that was decided about the request")]
    pub(super) async fn proxy(
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
        let sending = upload.clone();
        let permit = upstream.breaker.try_acquire_owned().map_err(|rejected| {
            ApiError::new(ErrorCode::CIRCUIT_OPEN, "The service is not available now")
                // Never zero, which would ask for a retry at once.
                .retry_after(rejected.retry_after().max(Duration::from_millis(1)))
                .caused_by(rejected)
        })?;
        let version = parts.version;
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
                if failure.blames_upstream(sending.as_ref()) {
                    permit.failure()
                } else {
                    permit.ignore()
                }
                return Err(failure.into());
            }
        };
        let sent = is_sent(sending.as_ref());
        match response.status().is_server_error() {
            true if sent => permit.failure(),
            true => permit.ignore(),
            false => permit.success(),
        };
        if response.status().is_client_error() || response.status().is_server_error() {
            // The service's own words, which no layer around the gateway is to put into others.
            response.extensions_mut().insert(Verbatim);
            if version < Version::HTTP_2 && !sent {
                // What is left of the body belongs to nobody, and the connection ends with it.
                response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
            }
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
pub(super) fn target(entry: &Entry, uri: &Uri, path: &str, matched: usize) -> Result<PathAndQuery, Refusal> {
    let rewritten = entry.rewritten(path, matched);
    match (&rewritten, uri.path_and_query()) {
        (None, Some(own)) if own.path() == path => Ok(own.clone()),
        _ => path_and_query(rewritten.as_deref().unwrap_or(path), uri.query()),
    }
}
