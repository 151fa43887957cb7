//! Events as JSON, one object a line.
//!
//! The shape is that of `tracing_subscriber`'s own format with its fields flattened; what is written goes straight into the line,
//! which takes a fifth of the instructions.

use std::fmt::{self, Write};

use sap_comm_core::Timestamp;
use serde::Serialize;
use tracing::{
    Event, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{
    fmt::{FmtContext, FormatEvent, FormatFields, FormattedFields, format::Writer},
    registry::{LookupSpan, SpanRef},
};

/// Expects the fields of spans to be JSON objects.
#[derive(Debug, Clone, Copy)]
pub(super) struct Json;

impl<S, N> FormatEvent<S, N> for Json
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let mut line = Vec::with_capacity(1_024);
        line.extend_from_slice(br#"{"timestamp":"#);
        put(&mut line, &Timestamp::now());
        field(&mut line, "level", event.metadata().level().as_str());
        let mut fields = Fields { line: &mut line, target: None };
        event.record(&mut fields);
        let target = fields.target;
        field(&mut line, "target", target.as_deref().unwrap_or(event.metadata().target()));
        let mut spans = context.event_scope().into_iter().flat_map(|scope| scope.from_root()).peekable();
        if spans.peek().is_some() {
            key(&mut line, "spans");
            let mut before = b'[';
            let mut last = 0..0;
            for span in spans {
                line.push(before);
                before = b',';
                let start = line.len();
                object::<S, N>(&mut line, &span);
                last = start..line.len();
            }
            line.push(b']');
            key(&mut line, "span");
            line.extend_from_within(last);
        }
        line.extend_from_slice(b"}\n");
        writer.write_str(str::from_utf8(&line).map_err(|_| fmt::Error)?)
    }
}

/// A span with its fields, and its name as one of them.
fn object<S, N>(line: &mut Vec<u8>, span: &SpanRef<'_, S>)
where
    S: for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    let extensions = span.extensions();
    let fields = extensions.get::<FormattedFields<N>>().map_or("", |fields| fields.fields.as_str());
    line.push(b'{');
    if let Some(fields) = fields.strip_prefix('{').and_then(|fields| fields.strip_suffix('}'))
        && !fields.is_empty()
    {
        line.extend_from_slice(fields.as_bytes());
        line.push(b',');
    }
    line.extend_from_slice(br#""name":"#);
    text(line, span.name());
    line.push(b'}');
}

/// Writes the fields of an event.
struct Fields<'a> {
    line: &'a mut Vec<u8>,
    /// What a record of the crate `log` was about.
    target: Option<String>,
}

impl Fields<'_> {
    fn put(&mut self, field: &Field, value: impl FnOnce(&mut Vec<u8>)) {
        // Those of a record of the crate `log` say what its metadata would.
        if !field.name().starts_with("log.") {
            key(self.line, field.name().strip_prefix("r#").unwrap_or(field.name()));
            value(self.line);
        }
    }
}

impl Visit for Fields<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "log.target" {
            self.target = Some(value.to_owned());
        }
        self.put(field, |line| text(line, value));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, |line| put(line, &value));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, |line| put(line, &value));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, |line| put(line, &value));
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, |line| put(line, &value));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field, |line| {
            line.push(b'"');
            // Memory takes everything; a value that fails to show itself is cut off.
            let _ = write!(Escaped(line), "{value:?}");
            line.push(b'"');
        });
    }
}

/// A line that says how many of something there were.
pub(super) fn warning(target: &str, message: &str, lines: u64) -> Vec<u8> {
    let mut line = br#"{"timestamp":"#.to_vec();
    put(&mut line, &Timestamp::now());
    field(&mut line, "level", "WARN");
    field(&mut line, "message", message);
    key(&mut line, "lines");
    put(&mut line, &lines);
    field(&mut line, "target", target);
    line.extend_from_slice(b"}\n");
    line
}

fn field(line: &mut Vec<u8>, name: &str, value: &str) {
    key(line, name);
    text(line, value);
}

fn key(line: &mut Vec<u8>, name: &str) {
    line.extend_from_slice(b",\"");
    escape(line, name);
    line.extend_from_slice(b"\":");
}

fn text(line: &mut Vec<u8>, text: &str) {
    line.push(b'"');
    escape(line, text);
    line.push(b'"');
}

fn put(line: &mut Vec<u8>, value: &impl Serialize) {
    // Memory takes everything, and whatever is put here can be written.
    let _ = serde_json::to_writer(line, value);
}

/// What is written goes into a JSON string.
struct Escaped<'a>(&'a mut Vec<u8>);

impl Write for Escaped<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        escape(self.0, text);
        Ok(())
    }
}

/// What JSON has an escape for.
fn is_special(byte: &u8) -> bool {
    (*byte < b' ') | (*byte == b'"') | (*byte == b'\\')
}

/// Whether any of the bytes is special: eight at a time, by what borrows from the highest bit of each. One that is special may have
/// the next of them look so too, and nothing else does: it tells whether there is any, and not which.
fn has_special(text: &[u8]) -> bool {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGHS: u64 = ONES << 7;
    let below = |word: u64, least: u8| word.wrapping_sub(ONES * u64::from(least)) & !word & HIGHS;
    let special = |eight: &[u8; 8]| {
        let word = u64::from_ne_bytes(*eight);
        let is = |byte: u8| below(word ^ (ONES * u64::from(byte)), 1);
        below(word, b' ') | is(b'"') | is(b'\\')
    };
    // The last eight may overlap those before.
    let Some(last) = text.last_chunk::<8>() else { return text.iter().any(is_special) };
    let (all, _) = text.as_chunks::<8>();
    all.iter().fold(special(last), |any, eight| any | special(eight)) != 0
}

