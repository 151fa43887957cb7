use serde_json::Value;

use super::{Changes, elements, entries, resolve};

/// Whether callers send a value, or get it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Direction {
    /// The service takes it: fewer values break.
    Taken,
    /// The service answers it: more values break.
    Answered,
}

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

impl<'a> Changes<'a> {
    pub(super) fn schema(&mut self, direction: Direction, place: &str, old: &'a Value, new: &'a Value) {
        let name = |value: &'a Value| value.get("$ref").and_then(Value::as_str);
        if let (Some(before), Some(after)) = (name(old), name(new)) {
            let pair = (before, after, direction == Direction::Taken);
            if self.below.contains(&pair) {
                return;
            }
            self.below.push(pair);
            self.resolved(direction, place, resolve(self.before, old), resolve(self.after, new));
            self.below.pop();
        } else {
            self.resolved(direction, place, resolve(self.before, old), resolve(self.after, new));
        }
    }

    fn resolved(&mut self, direction: Direction, place: &str, old: &'a Value, new: &'a Value) {
        self.types(direction, place, old, new);
        self.values(direction, place, old, new);
        self.bounds(direction, place, old, new);
        for key in ["pattern", "format"] {
            let changed = match (direction, old.get(key), new.get(key)) {
                (_, before, after) if before == after => continue,
                (Direction::Taken, _, None) | (Direction::Answered, None, _) => false,
                _ => true,
            };
            let what = format!("{key} was {}, is {}", shown(old.get(key)), shown(new.get(key)));
            self.push(place, what, changed);
        }
        self.properties(direction, place, old, new);
        if let (Some(before), Some(after)) = (old.get("items"), new.get("items")) {
            self.schema(direction, &format!("{place}[]"), before, after);
        }
        for key in ["oneOf", "anyOf"] {
            self.alternatives(direction, place, &old[key], &new[key]);
        }
        self.conjunction(direction, place, &old["allOf"], &new["allOf"]);
    }

    /// Values gone break what is taken, values added what is answered.
    fn narrowed(&mut self, direction: Direction, place: &str, what: String) {
        self.push(place, what, direction == Direction::Taken);
    }

    fn widened(&mut self, direction: Direction, place: &str, what: String) {
        self.push(place, what, direction == Direction::Answered);
    }

    fn types(&mut self, direction: Direction, place: &str, old: &Value, new: &Value) {
        let (before, after) = (types(old), types(new));
        let covered = |one: &str, all: &[&str]| {
            all.is_empty() || all.contains(&one) || (one == "integer" && all.contains(&"number"))
        };
        let what = || format!("type was {}, is {}", before.join(" or "), after.join(" or "));
        let lost = before.iter().any(|one| !covered(one, &after)) || (before.is_empty() && !after.is_empty());
        let gained = after.iter().any(|one| !covered(one, &before)) || (after.is_empty() && !before.is_empty());
        if lost {
            self.narrowed(direction, place, what());
        }
        if gained {
            self.widened(direction, place, what());
        }
    }

    fn values(&mut self, direction: Direction, place: &str, old: &Value, new: &Value) {
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
            let (before, after) = (old.get(key).and_then(Value::as_f64), new.get(key).and_then(Value::as_f64));
            let what = format!("{key} was {}, is {}", shown(old.get(key)), shown(new.get(key)));
            match (before, after) {
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

    fn properties(&mut self, direction: Direction, place: &str, old: &'a Value, new: &'a Value) {
        for (name, before) in entries(&old["properties"]) {
            let place = format!("{place} {name}");
            match new["properties"].get(name) {
                Some(after) => self.schema(direction, &place, before, after),
                None => self.breaking(&place, "is gone"),
            }
        }
        let required = |schema: &Value, name: &str| elements(&schema["required"]).iter().any(|own| own == name);
        for (name, _) in entries(&new["properties"]) {
            let place = format!("{place} {name}");
            let known = old["properties"].get(name).is_some();
            match (direction, required(old, name), required(new, name)) {
                (Direction::Taken, false, true) => self.breaking(&place, "is required now"),
                (Direction::Answered, true, false) => self.breaking(&place, "may be missing now"),
                _ if !known => self.compatible(&place, "is new"),
                (_, before, after) if before != after => self.compatible(&place, "is required or not, as it was not"),
                _ => {}
            }
        }
        match (&old["additionalProperties"], &new["additionalProperties"]) {
            (Value::Bool(false), Value::Bool(false)) => {}
            (_, Value::Bool(false)) if direction == Direction::Taken => {
                self.breaking(place, "takes no further properties now");
            }
            (before @ Value::Object(_), after @ Value::Object(_)) => {
                self.schema(direction, &format!("{place}{{}}"), before, after);
            }
            _ => {}
        }
    }

    fn alternatives(&mut self, direction: Direction, place: &str, old: &'a Value, new: &'a Value) {
        let (before, after) = self.unmatched(old, new);
        for (old, new) in before.iter().zip(&after) {
            self.schema(direction, place, old, new);
        }
        // Without any alternative, anything was allowed.
        for _ in before.iter().skip(after.len()) {
            self.narrowed(direction, place, "has lost an alternative".to_owned());
        }
        for _ in after.iter().skip(before.len()) {
            self.widened(direction, place, "has a new alternative".to_owned());
        }
    }

    fn conjunction(&mut self, direction: Direction, place: &str, old: &'a Value, new: &'a Value) {
        let (before, after) = self.unmatched(old, new);
        for (old, new) in before.iter().zip(&after) {
            self.schema(direction, place, old, new);
        }
        for _ in before.iter().skip(after.len()) {
            self.widened(direction, place, "has one condition less".to_owned());
        }
        for _ in after.iter().skip(before.len()) {
            self.narrowed(direction, place, "has one condition more".to_owned());
        }
    }

    /// The members of two lists of schemas that are not the same in both.
    fn unmatched(&self, old: &'a Value, new: &'a Value) -> (Vec<&'a Value>, Vec<&'a Value>) {
        let (old, new) = (elements(old), elements(new));
        // A reference is the same only if what it refers to is.
        let plain = |value: &&Value| value.get("$ref").is_none();
        let before = old.iter().filter(|one| !(plain(one) && new.contains(one))).collect();
        let after = new.iter().filter(|one| !(plain(one) && old.contains(one))).collect();
        (before, after)
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
