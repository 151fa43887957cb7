use std::fmt;

use uuid::Uuid;

/// W3C trace context, level 1.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct TraceContext {
    trace_id: u128,
    span_id: u64,
    sampled: bool,
    state: Option<Box<str>>,
}

impl TraceContext {
    /// A new, sampled trace.
    #[must_use]
    pub fn root() -> Self {
        Self { trace_id: random(), span_id: random_span(), sampled: true, state: None }
    }

    /// Reads a `traceparent`; `None` for anything that the recommendation calls invalid.
    #[must_use]
    pub fn parse(traceparent: &str) -> Option<Self> {
        let text = traceparent.trim_matches([' ', '\t']);
        let mut parts = text.split('-');
        let version = hex(parts.next()?, 2)?;
        let trace_id = hex(parts.next()?, 32)?;
        let span_id = u64::try_from(hex(parts.next()?, 16)?).ok()?;
        let flags = hex(parts.next()?, 2)?;
        let extra = parts.next().is_some();
        if version == 0xff || (version == 0 && extra) || trace_id == 0 || span_id == 0 {
            return None;
        }
        Some(Self { trace_id, span_id, sampled: flags & 1 == 1, state: None })
    }

    /// The same trace with a new span, which the current one is parent of.
    #[must_use]
    pub fn child(&self) -> Self {
        Self { span_id: random_span(), ..self.clone() }
    }

    /// Keeps a `tracestate`, unless it is over 512 bytes, has over 32 members, or is not printable ASCII.
    #[must_use]
    pub fn with_tracestate(mut self, state: &str) -> Self {
        let valid = !state.is_empty()
            && state.len() <= 512
            && state.split(',').count() <= 32
            && state.bytes().all(|byte| matches!(byte, b'\t' | 0x20..=0x7e));
        self.state = valid.then(|| state.into());
        self
    }

    /// The `traceparent` header.
    #[must_use]
    pub fn traceparent(&self) -> String {
        str::from_utf8(&self.traceparent_bytes()).unwrap_or_default().to_owned()
    }

    /// The `traceparent` header as its bytes, for whoever writes it without memory of its own.
    #[must_use]
    pub fn traceparent_bytes(&self) -> [u8; 55] {
        let mut text = *b"00-00000000000000000000000000000000-0000000000000000-00";
        write_hex(&mut text[3..35], &self.trace_id.to_be_bytes());
        write_hex(&mut text[36..52], &self.span_id.to_be_bytes());
        write_hex(&mut text[53..], &[self.sampled.into()]);
        text
    }

    /// The `tracestate` header.
    #[must_use]
    pub fn tracestate(&self) -> Option<&str> {
        self.state.as_deref()
    }

    /// The trace id: 32 hexadecimal digits.
    #[must_use]
    pub fn trace_id(&self) -> String {
        self.display_trace_id().to_string()
    }

    /// The digits of the trace id, for whoever writes it without memory of its own.
    #[must_use]
    pub fn trace_id_bytes(&self) -> [u8; 32] {
        let mut text = [b'0'; 32];
        write_hex(&mut text, &self.trace_id.to_be_bytes());
        text
    }

    /// Shows the trace id, for spans and logs that may be off: nothing is written until somebody reads it.
    pub fn display_trace_id(&self) -> impl fmt::Display + '_ {
        fmt::from_fn(|f| f.write_str(str::from_utf8(&self.trace_id_bytes()).unwrap_or_default()))
    }

    /// Shows the span id, as [`display_trace_id`](Self::display_trace_id) the trace's.
    pub fn display_span_id(&self) -> impl fmt::Display + '_ {
        fmt::from_fn(|f| write!(f, "{:016x}", self.span_id))
    }

    /// The span id: 16 hexadecimal digits.
    #[must_use]
    pub fn span_id(&self) -> String {
        self.display_span_id().to_string()
    }

    /// Whether the trace is recorded.
    #[must_use]
    pub fn is_sampled(&self) -> bool {
        self.sampled
    }
}

impl fmt::Debug for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.traceparent())
    }
}

fn write_hex(digits: &mut [u8], bytes: &[u8]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for (pair, byte) in digits.chunks_exact_mut(2).zip(bytes) {
        pair[0] = DIGITS[usize::from(byte >> 4)];
        pair[1] = DIGITS[usize::from(byte & 15)];
    }
}

/// Lower-case hexadecimal of exactly `digits` digits.
fn hex(text: &str, digits: usize) -> Option<u128> {
    if text.len() != digits {
        return None;
    }
    text.bytes().try_fold(0, |number, byte| match byte {
        b'0'..=b'9' => Some(number << 4 | u128::from(byte - b'0')),
        b'a'..=b'f' => Some(number << 4 | u128::from(byte - b'a' + 10)),
        _ => None,
    })
}

fn random() -> u128 {
    Uuid::new_v4().as_u128()
}

/// The high half of a version 4 UUID has twelve fixed bits at most and is never zero.
fn random_span() -> u64 {
    Uuid::new_v4().as_u64_pair().0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_recommendation_example_goes_through() {
        let text = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let trace = TraceContext::parse(text).unwrap();
        assert_eq!(trace.traceparent(), text);
        assert_eq!(trace.child().trace_id(), "4bf92f3577b34da6a3ce929d0e0e4736");
        assert_eq!(trace.display_trace_id().to_string(), trace.trace_id());
        assert_eq!(trace.trace_id_bytes(), *trace.trace_id().as_bytes());
        assert!(trace.is_sampled());
    }

    #[test]
    fn invalid_parents_are_refused() {
        for text in [
            "",
            "00",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-extra",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-1",
            "0é-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        ] {
            assert_eq!(TraceContext::parse(text), None, "{text}");
        }
        let later = "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more";
        assert!(TraceContext::parse(later).is_some());
    }
}
