use std::{borrow::Cow, sync::OnceLock};

use sap_comm_core::{Context, EventKind};

use super::{cause::Cause, header};

/// Headers in the order they were set; a name occurs once.
#[derive(Debug, Clone, Default)]
pub(crate) struct Headers {
    own: Vec<Header>,
    cause: Option<Cause>,
    /// Those of the cause, once somebody looked.
    written: OnceLock<Vec<Header>>,
}

type Header = (Cow<'static, str>, HeaderValue);

/// The values of headers, all of which survive a copy.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum HeaderValue {
    Text(String),
    Int(i64),
    #[cfg_attr(not(any(test, feature = "rabbitmq")), expect(dead_code, reason = "only others send it"))]
    Bool(bool),
    #[cfg_attr(not(any(test, feature = "rabbitmq")), expect(dead_code, reason = "only others send it"))]
    Float(f64),
    /// Seconds since the Unix epoch.
    #[cfg_attr(not(any(test, feature = "rabbitmq")), expect(dead_code, reason = "only others send it"))]
    Timestamp(u64),
    /// Of a type that means nothing to this crate, as it stands on the wire.
    #[cfg_attr(not(any(test, feature = "rabbitmq")), expect(dead_code, reason = "only others send it"))]
    Other(Vec<u8>),
}

impl From<String> for HeaderValue {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<u32> for HeaderValue {
    fn from(number: u32) -> Self {
        Self::Int(number.into())
    }
}

impl Headers {
    /// The headers of an event of this kind that `context` causes.
    pub(super) fn caused_by(context: Context, kind: EventKind) -> Self {
        Self { cause: Some(Cause { context, kind }), ..Self::default() }
    }

    /// Those that came over a wire, of which there may be many; of a name that occurs twice, the last.
    #[cfg(feature = "rabbitmq")]
    pub(crate) fn of_wire(headers: Vec<(String, HeaderValue)>) -> Self {
        const FEW: usize = 32;
        let mut all = Self::default();
        if headers.len() <= FEW {
            headers.into_iter().for_each(|(name, value)| all.set(name, value));
            return all;
        }
        all.own = headers.into_iter().map(|(name, value)| (name.into(), value)).collect();
        all.own.sort_by(|(one, _), (other, _)| one.cmp(other));
        all.own.dedup_by(|later, kept| {
            let same = later.0 == kept.0;
            if same {
                std::mem::swap(later, kept);
            }
            same
        });
        all
    }

    /// The context that caused the message, as long as no header of it was changed.
    pub(super) fn cause(&self) -> Option<&Context> {
        self.cause.as_ref().map(|cause| &cause.context)
    }

    pub(crate) fn set(&mut self, name: impl Into<Cow<'static, str>>, value: impl Into<HeaderValue>) {
        let (name, value) = (name.into(), value.into());
        self.release(&name);
        match self.own.iter_mut().find(|(own, _)| *own == name) {
            Some((_, own)) => *own = value,
            None => self.own.push((name, value)),
        }
    }

    pub(crate) fn remove(&mut self, name: &str) {
        self.release(name);
        self.own.retain(|(own, _)| own != name);
    }

    /// Leaves what a failure is told by, and what the event belongs to; the attributes of a CloudEvent only the first time, since
    /// there may be many. Whether there was anything to leave out.
    pub(crate) fn drop_foreign(&mut self) -> bool {
        use sap_comm_core::header::{CORRELATION_ID, PRINCIPAL, REQUEST_ID, TRACEPARENT, TRACESTATE};

        const OF_THE_EVENT: [&str; 8] = [
            header::KIND,
            header::ORDERING_KEY,
            header::ROUTING_KEY,
            CORRELATION_ID,
            PRINCIPAL,
            REQUEST_ID,
            TRACEPARENT,
            TRACESTATE,
        ];
        /// All of them together fit into the smallest frame that RabbitMQ agrees on by default.
        const LONGEST: usize = 4 * 1024;
        let before = self.own.len();
        let goes = |(name, value): &Header, attributes: bool| {
            let name = name.as_ref();
            let ours = header::OF_FAILURE.contains(&name) || OF_THE_EVENT.contains(&name);
            let length = match value {
                HeaderValue::Text(text) => text.len(),
                HeaderValue::Other(bytes) => bytes.len(),
                HeaderValue::Int(_) | HeaderValue::Bool(_) | HeaderValue::Float(_) | HeaderValue::Timestamp(_) => 0,
            };
            length > LONGEST || !(ours || (attributes && name.starts_with("cloudEvents")))
        };
        self.own.retain(|header| !goes(header, true));
        if self.own.len() == before {
            self.own.retain(|header| !goes(header, false));
        }
        self.own.len() < before
    }

    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        match self.get(name)? {
            HeaderValue::Text(text) => Some(text),
            _ => None,
        }
    }

