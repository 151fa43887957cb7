//! Events as JSON, one object a line.
//!
//! The shape is that of `tracing_subscriber`'s own format with its fields flattened; what is written goes straight into the line,
//! which takes a fifth of the instructions.

use std::{
    cell::RefCell,
    collections::HashMap,
    fmt::{self, Write},
    rc::Rc,
};

use sap_comm_core::Timestamp;
use serde_json::Number;
use tracing::{
    Event, Subscriber,
    callsite::Identifier,
    field::{Field, Visit},
};
use tracing_subscriber::{
    fmt::{FmtContext, FormatEvent, FormatFields, FormattedFields, format::Writer},
    registry::{LookupSpan, SpanRef},
};

thread_local! {
    /// The keys of every kind of event that this thread has logged, of which a program has so many.
    static KEYS: RefCell<HashMap<Identifier, Rc<[String]>>> = RefCell::default();
}

/// Expects the fields of spans to be JSON objects.
#[derive(Debug, Clone, Copy)]
pub(super) struct Json;

impl<S, N> FormatEvent<S, N> for Json
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let mut line = String::with_capacity(1_024);
        begin(&mut line, event.metadata().level().as_str());
        let mut fields = Fields { line: &mut line, keys: &keys_of(event), target: None };
        event.record(&mut fields);
        let target = fields.target;
        field(&mut line, "target", target.as_deref().unwrap_or(event.metadata().target()));
        let mut spans = context.event_scope().into_iter().flat_map(|scope| scope.from_root()).peekable();
        if spans.peek().is_some() {
            key(&mut line, "spans");
            let mut before = '[';
            let mut last = 0..0;
            for span in spans {
                line.push(before);
                before = ',';
                let start = line.len();
                object::<S, N>(&mut line, &span);
                last = start..line.len();
            }
            line.push(']');
            key(&mut line, "span");
            line.extend_from_within(last);
        }
        line.push_str("}\n");
        writer.write_str(&line)
    }
}

/// A span with its fields, and its name as one of them.
fn object<S, N>(line: &mut String, span: &SpanRef<'_, S>)
where
    S: for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    let extensions = span.extensions();
    let fields = extensions.get::<FormattedFields<N>>().map_or("", |fields| fields.fields.as_str());
    line.push('{');
    if let Some(fields) = fields.strip_prefix('{').and_then(|fields| fields.strip_suffix('}'))
        && !fields.is_empty()
    {
        line.push_str(fields);
        line.push(',');
    }
    line.push_str(r#""name":"#);
    text(line, span.name());
    line.push('}');
}

/// What stands before the values of an event's fields, in their order; nothing before one that is left out.
fn keys_of(event: &Event<'_>) -> Rc<[String]> {
    let kind = event.metadata();
    KEYS.with_borrow_mut(|known| {
        let make = || kind.fields().iter().map(|field| key_of(field.name())).collect();
        Rc::clone(known.entry(kind.callsite()).or_insert_with(make))
    })
}

fn key_of(name: &str) -> String {
    let mut text = String::new();
    // Those of a record of the crate `log` say what its metadata would.
    if !name.starts_with("log.") {
        key(&mut text, name.strip_prefix("r#").unwrap_or(name));
    }
    text
}

/// Writes the fields of an event.
struct Fields<'a> {
    line: &'a mut String,
    keys: &'a [String],
    /// What a record of the crate `log` was about.
    target: Option<String>,
}

impl Fields<'_> {
    fn put(&mut self, field: &Field, value: impl FnOnce(&mut String)) {
        if let Some(key) = self.keys.get(field.index()).filter(|key| !key.is_empty()) {
            self.line.push_str(key);
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
        self.put(field, |line| put(line, value));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, |line| put(line, value));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, |line| put(line, value));
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, |line| match Number::from_f64(value) {
            Some(number) => put(line, number),
            None => line.push_str("null"),
        });
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field, |line| {
            line.push('"');
            // A value that fails to show itself is cut off.
            let _ = write!(Escaped(line), "{value:?}");
            line.push('"');
        });
    }
}