fn escape(line: &mut Vec<u8>, text: &str) {
    // Most texts have nothing special.
    if !has_special(text.as_bytes()) {
        return line.extend_from_slice(text.as_bytes());
    }
    for part in text.as_bytes().split_inclusive(is_special) {
        let (plain, special) = match part.split_last() {
            Some((last, before)) if is_special(last) => (before, Some(*last)),
            _ => (part, None),
        };
        line.extend_from_slice(plain);
        match special {
            None => {}
            Some(byte @ (b'"' | b'\\')) => line.extend_from_slice(&[b'\\', byte]),
            Some(b'\n') => line.extend_from_slice(b"\\n"),
            Some(b'\r') => line.extend_from_slice(b"\\r"),
            Some(b'\t') => line.extend_from_slice(b"\\t"),
            Some(byte) => line.extend_from_slice(format!("\\u{byte:04x}").as_bytes()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io,
        sync::{Arc, Mutex},
    };

    use serde_json::Value;
    use tracing_subscriber::{
        fmt::{MakeWriter, format::JsonFields, layer},
        layer::SubscriberExt,
        registry,
    };

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Lines {
        fn read(&self) -> Vec<Value> {
            let bytes = self.0.lock().unwrap().clone();
            let text = String::from_utf8(bytes).unwrap();
            text.lines()
                .map(|line| {
                    let mut line: Value = serde_json::from_str(line).unwrap();
                    let stamp = line.as_object_mut().unwrap().remove("timestamp").unwrap();
                    assert!(stamp.as_str().is_some_and(|stamp| stamp.ends_with('Z') && stamp.len() > 20), "{stamp}");
                    line
                })
                .collect()
        }
    }

    impl<'a> MakeWriter<'a> for Lines {
        type Writer = Self;

        fn make_writer(&'a self) -> Self {
            self.clone()
        }
    }

    impl io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn lines_say_what_those_of_the_library_say() {
        let (ours, theirs) = (Lines::default(), Lines::default());
        let own = layer().event_format(Json).fmt_fields(JsonFields::new()).with_writer(ours.clone());
        let library = layer().json().flatten_event(true).with_writer(theirs.clone());
        let subscriber = registry().with(own).with(library);
        tracing::subscriber::with_default(subscriber, || {
            tracing::info!("plain");
            tracing::warn!(target: "else\"where", "with \"quotes\", \\, \n, \t, \u{1} and é");
            tracing::error!(
                yes = true,
                small = 7_u8,
                below = -7_i64,
                half = 0.5,
                whole = 3.0,
                none = None::<u8>,
                some = Some("x"),
                shown = %"a\"b",
                debugged = ?["a\n", "b"],
                r#type = "raw",
                error = &io::Error::other("it \"broke\"") as &(dyn std::error::Error + 'static),
                "message {}", 1
            );
            let outer = tracing::info_span!("outer", id = 1, text = "a\"b", late = tracing::field::Empty);
            outer.in_scope(|| {
                outer.record("late", "now");
                tracing::info_span!("inner").in_scope(|| tracing::info!(x = 1, "within"));
            });
        });
        let (ours, theirs) = (ours.read(), theirs.read());
        assert_eq!(ours.len(), 4);
        for (own, library) in ours.iter().zip(&theirs) {
            assert_eq!(own, library);
        }
    }

    #[test]
    fn what_is_special_is_seen_wherever_it_stands() {
        for length in 0..=24 {
            for other in [b'a', b' ', b'!', b'#', 0x7f, 0x80, 0xa2, 0xdc, 0xff] {
                assert!(!has_special(&vec![other; length]), "{length} {other}");
                for (at, byte) in (0..length).flat_map(|at| (0..=u8::MAX).map(move |byte| (at, byte))) {
                    let mut text = vec![other; length];
                    text[at] = byte;
                    assert_eq!(has_special(&text), is_special(&byte), "{length} {other} {at} {byte}");
                }
            }
        }
    }

    #[test]
    fn a_value_that_cannot_show_itself_is_cut_off() {
        struct Broken;
        impl fmt::Debug for Broken {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("half")?;
                Err(fmt::Error)
            }
        }
        let lines = Lines::default();
        let subscriber = registry().with(layer().event_format(Json).with_writer(lines.clone()));
        tracing::subscriber::with_default(subscriber, || tracing::info!(broken = ?Broken, whole = 1));
        assert_eq!((&lines.read()[0]["broken"], &lines.read()[0]["whole"]), (&Value::from("half"), &Value::from(1)));
    }

    #[test]
    fn a_warning_of_its_own_is_json_too() {
        let line: Value = serde_json::from_slice(&warning("here", "lost \"some\"", 3)).unwrap();
        assert_eq!(
            (&line["level"], &line["message"], &line["lines"]),
            (&"WARN".into(), &"lost \"some\"".into(), &3.into())
        );
        assert_eq!(line["target"], "here");
    }

    #[test]
    fn what_is_no_number_is_null() {
        let lines = Lines::default();
        let subscriber = registry().with(layer().event_format(Json).with_writer(lines.clone()));
        tracing::subscriber::with_default(subscriber, || tracing::info!(lost = f64::NAN));
        assert_eq!(lines.read()[0]["lost"], Value::Null);
    }
}
