//! Schemas within schemas.

use serde_json::Value;

use super::{Changes, elements, entries, schemas::Direction};

/// The schema of what nothing is said about.
static ANYTHING: Value = Value::Bool(true);

/// Whether a keyword is compared here.
pub(super) fn is_known(key: &str) -> bool {
    matches!(
        key,
        "properties" | "required" | "additionalProperties" | "prefixItems" | "items" | "oneOf" | "anyOf" | "allOf"
    )
}

fn member<'a>(schema: &'a Value, key: &str) -> &'a Value {
    schema.get(key).unwrap_or(&ANYTHING)
}

impl<'a> Changes<'a> {
    pub(super) fn members(&mut self, direction: Direction, place: &str, old: &'a Value, new: &'a Value) {
        self.properties(direction, place, old, new);
        self.further_properties(direction, place, old, new);
        self.items(direction, place, old, new);
        for key in ["oneOf", "anyOf"] {
            self.alternatives(direction, place, &old[key], &new[key]);
        }
        self.conjunction(direction, place, &old["allOf"], &new["allOf"]);
    }

    fn properties(&mut self, direction: Direction, place: &str, old: &'a Value, new: &'a Value) {
        for (name, before) in entries(&old["properties"]) {
            let place = format!("{place} {name}");
            match new["properties"].get(name) {
                Some(after) => self.schema(direction, &place, before, after),
                None => self.breaking(&place, "is gone"),
            }
        }
        let required = |schema: &'a Value| elements(&schema["required"]).iter().filter_map(Value::as_str);
        let mut names: Vec<_> = entries(&new["properties"]).map(|(name, _)| name.as_str()).collect();
        names.extend(required(old).chain(required(new)));
        names.sort_unstable();
        names.dedup();
        for name in names {
            let (before, after) = (old["properties"].get(name), new["properties"].get(name));
            let place = format!("{place} {name}");
            let is_required = |schema| required(schema).any(|own| own == name);
            match (direction, is_required(old), is_required(new)) {
                (Direction::Taken, false, true) => self.breaking(&place, "is required now"),
                (Direction::Answered, true, false) => self.breaking(&place, "may be missing now"),
                _ if before.is_none() && after.is_some() => self.compatible(&place, "is new"),
                (_, before, after) if before != after => self.compatible(&place, "is required or not, as it was not"),
                _ => {}
            }
            // It was one of many that were of one kind.
            if let (None, Some(after), one @ Value::Object(_)) = (before, after, &old["additionalProperties"]) {
                self.schema(direction, &place, one, after);
            }
        }
    }

    fn further_properties(&mut self, direction: Direction, place: &str, old: &'a Value, new: &'a Value) {
        let key = "additionalProperties";
        let (before, after) = (member(old, key), member(new, key));
        match (before, after, direction) {
            (Value::Bool(false), Value::Bool(false), _) => {}
            (_, Value::Bool(false), Direction::Taken) => self.breaking(place, "takes no further properties now"),
            // Whoever knows of none ignores them.
            (Value::Bool(false), _, Direction::Answered) => self.compatible(place, "may have further properties now"),
            _ => self.schema(direction, &format!("{place}{{}}"), before, after),
        }
    }

    /// Each position by itself; behind the first ones all are of one kind.
    fn items(&mut self, direction: Direction, place: &str, old: &'a Value, new: &'a Value) {
        let (first_old, first_new) = (elements(&old["prefixItems"]), elements(&new["prefixItems"]));
        let (rest_old, rest_new) = (member(old, "items"), member(new, "items"));
        for position in 0..first_old.len().max(first_new.len()) {
            let before = first_old.get(position).unwrap_or(rest_old);
            let after = first_new.get(position).unwrap_or(rest_new);
            self.schema(direction, &format!("{place}[{position}]"), before, after);
        }
        self.schema(direction, &format!("{place}[]"), rest_old, rest_new);
    }

    fn alternatives(&mut self, direction: Direction, place: &str, old: &'a Value, new: &'a Value) {
        match (elements(old).is_empty(), elements(new).is_empty()) {
            // Without any alternative, anything was allowed.
            (true, false) => return self.narrowed(direction, place, "takes certain alternatives only now".to_owned()),
            (false, true) => return self.widened(direction, place, "may be any alternative now".to_owned()),
            _ => {}
        }
        let (before, after) = self.unmatched(old, new);
        for (old, new) in before.iter().zip(&after) {
            self.schema(direction, place, old, new);
        }
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