/// A line that says how many of something there were.
pub(super) fn warning(target: &str, message: &str, lines: u64) -> Vec<u8> {
    let mut line = String::new();
    begin(&mut line, "WARN");
    field(&mut line, "message", message);
    key(&mut line, "lines");
    put(&mut line, lines);
    field(&mut line, "target", target);
    line.push_str("}\n");
    line.into_bytes()
}

/// Begins a line of now.
fn begin(line: &mut String, level: &str) {
    // Memory takes everything.
    let _ = write!(line, r#"{{"timestamp":"{}","level":"{level}""#, Timestamp::now());
}

fn field(line: &mut String, name: &str, value: &str) {
    key(line, name);
    text(line, value);
}

fn key(line: &mut String, name: &str) {
    line.push_str(",\"");
    escape(line, name);
    line.push_str("\":");
}

fn text(line: &mut String, text: &str) {
    line.push('"');
    escape(line, text);
    line.push('"');
}

/// A value that shows itself as JSON has it.
fn put(line: &mut String, value: impl fmt::Display) {
    // Memory takes everything.
    let _ = write!(line, "{value}");
}

/// What is written goes into a JSON string.
struct Escaped<'a>(&'a mut String);

impl Write for Escaped<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        escape(self.0, text);
        Ok(())
    }
}

/// What JSON has an escape for.
fn is_special(char: char) -> bool {
    (char < ' ') | (char == '"') | (char == '\\')
}

/// Whether any of the bytes is special. Sixteen are looked at as one.
fn has_special(text: &[u8]) -> bool {
    fn among(bytes: &[u8; 16]) -> bool {
        bytes.iter().fold(false, |any, byte| any | is_special(char::from(*byte)))
    }
    fn within<const HALF: usize>(first: &[u8; HALF], last: &[u8; HALF]) -> bool {
        let mut bytes = [b' '; 16];
        bytes[..HALF].copy_from_slice(first);
        bytes[HALF..2 * HALF].copy_from_slice(last);
        among(&bytes)
    }
    let (sixteens, _) = text.as_chunks();
    // The last ones may overlap those before.
    if let Some(last) = text.last_chunk() {
        sixteens.iter().any(among) || among(last)
    } else if let (Some(first), Some(last)) = (text.first_chunk::<8>(), text.last_chunk()) {
        within(first, last)
    } else if let (Some(first), Some(last)) = (text.first_chunk::<4>(), text.last_chunk()) {
        within(first, last)
    } else {
        text.iter().any(|byte| is_special(char::from(*byte)))
    }
}

fn escape(line: &mut String, text: &str) {
    if has_special(text.as_bytes()) {
        escape_parts(line, text);
    } else {
        line.push_str(text);
    }
}

/// Most texts have nothing special.
#[cold]
fn escape_parts(line: &mut String, text: &str) {
    for part in text.split_inclusive(is_special) {
        let plain = part.strip_suffix(is_special).unwrap_or(part);
        line.push_str(plain);
        match part.get(plain.len()..).unwrap_or_default() {
            "" => {}
            "\n" => line.push_str("\\n"),
            "\r" => line.push_str("\\r"),
            "\t" => line.push_str("\\t"),
            mark @ ("\"" | "\\") => line.extend(["\\", mark]),
            control => control.chars().for_each(|char| line.push_str(&format!("\\u{:04x}", u32::from(char)))),
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
        for length in 0..=40 {
            for other in [b'a', b' ', b'!', b'#', 0x7f, 0x80, 0xa2, 0xdc, 0xff] {
                assert!(!has_special(&vec![other; length]), "{length} {other}");
                for (at, byte) in (0..length).flat_map(|at| (0..=u8::MAX).map(move |byte| (at, byte))) {
                    let mut text = vec![other; length];
                    text[at] = byte;
                    assert_eq!(has_special(&text), is_special(char::from(byte)), "{length} {other} {at} {byte}");
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
