use std::{borrow::Cow, sync::Arc, time::Duration};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use http::HeaderMap;

use super::{Caller, Context, Inner, TraceContext, header};
use crate::{Name, id};

/// The longest timeout taken from a header: a day.
const MAX_TIMEOUT: Duration = Duration::from_secs(86_400);

impl Context {
    /// Writes the context as headers, for any transport: `set(name, value)` is called for each.
    ///
    /// The principal is written too; leave out [`header::TRUSTED_ONLY`] towards peers outside the system.
    pub fn inject(&self, mut set: impl FnMut(&'static str, String)) {
        set(header::REQUEST_ID, self.request_id().to_owned());
        set(header::CORRELATION_ID, self.correlation_id().to_owned());
        set(header::TRACEPARENT, self.trace().traceparent());
        if let Some(state) = self.trace().tracestate() {
            set(header::TRACESTATE, state.to_owned());
        }
        if let Some(remaining) = self.remaining() {
            set(header::TIMEOUT_MS, remaining.as_millis().to_string());
        }
        if self.attempt() > 1 {
            set(header::ATTEMPT, self.attempt().to_string());
        }
        if let Some(caller) = self.principal_header() {
            set(header::PRINCIPAL, caller.into_owned());
        }
    }

    /// The value of [`header::PRINCIPAL`]; `None` in a context on nobody's behalf, where whoever sends a request asks for itself.
    #[must_use]
    pub fn principal_header(&self) -> Option<Cow<'static, str>> {
        match &self.0.caller {
            Caller::Itself => None,
            Caller::Unknown(said) => Some(Cow::Borrowed(said)),
            Caller::Known(principal) => Some(match serde_json::to_vec(&**principal) {
                Ok(json) => BASE64_URL_SAFE_NO_PAD.encode(json).into(),
                Err(_) => header::SOMEBODY.into(),
            }),
        }
    }

    /// Reads a context from headers: the ids and the trace, as a new span. Anything invalid is left out.
    ///
    /// Neither deadline, attempt nor principal is read: an outside caller could forge them. See
    /// [`Context::extract_trusted`].
    pub fn extract<'a>(mut get: impl FnMut(&'static str) -> Option<&'a str>) -> Self {
        let mut own = |name| get(name).filter(|id| header::is_id(id)).map(Name::from);
        let request_id = own(header::REQUEST_ID).unwrap_or_else(id::request);
        let correlation_id = own(header::CORRELATION_ID).unwrap_or_else(|| request_id.clone());
        let trace = match get(header::TRACEPARENT).and_then(TraceContext::parse) {
            Some(parent) => match get(header::TRACESTATE) {
                Some(state) => parent.with_tracestate(state).child(),
                None => parent.child(),
            },
            None => TraceContext::root(),
        };
        Self(Arc::new(Inner { request_id, correlation_id, trace, deadline: None, attempt: 1, caller: Caller::Itself }))
    }

    /// Reads a context from the headers of a request as [`Context::extract`] does. A request with several parents goes on with none of them, and
    /// several lines of a state are one list (W3C Trace Context).
    pub fn from_headers(headers: &HeaderMap) -> Self {
        let states: Vec<_> =
            headers.get_all(header::TRACESTATE).iter().filter_map(|state| state.to_str().ok()).collect();
        let state = (states.len() > 1).then(|| states.join(","));
        Self::extract(|name| {
            let mut lines = headers.get_all(name).iter();
            let first = lines.next()?;
            match name {
                header::TRACEPARENT if lines.next().is_some() => None,
                header::TRACESTATE if state.is_some() => state.as_deref(),
                _ => first.to_str().ok(),
            }
        })
    }

    /// Reads a context from the headers of an authenticated peer: deadline, attempt and principal too.
    ///
    /// A principal that cannot be read, or whose credential has expired by now, is left out. That there was one is not: a request
    /// within the context is made for somebody.
    pub fn extract_trusted<'a>(mut get: impl FnMut(&'static str) -> Option<&'a str>) -> Self {
        let mut context = Self::extract(&mut get);
        if let Some(millis) = get(header::TIMEOUT_MS).and_then(|text| text.parse().ok()) {
            context = context.with_timeout(Duration::from_millis(millis).min(MAX_TIMEOUT));
        }
        if let Some(attempt) = get(header::ATTEMPT).and_then(|text| text.parse().ok()) {
            context = context.with_attempt(attempt);
        }
        match get(header::PRINCIPAL) {
            Some(said) => context.with(|inner| inner.caller = read_caller(said)),
            None => context,
        }
    }
}

