use sap_comm_rest::operation::compatibility::{Change, SnapshotError, check_snapshot, compare};
use serde_json::{Value, json};

fn document() -> Value {
    json!({
        "openapi": "3.1.0",
        "paths": {"/users/{id}": {"put": {
            "operationId": "updateUser",
            "security": [{"bearer": ["admin"]}, {"apiKey": []}],
            "parameters": [
                {"name": "id", "in": "path", "required": true, "schema": {"type": "string", "maxLength": 64}},
                {"name": "notify", "in": "query", "required": false, "schema": {"enum": ["yes", "no"]}},
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
        "components": {"schemas": {
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
        (here("parameters/2"), json!({"name": "x", "in": "header", "required": true}), "header parameter x", "is new"),
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
        (here("summary"), json!("Changes a user")),
        (here("parameters/2"), json!({"name": "x", "in": "query", "schema": {}})),
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
