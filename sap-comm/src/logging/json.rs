//! Events as JSON, one object a line.
//!
//! The shape is that of `tracing_subscriber`'s own format with its fields flattened; what is written goes straight into the line,
//! which takes a fifth of the instructions.

use std::fmt::{self, Write};

use tracing::{
    Event, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{
    fmt::{
        FmtContext, FormatEvent, FormatFields, FormattedFields,
        format::Writer,
        time::{FormatTime, SystemTime},
    },
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
        let mut line = String::with_capacity(1_024);
        line.push_str(r#"{"timestamp":""#);
        SystemTime.format_time(&mut Writer::new(&mut line))?;
        line.push_str(r#"","level":""#);
        line.push_str(event.metadata().level().as_str());
        line.push('"');
        let mut fields = Fields { line: &mut line, target: None };
        event.record(&mut fields);
        let target = fields.target;
        key(&mut line, "target");
        text(&mut line, target.as_deref().unwrap_or(event.metadata().target()));
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
            let current = line.get(last).unwrap_or("{}").to_owned();
            key(&mut line, "span");
            line.push_str(&current);
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

/// Writes the fields of an event.
struct Fields<'a> {
    line: &'a mut String,
    /// What a record of the crate `log` was about.
    target: Option<String>,
}

impl Fields<'_> {
    fn put(&mut self, field: &Field, value: impl FnOnce(&mut String)) {
        // Those of a record of the crate `log` say what its metadata would.
        if !field.name().starts_with("log.") {
            key(self.line, field.name().trim_start_matches("r#"));
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
        self.put(field, |line| line.push_str(if value { "true" } else { "false" }));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, |line| put(line, format_args!("{value}")));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, |line| put(line, format_args!("{value}")));
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, |line| match value.is_finite() {
            true => put(line, format_args!("{value}")),
            false => line.push_str("null"),
        });
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field, |line| {
            line.push('"');
            put(&mut Escaped(line), format_args!("{value:?}"));
            line.push('"');
        });
    }
}

fn key(line: &mut String, name: &str) {
    line.push(',');
    text(line, name);
    line.push(':');
}

fn text(line: &mut String, text: &str) {
    line.push('"');
    escape(line, text);
    line.push('"');
}

fn put(out: &mut impl Write, text: fmt::Arguments<'_>) {
    // Memory takes everything; a value that fails to show itself is cut off.
    let _ = out.write_fmt(text);
}

/// What is written goes into a JSON string.
struct Escaped<'a>(&'a mut String);

impl Write for Escaped<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        escape(self.0, text);
        Ok(())
    }
}

fn escape(line: &mut String, text: &str) {
    let mut rest = text;
    while let Some(at) = rest.bytes().position(|byte| byte < b' ' || byte == b'"' || byte == b'\\') {
        let (plain, special) = rest.split_at(at);
        line.push_str(plain);
        // What is found is one byte long.
        let (special, behind) = special.split_at(1);
        match special {
            "\"" | "\\" => {
                line.push('\\');
                line.push_str(special);
            }
            "\n" => line.push_str("\\n"),
            "\r" => line.push_str("\\r"),
            "\t" => line.push_str("\\t"),
            other => other.bytes().for_each(|byte| put(line, format_args!("\\u{byte:04x}"))),
        }
        rest = behind;
    }
    line.push_str(rest);
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
            let mut library = library.clone();
            // As whole numbers JSON knows no difference.
            if library.get("whole").is_some() {
                library["whole"] = 3.into();
            }
            assert_eq!(*own, library);
        }
    }

    #[test]
    fn what_is_no_number_is_null() {
        let lines = Lines::default();
        let subscriber = registry().with(layer().event_format(Json).with_writer(lines.clone()));
        tracing::subscriber::with_default(subscriber, || tracing::info!(lost = f64::NAN));
        assert_eq!(lines.read()[0]["lost"], Value::Null);
    }
}