    /// What tells one from another: a text, or a number or truth value as text.
    pub(crate) fn key(&self, name: &str) -> Option<Cow<'_, str>> {
        match self.get(name)? {
            HeaderValue::Text(text) => Some(text.into()),
            HeaderValue::Int(number) => Some(number.to_string().into()),
            HeaderValue::Bool(value) => Some(value.to_string().into()),
            HeaderValue::Float(_) | HeaderValue::Timestamp(_) | HeaderValue::Other(_) => None,
        }
    }

    /// A small count, written as a number or as text.
    pub(crate) fn number(&self, name: &str) -> Option<u32> {
        match self.get(name)? {
            HeaderValue::Int(number) => u32::try_from(*number).ok(),
            HeaderValue::Text(text) => text.parse().ok(),
            HeaderValue::Bool(_) | HeaderValue::Float(_) | HeaderValue::Timestamp(_) | HeaderValue::Other(_) => None,
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &HeaderValue)> {
        self.of_cause().iter().chain(&self.own).map(|(name, value)| (name.as_ref(), value))
    }

    /// Hands a copy of each to a wire. Those of a cause are written for it alone, unless somebody has looked at them before.
    #[cfg(feature = "rabbitmq")]
    pub(crate) fn write(&self, mut set: impl FnMut(&str, HeaderValue)) {
        match &self.cause {
            Some(cause) if self.written.get().is_none() => cause.write(&mut set),
            _ => self.of_cause().iter().for_each(|(name, value)| set(name, value.clone())),
        }
        self.own.iter().for_each(|(name, value)| set(name, value.clone()));
    }

    fn get(&self, name: &str) -> Option<&HeaderValue> {
        let find = |headers: &'_ [Header]| headers.iter().position(|(own, _)| own == name);
        match find(&self.own) {
            Some(at) => Some(&self.own[at].1),
            // Counters of this crate are looked for with every delivery, and a cause has none.
            None if name.starts_with(header::PREFIX) => None,
            None => self.of_cause().iter().find_map(|(own, value)| (own == name).then_some(value)),
        }
    }

    fn of_cause(&self) -> &[Header] {
        let Some(cause) = &self.cause else { return &[] };
        self.written.get_or_init(|| {
            let mut headers = Vec::new();
            cause.write(|name, value| headers.push((name.into(), value)));
            headers
        })
    }

    /// Makes the headers of the cause our own if `name` may be one of them.
    fn release(&mut self, name: &str) {
        if self.cause.is_some() && !name.starts_with(header::PREFIX) {
            let mut own = self.of_cause().to_vec();
            own.append(&mut self.own);
            *self = Self { own, ..Self::default() };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::header;

    #[test]
    fn a_name_occurs_once() {
        let mut headers = Headers::default();
        headers.set("a", 1);
        headers.set("a".to_owned(), "2".to_owned());
        assert_eq!((headers.number("a"), headers.iter().count()), (Some(2), 1));
        headers.remove("a");
        assert_eq!(headers.number("a"), None);
    }

    #[test]
    fn a_key_may_be_a_number() {
        let mut headers = Headers::default();
        for (name, value) in [
            ("text", HeaderValue::Text("a".to_owned())),
            ("number", HeaderValue::Int(7)),
            ("flag", HeaderValue::Bool(true)),
            ("float", HeaderValue::Float(7.5)),
        ] {
            headers.set(name, value);
        }
        let keys = ["text", "number", "flag", "float", "none"].map(|name| headers.key(name));
        assert_eq!(keys.each_ref().map(Option::as_deref), [Some("a"), Some("7"), Some("true"), None, None]);
    }

    #[cfg(feature = "rabbitmq")]
    #[test]
    fn of_a_name_that_occurs_twice_on_a_wire_the_last_counts() {
        for others in [0, 30, 40_000] {
            let mut wire = vec![("a".to_owned(), 1.into())];
            wire.extend((0..others).map(|number| (format!("b{number}"), HeaderValue::Bool(true))));
            wire.extend([("a".to_owned(), 2.into()), ("a".to_owned(), HeaderValue::from(3))]);
            let headers = Headers::of_wire(wire);
            assert_eq!((headers.number("a"), headers.iter().count()), (Some(3), others + 1));
        }
    }

    #[test]
    fn a_cause_reads_as_headers() {
        let context = Context::root().with_attempt(3);
        let mut headers = Headers::caused_by(context.clone(), EventKind::Command);
        headers.set(header::ATTEMPT, 2);
        assert!(headers.cause().is_some());
        assert_eq!(headers.text(header::KIND), Some("command"));
        assert_eq!(headers.text("x-request-id"), Some(context.request_id()));
        assert_eq!((headers.number(header::ATTEMPT), headers.text("x-attempt")), (Some(2), None));
        let names: Vec<_> = headers.iter().map(|(name, _)| name.to_owned()).collect();
        #[cfg(feature = "rabbitmq")]
        for headers in [&headers, &Headers { written: OnceLock::new(), ..headers.clone() }] {
            let mut written = Vec::new();
            headers.write(|name, value| written.push((name.to_owned(), value)));
            assert!(written.iter().map(|(name, value)| (name.as_str(), value)).eq(headers.iter()));
        }
        headers.set("traceparent", "none".to_owned());
        assert!(headers.cause().is_none());
        assert_eq!(headers.text("traceparent"), Some("none"));
        assert_eq!(headers.iter().map(|(name, _)| name).collect::<Vec<_>>(), names);
    }

    #[test]
    fn what_is_left_without_foreign_headers_is_short() {
        let mut headers = Headers::default();
        let long = "x".repeat(100_000);
        for name in ["a", "x-sap-note", "traceparent", "cloudEvents_long", header::QUEUE] {
            headers.set(name, long.clone());
        }
        for name in [header::REASON, header::ORDERING_KEY, "x-request-id", "cloudEvents_id"] {
            headers.set(name, "kept".to_owned());
        }
        let names = |headers: &Headers| headers.iter().map(|(name, _)| name.to_owned()).collect::<Vec<_>>();
        assert!(headers.drop_foreign());
        assert_eq!(names(&headers), [header::REASON, header::ORDERING_KEY, "x-request-id", "cloudEvents_id"]);
        assert!(headers.drop_foreign());
        assert_eq!(names(&headers), [header::REASON, header::ORDERING_KEY, "x-request-id"]);
        assert!(!headers.drop_foreign());
    }
}
