use sap_comm_rest::operation::compatibility::{Change, SnapshotError, check_snapshot, compare};
use serde_json::{Value, json};

fn document() -> Value {
    json!({
        "openapi": "3.1.0",
        "servers": [{"url": "https://sap.example/v1"}],
        "paths": {"/users/{id}": {"put": {
            "operationId": "updateUser",
            "security": [{"bearer": ["admin"]}, {"apiKey": []}],
            "parameters": [
                {"name": "id", "in": "path", "required": true, "schema": {"type": "string", "maxLength": 64}},
                {"name": "notify", "in": "query", "required": false, "schema": {"enum": ["yes", "no"]}},
                {"name": "ids", "in": "query", "schema": {"type": ["array", "null"], "items": {"type": "string"}}},
            ],
            "requestBody": {"required": true, "content": {
                "application/json": {"schema": {"$ref": "#/components/schemas/Input"}},
            }},
            "responses": {
                "200": {
                    "description": "The user",
                    "headers": {"etag": {"required": true, "schema": {"type": "string"}}},
                    "content": {"application/json": {"schema": {"$ref": "#/components/schemas/User"}}},
                },
                "404": {"description": "No user"},
            },
        }}},
        "components": {"securitySchemes": {
            "bearer": {"type": "http", "scheme": "bearer"},
            "apiKey": {"type": "apiKey", "in": "header", "name": "x-api-key"},
        }, "schemas": {
            "Input": {
                "type": "object",
                "additionalProperties": false,
                "required": ["email"],
                "properties": {"email": {"type": "string", "maxLength": 100}, "age": {"type": ["integer", "null"]}},
            },
            "User": {
                "type": "object",
                "required": ["id", "friends"],
                "properties": {
                    "id": {"type": "string", "pattern": "^usr_"},
                    "status": {"type": "string", "enum": ["active", "gone"]},
                    "friends": {"type": "array", "items": {"$ref": "#/components/schemas/User"}},
                },
            },
        }},
    })
}

/// The changes once the value at `pointer` is another; `null` takes it out.
fn changed(pointer: &str, value: Value) -> Vec<Change> {
    let mut after = document();
    let (parent, key) = pointer.rsplit_once('/').unwrap();
    let parent = after.pointer_mut(parent).unwrap_or_else(|| panic!("{pointer} is nowhere"));
    match (parent, value) {
        (Value::Object(fields), Value::Null) => drop(fields.remove(&key.replace("~1", "/")).expect("it was there")),
        (Value::Object(fields), value) => drop(fields.insert(key.replace("~1", "/"), value)),
        (Value::Array(items), Value::Null) => drop(items.remove(key.parse().unwrap())),
        (Value::Array(items), value) => items.insert(key.parse().unwrap(), value),
        (other, _) => panic!("{other}"),
    }
    compare(&document(), &after)
}

const OPERATION: &str = "/paths/~1users~1{id}/put";

#[test]
fn nothing_changed_is_no_change() {
    assert_eq!(compare(&document(), &document()), []);
}

