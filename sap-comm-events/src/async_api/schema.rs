//! Schemas of payloads, from OpenAPI's dialect to AsyncAPI's.

use serde_json::{Map, Value, json};
use utoipa::ToSchema;

use super::AsyncApiError;

/// The schemas of a document by name.
#[derive(Debug, Default)]
pub(super) struct Schemas(Map<String, Value>);

/// The name of a type's schema, and it with those that it refers to.
pub(super) fn named<T: ToSchema>() -> (String, Vec<(String, Value)>) {
    let name = T::name().into_owned();
    let mut schemas = referred::<T>();
    schemas.push((name.clone(), json!(T::schema())));
    (name, schemas)
}

/// A type's schema without a name, and those that it refers to.
pub(super) fn inline<T: ToSchema>() -> (Value, Vec<(String, Value)>) {
    let mut schema = json!(T::schema());
    translate(&mut schema);
    (schema, referred::<T>())
}

fn referred<T: ToSchema>() -> Vec<(String, Value)> {
    let mut found = Vec::new();
    T::schemas(&mut found);
    // utoipa's schemas are plain data, which JSON takes as it is.
    found.into_iter().map(|(name, schema)| (name, json!(schema))).collect()
}

impl Schemas {
    pub(super) fn add(&mut self, name: &str, mut schema: Value) -> Result<(), AsyncApiError> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
        if name.is_empty() || !name.bytes().all(allowed) {
            return Err(AsyncApiError::SchemaName { name: name.to_owned() });
        }
        translate(&mut schema);
        match self.0.get(name) {
            Some(own) if *own != schema => Err(AsyncApiError::Conflict { what: "schemas", name: name.to_owned() }),
            Some(_) => Ok(()),
            None => {
                self.0.insert(name.to_owned(), schema);
                Ok(())
            }
        }
    }

    pub(super) fn into_json(self) -> Value {
        self.0.into()
    }
}

/// What OpenAPI adds to JSON Schema and AsyncAPI does not know, or knows as something else.
const OPENAPI_ONLY: [&str; 3] = ["discriminator", "xml", "externalDocs"];

/// Translates a schema and those within it.
fn translate(schema: &mut Value) {
    let Value::Object(schema) = schema else { return };
    schema.retain(|keyword, _| !OPENAPI_ONLY.contains(&keyword.as_str()));
    if let Some(example) = schema.remove("example")
        && !schema.contains_key("examples")
    {
        schema.insert("examples".to_owned(), vec![example].into());
    }
    for (keyword, inner) in schema {
        match (keyword.as_str(), inner) {
            ("properties" | "patternProperties" | "definitions" | "$defs", Value::Object(named)) => {
                named.values_mut().for_each(translate);
            }
            ("allOf" | "anyOf" | "oneOf" | "prefixItems", Value::Array(list)) => list.iter_mut().for_each(translate),
            ("items" | "additionalProperties" | "propertyNames" | "contains" | "not", inner) => match inner {
                Value::Array(list) => list.iter_mut().for_each(translate),
                inner => translate(inner),
            },
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn openapi_words_go_and_properties_of_that_name_stay() {
        let mut schema = json!({
            "type": "object",
            "xml": { "name": "a" },
            "example": { "xml": 1 },
            "properties": {
                "xml": { "type": "string", "example": "<a/>" },
                "choice": { "oneOf": [{ "type": "null", "externalDocs": {} }], "discriminator": { "propertyName": "a" } },
            },
        });
        translate(&mut schema);
        assert_eq!(
            schema,
            json!({
                "type": "object",
                "examples": [{ "xml": 1 }],
                "properties": {
                    "xml": { "type": "string", "examples": ["<a/>"] },
                    "choice": { "oneOf": [{ "type": "null" }] },
                },
            })
        );
    }

    #[test]
    fn a_name_stands_for_one_schema() {
        let mut schemas = Schemas::default();
        schemas.add("A", json!({ "type": "string" })).unwrap();
        schemas.add("A", json!({ "type": "string" })).unwrap();
        let conflict = schemas.add("A", json!({ "type": "number" })).unwrap_err();
        assert_eq!(conflict, AsyncApiError::Conflict { what: "schemas", name: "A".into() });
        assert!(matches!(schemas.add("A<B>", json!({})), Err(AsyncApiError::SchemaName { .. })));
    }
}
