use sap_comm_core::{Event, RawEvent};
use sap_comm_testkit::node::NodeScript;

use crate::event_json::UserCreated;

#[tokio::test]
async fn events_made_by_node_go_through_typed_and_raw_byte_for_byte() {
    let mut script = NodeScript::new("event_from_node.mjs").arg("50").spawn().unwrap();
    for _ in 0..50 {
        let text = script.next_line().await.unwrap();
        let raw = RawEvent::from_json(text.as_ref()).unwrap();
        assert_eq!(String::from_utf8(raw.to_json().unwrap()).unwrap(), text);
        let event: Event<UserCreated> = raw.decode().unwrap();
        assert_eq!(String::from_utf8(event.to_json().unwrap()).unwrap(), text);
    }
    script.finish().await.unwrap();
}