#[test]
fn what_breaks_callers_is_found() {
    let schema = |rest: &str| format!("/components/schemas/{rest}");
    let here = |rest: &str| format!("{OPERATION}/{rest}");
    for (pointer, value, place, what) in [
        (OPERATION.to_owned(), json!(null), "PUT /users/{id}", "is gone"),
        (here("operationId"), json!("putUser"), "PUT /users/{id}", "operationId"),
        (here("parameters/1"), json!(null), "query parameter notify", "is gone"),
        (here("parameters/1/required"), json!(true), "query parameter notify", "is required now"),
        (here("parameters/1/schema/enum"), json!(["yes"]), "query parameter notify", "\"no\" is no value any more"),
        (here("parameters/3"), json!({"name": "x", "in": "header", "required": true}), "header parameter x", "is new"),
        (here("parameters/2/explode"), json!(false), "query parameter ids", "explode was true, is false"),
        (here("parameters/1/style"), json!("deepObject"), "query parameter notify", "style was form, is deepObject"),
        (here("parameters/0/style"), json!("label"), "path parameter id", "style was simple, is label"),
        (
            here("parameters/1/content"),
            json!({"application/json": {}}),
            "query parameter notify",
            "how it is written was by schema",
        ),
        ("/servers/0/url".to_owned(), json!("https://sap.example/v2"), "servers", "below /v1/"),
        (
            "/components/securitySchemes/apiKey/name".to_owned(),
            json!("x-key"),
            "security scheme apiKey",
            "name was x-api-key",
        ),
        (
            "/components/securitySchemes/bearer".to_owned(),
            json!(null),
            "security scheme bearer",
            "type was http, is none",
        ),
        (here("parameters/0/schema/maxLength"), json!(32), "path parameter id", "maxLength was 64, is 32"),
        (here("requestBody/content/application~1json"), json!(null), "body", "has no application/json"),
        (here("requestBody"), json!(null), "body", "is taken no more"),
        (here("responses/200"), json!(null), "200", "is answered no more"),
        (here("responses/200/headers/etag"), json!(null), "200 header etag", "is gone"),
        (here("security"), json!([{"bearer": ["admin", "owner"]}, {"apiKey": []}]), "PUT /users/{id}", "is not open"),
        (schema("Input/required"), json!(["email", "age"]), "body age", "is required now"),
        (schema("Input/properties/age"), json!(null), "body age", "is gone"),
        (schema("Input/properties/age/type"), json!("integer"), "body age", "type was integer or null, is integer"),
        (schema("Input/properties/email/pattern"), json!("@"), "body email", "pattern"),
        (schema("Input/properties/email/minLength"), json!(1), "body email", "minLength was none, is 1"),
        (schema("User/properties/status"), json!(null), "200 status", "is gone"),
        (
            schema("User/properties/status/enum"),
            json!(["active", "gone", "new"]),
            "200 status",
            "\"new\" is a new value",
        ),
        (schema("User/properties/id/type"), json!(["string", "null"]), "200 id", "type was string"),
        (schema("User/properties/id/pattern"), json!(null), "200 id", "pattern"),
        (schema("User/required"), json!(["id"]), "200 friends", "may be missing now"),
        (schema("User/properties/friends/items"), json!({"type": "string"}), "200 friends[]", "type was object"),
    ] {
        let changes = changed(&pointer, value.clone());
        let found = |change: &Change| change.breaking && change.place.contains(place) && change.what.contains(what);
        assert!(changes.iter().any(found), "{pointer} {value}: {changes:?}");
    }
}

#[test]
fn what_breaks_nobody_passes() {
    let schema = |rest: &str| format!("/components/schemas/{rest}");
    let here = |rest: &str| format!("{OPERATION}/{rest}");
    for (pointer, value) in [
        ("/paths/~1users".to_owned(), json!({"get": {}})),
        ("/servers/0".to_owned(), json!({"url": "/v1/"})),
        ("/servers/0/url".to_owned(), json!("http://other.example:8080/v1/")),
        (here("parameters/2/explode"), json!(true)),
        (here("parameters/1/explode"), json!(false)),
        (here("parameters/0/style"), json!("simple")),
        ("/components/securitySchemes/bearer/scheme".to_owned(), json!("Bearer")),
        ("/components/securitySchemes/bearer/description".to_owned(), json!("A token")),
        ("/components/securitySchemes/new".to_owned(), json!({"type": "http", "scheme": "basic"})),
        (here("summary"), json!("Changes a user")),
        (here("parameters/3"), json!({"name": "x", "in": "query", "schema": {}})),
        (here("parameters/1/schema/enum"), json!(["yes", "no", "later"])),
        (here("parameters/0/schema/maxLength"), json!(128)),
        (here("responses/409"), json!({"description": "Taken"})),
        (here("responses/404"), json!(null)),
        (here("security"), json!([])),
        (here("security/2"), json!({"other": []})),
        (schema("Input/properties/name"), json!({"type": "string"})),
        (schema("Input/required"), json!([])),
        (schema("Input/additionalProperties"), json!(true)),
        (schema("User/properties/name"), json!({"type": "string"})),
        (schema("User/properties/status/enum"), json!(["active"])),
        (schema("User/required"), json!(["id", "friends", "status"])),
    ] {
        let breaking: Vec<_> = changed(&pointer, value).into_iter().filter(|change| change.breaking).collect();
        assert_eq!(breaking, [], "{pointer}");
    }
}

#[test]
fn a_credential_that_is_asked_for_no_more_breaks_nobody() {
    let mut after = document();
    after["paths"]["/users/{id}"]["put"]["security"] = json!([]);
    after["components"]["securitySchemes"] = json!({});
    assert_eq!(compare(&document(), &after), []);
}

