//! Schemas of types, and where they go in a document.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use utoipa::ToSchema;

/// The named schemas of a document.
#[derive(Debug, Default)]
pub(super) struct Schemas {
    named: BTreeMap<String, Value>,
    /// Names that stand for two different schemas.
    pub(super) clashes: Vec<String>,
}

impl Schemas {
    /// The schema of `T`: a reference when it has a name of its own, else itself.
    pub(super) fn of<T: ToSchema>(&mut self) -> Value {
        let mut nested = Vec::new();
        T::schemas(&mut nested);
        for (name, schema) in nested {
            self.add(name, to_value(&schema));
        }
        let schema = to_value(&T::schema());
        if !is_named(&schema) {
            return schema;
        }
        self.add(T::name().into_owned(), schema);
        reference(&T::name())
    }

    pub(super) fn add(&mut self, name: String, schema: Value) {
        match self.named.get(&name) {
            None => drop(self.named.insert(name, schema)),
            Some(other) if *other != schema => self.clashes.push(name),
            Some(_) => {}
        }
    }

    pub(super) fn into_value(self) -> Value {
        json!(self.named)
    }
}

/// Structs and enums have names that mean something; lists, maps and plain values do not.
fn is_named(schema: &Value) -> bool {
    ["properties", "oneOf", "allOf", "anyOf", "enum"].iter().any(|key| schema.get(key).is_some())
}

pub(super) fn reference(name: &str) -> Value {
    json!({"$ref": format!("#/components/schemas/{name}")})
}

/// utoipa's descriptions are plain data.
pub(super) fn to_value(description: &impl serde::Serialize) -> Value {
    serde_json::to_value(description).unwrap_or_default()
}