fn read_caller(said: &str) -> Caller {
    if said == header::NOBODY {
        return Caller::Unknown(header::NOBODY);
    }
    let json = BASE64_URL_SAFE_NO_PAD.decode(said).ok();
    let principal = json.and_then(|json| serde_json::from_slice(&json).ok());
    principal.map_or(Caller::Unknown(header::SOMEBODY), |principal| Caller::Known(Arc::new(principal)).now())
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;
    use crate::{Principal, Timestamp, auth::LEEWAY};

    fn headers(context: &Context) -> HashMap<&'static str, String> {
        let mut headers = HashMap::new();
        context.inject(|name, value| {
            headers.insert(name, value);
        });
        headers
    }

    #[tokio::test(start_paused = true)]
    async fn a_context_crosses_a_hop() {
        let context = Context::root()
            .with_correlation_id("req_cause")
            .with_timeout(Duration::from_secs(3))
            .with_attempt(2)
            .with_principal(Principal::user("usr_1", ["admin"]));
        let headers = headers(&context);
        let arrived = Context::extract_trusted(|name| headers.get(name).map(String::as_str));
        assert_eq!(arrived.request_id(), context.request_id());
        assert_eq!(arrived.correlation_id(), "req_cause");
        assert_eq!(arrived.trace().trace_id(), context.trace().trace_id());
        assert_ne!(arrived.trace().span_id(), context.trace().span_id());
        assert_eq!(arrived.remaining(), Some(Duration::from_secs(3)));
        assert_eq!(arrived.attempt(), 2);
        assert_eq!(arrived.principal(), context.principal());
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_handed_on_is_what_would_cross_the_wire() {
        let expired = Principal { expires_at: Some(Timestamp::from_millis(0)), ..Principal::user("usr_1", ["admin"]) };
        let state = TraceContext::root().with_tracestate("vendor=1");
        for context in [
            Context::root(),
            Context::root().with_timeout(Duration::from_secs(3)).with_attempt(2).with_trace(state),
            Context::root().with_principal(Principal::user("usr_1", ["admin"])).with_correlation_id(&"x".repeat(100)),
            Context::root().with_principal(expired),
            Context::root().for_nobody(),
        ] {
            let headers = headers(&context);
            let carried = |name: &&str| ![header::TIMEOUT_MS, header::ATTEMPT].contains(name);
            let crossed = Context::extract_trusted(|name| {
                Some(name).filter(carried).and_then(|name| headers.get(name)).map(String::as_str)
            });
            let handed = context.handed_on();
            assert_ne!(handed.trace().span_id(), context.trace().span_id());
            assert_eq!(handed.with_trace(crossed.trace().clone()), crossed);
            assert_eq!(handed.trace().trace_id(), crossed.trace().trace_id());
            assert_eq!(handed.trace().tracestate(), crossed.trace().tracestate());
            assert_eq!(handed.trace().is_sampled(), crossed.trace().is_sampled());
        }
    }

    #[test]
    fn an_outsider_forges_nothing() {
        let headers = headers(&Context::root().with_principal(Principal::user("root", ["admin"])).with_attempt(9));
        let arrived = Context::extract(|name| headers.get(name).map(String::as_str));
        assert_eq!((arrived.principal(), arrived.attempt(), arrived.deadline()), (None, 1, None));
    }

    #[test]
    fn a_principal_ends_with_its_credential() {
        let now = Timestamp::now().as_millis();
        let leeway = i64::try_from(LEEWAY.as_millis()).unwrap();
        for (millis, arrives) in [(now - leeway - 1, false), (now - leeway + 2_000, true), (now + 60_000, true)] {
            let expires_at = Some(Timestamp::from_millis(millis));
            let principal = Principal { expires_at, ..Principal::user("usr_1", ["admin"]) };
            let headers = headers(&Context::root().with_principal(principal));
            let arrived = Context::extract_trusted(|name| headers.get(name).map(String::as_str));
            assert_eq!(arrived.principal().is_some(), arrives);
        }
    }

    #[test]
    fn somebody_who_is_not_known_stays_unknown() {
        let expired = Principal { expires_at: Some(Timestamp::from_millis(0)), ..Principal::user("usr_1", ["admin"]) };
        let expired = Context::root().with_principal(expired).principal_header().unwrap().into_owned();
        for (said, says) in [
            (None, None),
            (Some("-"), Some("-")),
            (Some("?"), Some("?")),
            (Some("e30"), Some("?")),
            (Some(&expired), Some("?")),
        ] {
            let arrived = Context::extract_trusted(|name| said.filter(|_| name == header::PRINCIPAL));
            assert_eq!(arrived.principal(), None);
            for context in [arrived.clone(), arrived.child(), arrived.handed_on()] {
                assert_eq!(headers(&context).get(header::PRINCIPAL).map(String::as_str), says, "{said:?}");
            }
            assert_eq!(arrived.with_principal(None).principal_header(), None);
            assert_eq!(arrived.for_nobody().principal_header().unwrap(), header::NOBODY);
        }
    }

    #[test]
    fn rubbish_is_left_out() {
        let arrived = Context::extract_trusted(|_| Some("\u{fffd} rubbish"));
        assert_eq!((arrived.principal(), arrived.attempt(), arrived.deadline()), (None, 1, None));
        assert!(arrived.request_id().starts_with("req_"));
    }
}
