use sap_comm::{EventKind, EventPayload};
use sap_comm_examples::contract::events::{ContentPublished, MarkNotificationRead, UserCreated};
use serde_json::json;

#[test]
fn user_created_has_the_data_of_the_specification() {
    let data = UserCreated {
        user_id: "usr_987654321".into(),
        email: "user@example.com".into(),
        roles: vec!["user".into()],
        profile: None,
    };
    let expected = json!({"userId": "usr_987654321", "email": "user@example.com", "roles": ["user"]});
    assert_eq!(serde_json::to_value(data).unwrap(), expected);
    assert_eq!(UserCreated::TYPE, "user.created");
}

#[test]
fn kinds_decide_who_gets_an_event() {
    assert_eq!(ContentPublished::KIND, EventKind::Integration);
    assert_eq!(MarkNotificationRead::KIND, EventKind::Command);
}
