use std::{mem, ptr};

use serde_json::Value;

use super::{Changes, elements, entries, members, resolve, values};

/// Whether callers send a value, or get it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Direction {
    /// The service takes it: fewer values break.
    Taken,
    /// The service answers it: more values break.
    Answered,
}

impl<'a> Changes<'a> {
    pub(super) fn schema(&mut self, direction: Direction, place: &str, old: &'a Value, new: &'a Value) {
        let (before, after) = (resolve(self.before, old), resolve(self.after, new));
        let refers = (reference(old).is_some(), reference(new).is_some());
        if (refers == (true, false) && has_conditions(old)) || (refers == (false, true) && has_conditions(new)) {
            self.breaking(place, "has conditions beside a $ref, and was or is without one");
        }
        self.once(direction, before, after, |changes| changes.resolved(direction, place, before, after));
        // What stands beside a reference holds as well.
        if refers == (true, true) && (has_conditions(old) || has_conditions(new)) {
            self.resolved(direction, place, old, new);
        }
    }

    /// Compares two schemas unless that is under way; `None` then.
    fn once<T>(
        &mut self,
        direction: Direction,
        old: &'a Value,
        new: &'a Value,
        compare: impl FnOnce(&mut Self) -> T,
    ) -> Option<T> {
        let pair = (ptr::from_ref(old), ptr::from_ref(new), direction);
        if self.below.contains(&pair) {
            return None;
        }
        self.below.push(pair);
        let compared = compare(self);
        self.below.pop();
        Some(compared)
    }

    fn resolved(&mut self, direction: Direction, place: &str, old: &'a Value, new: &'a Value) {
        match (*old == false, *new == false) {
            (true, true) => return,
            // Anything, as it was.
            _ if old.is_boolean() && old == new => return,
            (true, false) => return self.widened(direction, place, "may be there now".to_owned()),
            (false, true) => return self.narrowed(direction, place, "must not be there any more".to_owned()),
            (false, false) => {}
        }
        match (alternatives(old), alternatives(new)) {
            (Some(before), None) => return self.one_for_alternatives(direction, place, before, new),
            (None, Some(after)) => return self.alternatives_for_one(direction, place, old, after),
            _ => {}
        }
        self.values(direction, place, old, new);
        self.members(direction, place, old, new);
        self.conditions(direction, place, old, new);
    }

    /// Keywords of which only the sameness is known. What is not known at all may take values away as it may let more through.
    fn conditions(&mut self, direction: Direction, place: &str, old: &'a Value, new: &'a Value) {
        let mut keys: Vec<_> = entries(old).chain(entries(new)).map(|(key, _)| key.as_str()).collect();
        keys.sort_unstable();
        keys.dedup();
        for key in keys.into_iter().filter(|key| !is_annotation(key) && !is_compared(key)) {
            match (old.get(key), new.get(key)) {
                (Some(before), Some(after)) if !self.differ(before, after) => {}
                (before, after) if key == "not" => self.condition(direction, place, key, before, after),
                _ => self.breaking(place, format!("{key} is not as it was")),
            }
        }
    }

    /// There are alternatives where there was one schema.
    fn alternatives_for_one(&mut self, direction: Direction, place: &str, old: &'a Value, new: &'a [Value]) {
        let mut breaks = new.iter().map(|new| self.breaks(direction, old, new));
        let breaking = match direction {
            Direction::Taken => breaks.all(|breaks| breaks),
            Direction::Answered => breaks.any(|breaks| breaks),
        };
        self.push(place, "has alternatives now", breaking);
    }

    /// There is one schema where there were alternatives.
    fn one_for_alternatives(&mut self, direction: Direction, place: &str, old: &'a [Value], new: &'a Value) {
        let mut breaks = old.iter().map(|old| self.breaks(direction, old, new));
        let breaking = match direction {
            Direction::Taken => breaks.any(|breaks| breaks),
            Direction::Answered => breaks.all(|breaks| breaks),
        };
        self.push(place, "has no alternatives any more", breaking);
    }

    fn breaks(&mut self, direction: Direction, old: &'a Value, new: &'a Value) -> bool {
        let found = mem::take(&mut self.found);
        self.schema(direction, "", old, new);
        mem::replace(&mut self.found, found).iter().any(|change| change.breaking)
    }

    /// Whether two values are not the same to the last word, also where they refer to.
    fn differ(&mut self, old: &'a Value, new: &'a Value) -> bool {
        if let (Some(before), Some(after)) = (reference(old), reference(new)) {
            let (old, new) = (resolve(self.before, old), resolve(self.after, new));
            let differ = self.once(Direction::Taken, old, new, |changes| changes.differ(old, new));
            return differ == Some(true) || before != after;
        }
        match (old, new) {
            (Value::Object(before), Value::Object(after)) => {
                before.len() != after.len()
                    || before.iter().any(|(key, old)| after.get(key).is_none_or(|new| self.differ(old, new)))
            }
            (Value::Array(before), Value::Array(after)) => {
                before.len() != after.len() || before.iter().zip(after).any(|(old, new)| self.differ(old, new))
            }
            _ => old != new,
        }
    }

    /// Values gone break what is taken, values added what is answered.
    pub(super) fn narrowed(&mut self, direction: Direction, place: &str, what: String) {
        self.push(place, what, direction == Direction::Taken);
    }

    pub(super) fn widened(&mut self, direction: Direction, place: &str, what: String) {
        self.push(place, what, direction == Direction::Answered);
    }
}

fn reference(schema: &Value) -> Option<&str> {
    schema.get("$ref").and_then(Value::as_str)
}

/// Whether it tells people something, and asks nothing of values.
fn is_annotation(key: &str) -> bool {
    const ANNOTATIONS: [&str; 9] =
        ["title", "description", "example", "examples", "default", "deprecated", "externalDocs", "$comment", "$defs"];
    ANNOTATIONS.contains(&key) || key.starts_with("x-")
}

fn is_compared(key: &str) -> bool {
    key == "$ref" || values::is_known(key) || members::is_known(key)
}

/// Whether something besides a reference is asked of values.
fn has_conditions(schema: &Value) -> bool {
    entries(schema).any(|(key, _)| key != "$ref" && !is_annotation(key))
}

/// The alternatives of a schema that has nothing else.
fn alternatives(schema: &Value) -> Option<&[Value]> {
    let mut keys = entries(schema).filter(|(key, _)| !is_annotation(key));
    match (keys.next(), keys.next()) {
        (Some((key, all)), None) if matches!(key.as_str(), "oneOf" | "anyOf") => {
            Some(elements(all)).filter(|all| !all.is_empty())
        }
        _ => None,
    }
}