/// Whether callers break who send values of a schema, and those who get them, once it is another.
fn breaks(before: &Value, after: &Value) -> (bool, bool) {
    let content = |schema: &Value| json!({"content": {"application/json": {"schema": schema}}});
    let shared =
        json!({"Short": {"maxLength": 3}, "List": {"properties": {"next": {"$ref": "#/components/schemas/List"}}}});
    let document = |operation: Value| json!({"paths": {"/": {"put": operation}}, "components": {"schemas": shared}});
    let breaks = |operation: &dyn Fn(&Value) -> Value| {
        let changes = compare(&document(operation(before)), &document(operation(after)));
        changes.iter().any(|change| change.breaking)
    };
    (
        breaks(&|schema| json!({"requestBody": content(schema)})),
        breaks(&|schema| json!({"responses": {"200": content(schema)}})),
    )
}

#[test]
fn a_narrower_schema_breaks_who_sends_and_a_wider_one_who_gets() {
    let short = json!({"$ref": "#/components/schemas/Short"});
    for (wide, narrow) in [
        (json!({"items": {}}), json!({"items": {"type": "string"}})),
        (json!({}), json!({"items": {"type": "string"}})),
        (json!({}), json!({"prefixItems": [{"type": "string"}]})),
        (json!({"prefixItems": [{}, {"maximum": 7}]}), json!({"prefixItems": [{}, {"maximum": 5}]})),
        (json!({"prefixItems": [{}]}), json!({"prefixItems": [{}, {"type": "string"}]})),
        (
            json!({"prefixItems": [{}], "items": {"maximum": 7}}),
            json!({"prefixItems": [{}, false], "items": {"maximum": 7}}),
        ),
        (json!({"prefixItems": [{}]}), json!({"prefixItems": [{}], "items": false})),
        (json!({}), json!({"additionalProperties": {"type": "string"}})),
        (json!({"additionalProperties": true}), json!({"additionalProperties": {"type": "string"}})),
        (json!({"additionalProperties": {"maximum": 7}}), json!({"additionalProperties": {"maximum": 5}})),
        (json!({"type": "integer"}), json!({"type": "integer", "multipleOf": 5})),
        (json!({"uniqueItems": false}), json!({"uniqueItems": true})),
        (json!({}), json!({"not": {"const": "root"}})),
        (json!({}), json!({"required": ["a"]})),
        (json!({}), json!({"anyOf": [{"type": "string"}, {"type": "integer"}]})),
        (json!({"oneOf": [{"type": "null"}, short]}), short.clone()),
        (json!({"anyOf": [{"type": "string"}, {"type": "integer"}]}), json!({"type": "string"})),
        (short.clone(), json!({"$ref": "#/components/schemas/Short", "minLength": 1})),
        (json!(true), json!(false)),
    ] {
        assert!(breaks(&wide, &narrow).0, "{wide} is taken, then {narrow}");
        assert!(!breaks(&narrow, &wide).0, "{narrow} is taken, then {wide}");
        assert!(breaks(&narrow, &wide).1, "{narrow} is answered, then {wide}");
        assert!(!breaks(&wide, &narrow).1, "{wide} is answered, then {narrow}");
    }
}

#[test]
fn further_properties_are_for_whoever_gets_them_to_ignore() {
    for (before, after, result) in [
        (json!({}), json!({"additionalProperties": false}), (true, false)),
        (json!({"additionalProperties": {"type": "string"}}), json!({"additionalProperties": false}), (true, false)),
        (json!({"additionalProperties": false}), json!({}), (false, false)),
        (json!({"additionalProperties": false}), json!({"additionalProperties": {"type": "string"}}), (false, false)),
        (json!({"additionalProperties": true}), json!({}), (false, false)),
    ] {
        assert_eq!(breaks(&before, &after), result, "{before} {after}");
    }
}

#[test]
fn a_property_with_a_schema_of_its_own_was_one_of_the_further_ones() {
    let before = json!({"additionalProperties": {"maximum": 7}});
    for (own, result) in [(5, (true, false)), (7, (false, false)), (9, (false, true))] {
        let after = json!({"additionalProperties": {"maximum": 7}, "properties": {"a": {"maximum": own}}});
        assert_eq!(breaks(&before, &after), result, "{own}");
    }
}

