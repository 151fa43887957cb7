//! What values a schema lets through, whatever their structure.

use serde_json::Value;

use super::{Changes, elements, schemas::Direction};

/// Each bound, and whether a larger number allows more.
const BOUNDS: [(&str, bool); 10] = [
    ("maximum", true),
    ("exclusiveMaximum", true),
    ("maxLength", true),
    ("maxItems", true),
    ("maxProperties", true),
    ("minimum", false),
    ("exclusiveMinimum", false),
    ("minLength", false),
    ("minItems", false),
    ("minProperties", false),
];

/// Keywords that only take values away, each in a way of its own: another value may take others.
const CONDITIONS: [&str; 6] = ["pattern", "format", "multipleOf", "uniqueItems", "contentEncoding", "contentMediaType"];

/// Whether a keyword is compared here.
pub(super) fn is_known(key: &str) -> bool {
    matches!(key, "type" | "const" | "enum")
        || BOUNDS.iter().any(|(bound, _)| *bound == key)
        || CONDITIONS.contains(&key)
}

impl<'a> Changes<'a> {
    pub(super) fn values(&mut self, direction: Direction, place: &str, old: &'a Value, new: &'a Value) {
        self.types(direction, place, old, new);
        self.choices(direction, place, old, new);
        self.bounds(direction, place, old, new);
        for key in CONDITIONS {
            // A false `uniqueItems` asks for nothing.
            let of = |schema: &'a Value| schema.get(key).filter(|value| **value != false);
            let (before, after) = (of(old), of(new));
            if before != after {
                self.condition(direction, place, key, before, after);
            }
        }
    }

    /// A condition that is not as it was: less of what is taken breaks, and more of what is answered.
    pub(super) fn condition(
        &mut self,
        direction: Direction,
        place: &str,
        key: &str,
        before: Option<&Value>,
        after: Option<&Value>,
    ) {
        let what = format!("{key} was {}, is {}", shown(before), shown(after));
        match (before, after) {
            (_, None) => self.widened(direction, place, what),
            (None, _) => self.narrowed(direction, place, what),
            _ => self.breaking(place, what),
        }
    }

    fn types(&mut self, direction: Direction, place: &str, old: &Value, new: &Value) {
        let (before, after) = (types(old), types(new));
        let covered = |one: &str, all: &[&str]| {
            all.is_empty() || all.contains(&one) || (one == "integer" && all.contains(&"number"))
        };
        let named = |types: &[&str]| if types.is_empty() { "any".to_owned() } else { types.join(" or ") };
        let what = || format!("type was {}, is {}", named(&before), named(&after));
        let lost = before.iter().any(|one| !covered(one, &after)) || (before.is_empty() && !after.is_empty());
        let gained = after.iter().any(|one| !covered(one, &before)) || (after.is_empty() && !before.is_empty());
        if lost {
            self.narrowed(direction, place, what());
        }
        if gained {
            self.widened(direction, place, what());
        }
    }

    fn choices(&mut self, direction: Direction, place: &str, old: &Value, new: &Value) {
        match (values(old), values(new)) {
            (None, None) => {}
            (None, Some(_)) => self.narrowed(direction, place, "takes certain values only now".to_owned()),
            (Some(_), None) => self.widened(direction, place, "may be any value now".to_owned()),
            (Some(before), Some(after)) => {
                for value in before.iter().filter(|value| !after.contains(value)) {
                    self.narrowed(direction, place, format!("{value} is no value any more"));
                }
                for value in after.iter().filter(|value| !before.contains(value)) {
                    self.widened(direction, place, format!("{value} is a new value"));
                }
            }
        }
    }

    fn bounds(&mut self, direction: Direction, place: &str, old: &Value, new: &Value) {
        for (key, larger_allows_more) in BOUNDS {
            let number = |schema: &Value| schema.get(key).and_then(Value::as_f64);
            let (before, after) = (number(old), number(new));
            let what = format!("{key} was {}, is {}", shown(old.get(key)), shown(new.get(key)));
            match (before, after) {
                // In OpenAPI 3.0 some are true or false, and say how another one is meant.
                _ if [old, new].iter().any(|schema| schema.get(key).is_some() && number(schema).is_none()) => {
                    if old.get(key) != new.get(key) {
                        self.breaking(place, what);
                    }
                }
                (before, after) if before == after => {}
                (None, _) => self.narrowed(direction, place, what),
                (_, None) => self.widened(direction, place, what),
                (Some(before), Some(after)) if (after > before) == larger_allows_more => {
                    self.widened(direction, place, what);
                }
                _ => self.narrowed(direction, place, what),
            }
        }
    }
}

/// The types that a schema names; none for any.
fn types(schema: &Value) -> Vec<&str> {
    match &schema["type"] {
        Value::String(one) => vec![one],
        many => elements(many).iter().filter_map(Value::as_str).collect(),
    }
}

fn values(schema: &Value) -> Option<Vec<&Value>> {
    match (schema.get("const"), schema.get("enum")) {
        (Some(one), _) => Some(vec![one]),
        (None, Some(many)) => Some(elements(many).iter().collect()),
        (None, None) => None,
    }
}

fn shown(value: Option<&Value>) -> String {
    value.map_or_else(|| "none".to_owned(), ToString::to_string)
}
