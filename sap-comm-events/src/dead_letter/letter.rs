use bytes::Bytes;
use sap_comm_core::{Name, Timestamp};
use serde::{Serialize, Serializer, ser::SerializeStruct};
use serde_json::value::RawValue;

use crate::message::{Message, header};

/// An event that could not be handled. As JSON, `event` is the event itself, or a text where the bytes are no JSON.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct DeadLetter {
    /// The event id; empty if neither its message nor its event says one.
    pub id: Name,
    /// The event type.
    pub event_type: Name,
    /// The service that published it; empty if neither says one.
    pub source: Name,
    /// The bytes of the message: an event's JSON, or what was not one.
    pub event: Bytes,
    /// Why it could not be handled.
    pub reason: String,
    /// The code of that failure.
    pub code: String,
    /// How often it was handled.
    pub attempts: u32,
    /// When it became a dead letter, if it was this crate that made it one.
    pub at: Option<Timestamp>,
}

impl DeadLetter {
    pub(super) fn of(message: &Message) -> Self {
        let text = |name| message.headers.text(name).unwrap_or_default().to_owned();
        Self {
            id: message.id.clone(),
            event_type: message.event_type.clone(),
            source: message.source.clone().unwrap_or_default(),
            event: message.body().clone(),
            reason: text(header::REASON),
            code: text(header::CODE),
            attempts: message.attempt(),
            at: message.headers.text(header::FAILED_AT).and_then(|text| text.parse().ok()),
        }
    }
}

impl Serialize for DeadLetter {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = serializer.serialize_struct("DeadLetter", 8)?;
        fields.serialize_field("id", &self.id)?;
        fields.serialize_field("type", &self.event_type)?;
        fields.serialize_field("source", &self.source)?;
        fields.serialize_field("reason", &self.reason)?;
        fields.serialize_field("code", &self.code)?;
        fields.serialize_field("attempts", &self.attempts)?;
        fields.serialize_field("at", &self.at)?;
        match serde_json::from_slice::<&RawValue>(&self.event) {
            Ok(json) => fields.serialize_field("event", json)?,
            Err(_) => fields.serialize_field("event", &String::from_utf8_lossy(&self.event))?,
        }
        fields.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_letter_is_json_whatever_its_event_is() {
        let letter = |body: &'static [u8]| {
            let message = Message { id: "evt_1".into(), body: Bytes::from_static(body).into(), ..Message::default() };
            serde_json::to_value(DeadLetter::of(&message)).unwrap()
        };
        assert_eq!(letter(br#"{"id":"evt_1"}"#)["event"]["id"], "evt_1");
        assert_eq!(letter(b"{oops")["event"], "{oops");
        assert_eq!(letter(&[0xff])["event"], "\u{fffd}");
    }
}