#[test]
fn what_is_not_understood_breaks_when_it_changes_and_what_asks_nothing_does_not() {
    for (before, after) in [
        (json!({"multipleOf": 2}), json!({"multipleOf": 3})),
        (json!({"not": {"const": 1}}), json!({"not": {"const": 2}})),
        (json!({}), json!({"patternProperties": {"^x": {"type": "string"}}})),
        (json!({"patternProperties": {"^x": {"type": "string"}}}), json!({})),
        (json!({"if": {"minLength": 1}}), json!({"if": {"minLength": 2}})),
        (json!({"dependentRequired": {"a": ["b"]}}), json!({"dependentRequired": {"a": ["c"]}})),
        (json!({"contains": {"title": "a"}}), json!({"contains": {"title": "b"}})),
        (json!({"maximum": 5, "exclusiveMaximum": true}), json!({"maximum": 5, "exclusiveMaximum": false})),
        (json!({"vendor": 1}), json!({"vendor": 2})),
    ] {
        assert_eq!(breaks(&before, &after), (true, true), "{before} {after}");
    }
    for key in ["title", "description", "examples", "example", "default", "deprecated", "$comment", "x-order"] {
        assert_eq!(breaks(&json!({key: "a"}), &json!({key: "b"})), (false, false), "{key}");
        assert_eq!(breaks(&json!({"items": {}}), &json!({"items": {key: "b"}})), (false, false), "{key}");
    }
    for same in [
        json!({"not": {"$ref": "#/components/schemas/List"}, "if": {"$ref": "#/components/schemas/Short"}}),
        json!({"$ref": "#/components/schemas/List", "minProperties": 1}),
        json!({"prefixItems": [{"type": "string"}, false], "contains": {"const": "a"}}),
    ] {
        assert_eq!(breaks(&same, &same), (false, false), "{same}");
    }
}

#[test]
fn schemas_that_hold_themselves_are_compared_to_an_end() {
    let object = |x: Value| json!({"type": "object", "properties": {"x": x}});
    let to = |name: &str| json!({"$ref": format!("#/components/schemas/{name}")});
    let document = |schema: Value, name: &str, named: Value| {
        let content = json!({"application/json": {"schema": schema}});
        json!({
            "paths": {"/": {"put": {"requestBody": {"content": content}, "responses": {"200": {"content": content}}}}},
            "components": {"schemas": {name: named}},
        })
    };
    let before = document(to("A"), "A", object(object(to("A"))));
    for (schema, breaks) in [
        (object(to("B")), false),
        (to("B"), false),
        (object(object(to("B"))), false),
        (json!({"anyOf": [to("B")]}), false),
        (object(json!({"type": "string"})), true),
    ] {
        let after = document(schema.clone(), "B", object(object(to("B"))));
        for (old, new) in [(&before, &after), (&after, &before)] {
            let changes = compare(old, new);
            assert_eq!(changes.iter().any(|change| change.breaking), breaks, "{schema}: {changes:?}");
        }
    }
    // What is different a step further down is found through either.
    let deeper = document(object(to("B")), "B", object(object(json!({"type": "string"}))));
    assert!(compare(&before, &deeper).iter().any(|change| change.breaking));
}

#[test]
fn what_a_keyword_refers_to_counts() {
    let document = |longest: u64| {
        let schema = json!({"not": {"$ref": "#/components/schemas/Name"}});
        json!({
            "paths": {"/": {"put": {"requestBody": {"content": {"text/plain": {"schema": schema}}}}}},
            "components": {"schemas": {"Name": {"maxLength": longest}}},
        })
    };
    let changes = compare(&document(3), &document(4));
    assert!(changes.iter().any(|change| change.breaking && change.what.contains("not was")), "{changes:?}");
}

#[test]
fn a_parameter_of_the_path_may_be_renamed() {
    let text = document()
        .to_string()
        .replace("/users/{id}", "/users/{user_id}")
        .replace("\"id\",\"required\"", "\"user_id\",\"required\"");
    let mut after: Value = serde_json::from_str(&text).unwrap();
    after["paths"]["/users/{user_id}"]["put"]["parameters"][0]["name"] = "user_id".into();
    assert_eq!(compare(&document(), &after), []);
}

#[test]
fn a_snapshot_lets_through_what_breaks_nobody() {
    let path = std::env::temp_dir().join(format!("sap-comm-openapi-{}.json", std::process::id()));
    assert!(matches!(check_snapshot(&path, &document()), Err(SnapshotError::Missing { .. })));
    std::fs::write(&path, document().to_string()).unwrap();
    let mut after = document();
    after["paths"]["/users"] = json!({"get": {}});
    let changes = check_snapshot(&path, &after).unwrap();
    assert_eq!(changes.iter().map(ToString::to_string).collect::<Vec<_>>(), ["GET /users: is new"]);
    after["paths"].as_object_mut().unwrap().remove("/users/{id}");
    let error = check_snapshot(&path, &after).unwrap_err().to_string();
    assert!(error.contains("PUT /users/{id}: is gone") && error.contains("SAP_ACCEPT_OPENAPI=1"), "{error}");
    std::fs::write(&path, "{").unwrap();
    assert!(matches!(check_snapshot(&path, &after), Err(SnapshotError::Io { .. })));
    std::fs::remove_file(&path).unwrap();
}
