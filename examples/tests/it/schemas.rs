//! What the documents say of a body, and what the services make of it, must be the same.

use std::{
    collections::HashMap,
    sync::{LazyLock, Mutex},
};

use garde::Validate;
use regex::Regex;
use sap_comm::rest::server::Json;
use sap_comm_examples::contract::{
    api::{AUTH_SERVICE, CONTENT_SERVICE, USER_SERVICE},
    rest::{CreateApiKey, CreateContent, CreateUser, Credentials, Login, Refresh, UpdateUser},
};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

/// Whether a text matches a pattern; patterns are compiled once.
fn matches(pattern: &str, text: &str) -> bool {
    static COMPILED: LazyLock<Mutex<HashMap<String, Regex>>> = LazyLock::new(Mutex::default);
    let mut compiled = COMPILED.lock().unwrap();
    if !compiled.contains_key(pattern) {
        compiled.insert(pattern.to_owned(), Regex::new(pattern).unwrap());
    }
    compiled[pattern].is_match(text)
}

/// Whether a value satisfies a schema; for the words that the contracts use.
fn satisfies(document: &Value, schema: &Value, value: &Value) -> bool {
    if let Some(reference) = schema["$ref"].as_str() {
        return satisfies(document, document.pointer(&reference[1..]).unwrap(), value);
    }
    for word in schema.as_object().unwrap().keys() {
        let known = [
            "type",
            "description",
            "pattern",
            "format",
            "minLength",
            "maxLength",
            "items",
            "maxItems",
            "properties",
            "required",
            "additionalProperties",
            "oneOf",
            "default",
            "minItems",
        ];
        assert!(known.contains(&word.as_str()), "{word} is not checked here: {schema}");
    }
    let types: Vec<_> = match &schema["type"] {
        Value::Null => Vec::new(),
        Value::String(one) => vec![one.as_str()],
        many => many.as_array().unwrap().iter().map(|one| one.as_str().unwrap()).collect(),
    };
    let own = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_i64() || number.is_u64() => "integer",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    let within = |size: usize, least: &str, most: &str| {
        schema[least].as_u64().is_none_or(|least| size as u64 >= least)
            && schema[most].as_u64().is_none_or(|most| size as u64 <= most)
    };
    (types.is_empty() || types.contains(&own))
        && schema["oneOf"]
            .as_array()
            .is_none_or(|all| all.iter().filter(|one| satisfies(document, one, value)).count() == 1)
        && match value {
            Value::String(text) => {
                within(text.chars().count(), "minLength", "maxLength")
                    && schema["pattern"].as_str().is_none_or(|pattern| matches(pattern, text))
            }
            Value::Array(items) => {
                within(items.len(), "minItems", "maxItems")
                    && items.iter().all(|item| schema["items"].is_null() || satisfies(document, &schema["items"], item))
            }
            Value::Object(fields) => {
                schema["required"]
                    .as_array()
                    .into_iter()
                    .flatten()
                    .all(|name| fields.contains_key(name.as_str().unwrap()))
                    && fields.iter().all(|(name, value)| match schema["properties"].get(name) {
                        Some(schema) => satisfies(document, schema, value),
                        None => schema["additionalProperties"] != false,
                    })
            }
            _ => true,
        }
}

const TEXTS: [&str; 14] = [
    "",
    "a",
    "é",
    "\u{0}",
    "a\u{0}b",
    "12345678",
    "a@example.com",
    "a@localhost",
    "@example.com",
    "a@",
    "a@-.com",
    "2001-02-03",
    "٢٠٠١-٠٢-٠٣",
    "a@example.com\n",
];

/// A value near the edge of a schema, on either side.
fn near(random: &mut fastrand::Rng, document: &Value, schema: &Value) -> Value {
    if let Some(reference) = schema["$ref"].as_str() {
        return near(random, document, document.pointer(&reference[1..]).unwrap());
    }
    if let Some(all) = schema["oneOf"].as_array() {
        let one = random.usize(..all.len());
        return near(random, document, &all[one]);
    }
    if random.u8(..) < 6 {
        return [json!(null), json!(1), json!(1.5), json!(true), json!([]), json!({}), json!("x")][random.usize(..7)]
            .clone();
    }
    let kind = match &schema["type"] {
        Value::String(one) => one.as_str(),
        many => many.as_array().and_then(|all| all[0].as_str()).unwrap_or("null"),
    };
    match kind {
        "string" => {
            if random.bool() {
                return json!(TEXTS[random.usize(..TEXTS.len())]);
            }
            let edge = ["minLength", "maxLength"][random.usize(..2)];
            let length = schema[edge].as_i64().unwrap_or(3) + random.i64(-1..=1);
            let letter = ["a", "é", "\u{1f600}"][random.usize(..3)];
            let text = letter.repeat(usize::try_from(length.max(0)).unwrap());
            if random.bool() { json!(text) } else { json!(format!("{text}@example.com")) }
        }
        "array" => {
            let most = schema["maxItems"].as_u64().unwrap_or(2);
            let size = if random.u8(..) < 40 { most + random.u64(0..=1) } else { random.u64(0..3) };
            let item = near(random, document, &schema["items"]);
            let mut items = vec![item; usize::try_from(size).unwrap()];
            if random.bool()
                && let Some(last) = items.last_mut()
            {
                *last = near(random, document, &schema["items"]);
            }
            items.into()
        }
        "object" => {
            let mut fields = Map::new();
            for (name, schema) in schema["properties"].as_object().into_iter().flatten() {
                if random.u8(..) < 200 {
                    fields.insert(name.clone(), near(random, document, schema));
                }
            }
            if random.u8(..) < 20 {
                fields.insert("further".into(), json!(1));
            }
            fields.into()
        }
        _ => Value::Null,
    }
}

fn agree<T: DeserializeOwned + Validate<Context = ()>>(document: &Value, name: &str) {
    let schema = &document["components"]["schemas"][name];
    assert!(schema.is_object(), "{name} is nowhere");
    let mut outcomes = [0_u32; 2];
    for seed in 0..3_000 {
        let value = near(&mut fastrand::Rng::with_seed(seed), document, schema);
        let valid = satisfies(document, schema, &value);
        let taken =
            Json::<T>::from_slice(value.to_string().as_bytes()).is_ok_and(|Json(value)| value.validate().is_ok());
        assert_eq!(
            taken, valid,
            "seed {seed}: {name} of {value} is taken: {taken}, and valid by the document: {valid}"
        );
        outcomes[usize::from(valid)] += 1;
    }
    assert!(outcomes.iter().all(|count| *count > 3), "{name}: {outcomes:?} of invalid and valid");
}

#[test]
fn documents_and_rules_agree_on_every_body() {
    let (users, auth, contents) = (USER_SERVICE.openapi(), AUTH_SERVICE.openapi(), CONTENT_SERVICE.openapi());
    agree::<CreateUser>(&users, "CreateUser");
    agree::<UpdateUser>(&users, "UpdateUser");
    agree::<Login>(&auth, "Login");
    agree::<Refresh>(&auth, "Refresh");
    agree::<Credentials>(&auth, "Credentials");
    agree::<CreateApiKey>(&auth, "CreateApiKey");
    agree::<CreateContent>(&contents, "CreateContent");
}
