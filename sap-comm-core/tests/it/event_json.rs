use sap_comm_core::{Context, DecodeError, Event, EventKind, EventPayload, Principal, RawEvent};
use serde::{Deserialize, Serialize};

#[derive(Debug, PartialEq, Serialize, Deserialize, EventPayload)]
#[event(type = "user.created")]
#[serde(rename_all = "camelCase")]
pub(crate) struct UserCreated {
    user_id: String,
    email: String,
    roles: Vec<String>,
}

/// The specification's own example, without its white space.
const EXAMPLE: &str = r#"{"id":"evt_123456789","type":"user.created","source":"auth-service","timestamp":"2025-05-19T18:30:00.000Z","correlationId":"req_abcdef123","data":{"userId":"usr_987654321","email":"user@example.com","roles":["user"]},"metadata":{"version":"1.0","userId":"usr_admin123"}}"#;

#[test]
fn the_specification_example_goes_through_typed_and_raw_byte_for_byte() {
    let raw = RawEvent::from_json(EXAMPLE.as_bytes()).unwrap();
    assert_eq!(raw.data.get(), r#"{"userId":"usr_987654321","email":"user@example.com","roles":["user"]}"#);
    assert_eq!(String::from_utf8(raw.to_json().unwrap()).unwrap(), EXAMPLE);
    let event: Event<UserCreated> = raw.decode().unwrap();
    assert_eq!(event.data.user_id, "usr_987654321");
    assert_eq!(event.metadata.user_id.as_deref(), Some("usr_admin123"));
    assert_eq!(String::from_utf8(event.to_json().unwrap()).unwrap(), EXAMPLE);
}

#[test]
fn unknown_fields_are_kept_on_the_way_through() {
    let text = EXAMPLE.replace(
        r#""metadata":{"version":"1.0","userId":"usr_admin123"}}"#,
        r#""metadata":{"version":"1.0","tenant":"x"},"traceId":1.0e400}"#,
    );
    let event: Event<UserCreated> = RawEvent::from_json(text.as_bytes()).unwrap().decode().unwrap();
    assert_eq!(event.metadata.extensions.get("tenant"), Some(r#""x""#));
    assert_eq!(String::from_utf8(event.to_json().unwrap()).unwrap(), text);
}

#[test]
fn a_new_event_is_caused_by_the_current_context() {
    let context = Context::root().with_principal(Principal::user("usr_1", ["user"]));
    let payload = UserCreated { user_id: "usr_2".into(), email: "e".into(), roles: vec![] };
    let event = context.clone().sync_scope(|| Event::new("auth-service", payload));
    assert_eq!(event.correlation_id, context.correlation_id());
    assert_eq!(event.metadata.user_id.as_deref(), Some("usr_1"));
    assert!(event.id.starts_with("evt_"));
    assert_eq!(UserCreated::KIND, EventKind::Domain);
}

#[test]
fn a_service_is_no_user_of_an_event() {
    let context = Context::root().with_principal(Principal::service("billing", ["users:write"]));
    let payload = UserCreated { user_id: "usr_2".into(), email: "e".into(), roles: vec![] };
    assert_eq!(context.sync_scope(|| Event::new("auth-service", payload)).metadata.user_id, None);
}

#[test]
fn what_is_wrong_with_an_event_is_named() {
    let decode = |text: &str| {
        let decoded = RawEvent::from_json(text.as_bytes()).and_then(RawEvent::decode::<UserCreated>);
        assert_eq!(Event::<UserCreated>::from_json(text.as_bytes()), decoded, "in one pass");
        decoded
    };
    let cases = [
        ("", "not an event"),
        ("[1]", "an event object"),
        (&EXAMPLE[..40], "not an event"),
        (&EXAMPLE.replace("\"id\"", "\"ID\""), "missing field `id`"),
        (&EXAMPLE.replace("\"source\":", "\"id\":"), "duplicate field `id`"),
        (&EXAMPLE.replace("2025-05-19T18:30:00.000Z", "now"), "invalid timestamp \"now\""),
        (&EXAMPLE.replace("\"version\":\"1.0\",", ""), "metadata.version"),
        (&EXAMPLE.replace("user.created", "user.deleted"), "expected an event of type \"user.created\""),
        (&EXAMPLE.replace("\"1.0\"", "\"2.0\""), "version \"2.0\""),
        (&EXAMPLE.replace("\"email\"", "\"mail\""), "missing field `email`"),
    ];
    for (text, expected) in cases {
        let error = decode(text).unwrap_err().to_string();
        assert!(error.contains(expected), "{error:?} lacks {expected:?}");
    }
    assert!(decode(&EXAMPLE.replace("\"1.0\"", "\"1.7\"")).is_ok(), "a newer minor version is read");
}

#[test]
fn a_wrong_type_keeps_the_found_one() {
    let raw = RawEvent::from_json(EXAMPLE.replace("user.created", "x").as_bytes()).unwrap();
    assert_eq!(
        raw.decode::<UserCreated>().unwrap_err(),
        DecodeError::Type { expected: "user.created", found: "x".into() }
    );
}
