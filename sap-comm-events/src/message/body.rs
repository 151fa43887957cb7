use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use sap_comm_core::{DecodeError, Event, EventPayload, Extensions, Metadata, Name, RawEvent, Timestamp};
use serde::Serialize;
use serde_json::value::RawValue;

use super::Message;

/// What a message carries.
#[derive(Debug, Clone)]
pub(crate) enum Body {
    Written(Bytes),
    /// An event in the envelope of the specification that leaves the process in no wise.
    Unwritten(Unwritten),
}

/// What the message does not say of its event. The payload is written, so that what does not survive that shows here too;
/// the envelope only where somebody looks.
#[derive(Debug, Clone)]
pub(crate) struct Unwritten {
    /// The payload, the version and the user's id. A message is written by one core and read by another: what it takes to
    /// bring it over counts by the line of memory.
    text: Box<str>,
    data_end: usize,
    version_length: u32,
    has_user: bool,
    timestamp: Timestamp,
    whole: OnceLock<Box<Bytes>>,
}

impl Default for Body {
    fn default() -> Self {
        Self::Written(Bytes::new())
    }
}

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Self {
        Self::Written(bytes)
    }
}

impl Unwritten {
    /// `None` for an event whose message would not say enough of it.
    pub(crate) fn of<T: Serialize>(event: &Event<T>) -> Result<Option<Self>, DecodeError> {
        let Event { timestamp, metadata: Metadata { version, user_id, extensions }, .. } = event;
        let (true, true, Ok(version_length)) =
            (event.extensions.is_empty(), extensions.is_empty(), u32::try_from(version.len()))
        else {
            return Ok(None);
        };
        // Straight into its own memory: to write it elsewhere first, as what goes over a wire is, costs a tenth of a publish more.
        let data = serde_json::to_string(&event.data);
        let mut text = data.map_err(|error| DecodeError::Encode { reason: error.to_string() })?;
        let data_end = text.len();
        text.push_str(version);
        text.push_str(user_id.as_deref().unwrap_or_default());
        let (text, has_user) = (text.into_boxed_str(), user_id.is_some());
        Ok(Some(Self { text, data_end, version_length, has_user, timestamp: *timestamp, whole: OnceLock::new() }))
    }

    fn data(&self) -> &str {
        &self.text[..self.data_end]
    }

    fn version_end(&self) -> usize {
        self.data_end + self.version_length as usize
    }

    fn version(&self) -> &str {
        &self.text[self.data_end..self.version_end()]
    }

    fn user_id(&self) -> Option<&str> {
        self.has_user.then(|| &self.text[self.version_end()..])
    }

    /// How long the whole would be, were it written without escaping anything in the envelope.
    pub(crate) fn len<T>(&self, event: &Event<T>) -> usize {
        const FRAME: &str = r#"{"id":"","type":"","source":"","timestamp":"2025-05-19T18:30:00.000Z","correlationId":"","data":,"metadata":{"version":""}}"#;
        const USER: &str = r#","userId":"""#;
        let texts = event.id.len() + event.event_type.len() + event.source.len() + event.correlation_id.len();
        let user = if self.has_user { USER.len() } else { 0 };
        FRAME.len() + texts + user + self.text.len()
    }
}

impl Message {
    /// The bytes of the body.
    pub(crate) fn body(&self) -> &Bytes {
        match &self.body {
            Body::Written(body) => body,
            Body::Unwritten(event) => event.whole.get_or_init(|| {
                // What was written as JSON is JSON.
                let data: &RawValue = serde_json::from_str(event.data()).unwrap_or(RawValue::NULL);
                Box::new(self.envelope(event, data).to_json().unwrap_or_default().into())
            }),
        }
    }

    /// How many bytes the body has, if that is over `limit`. What was not written was measured when it was published.
    pub(crate) fn over(&self, limit: usize) -> Option<usize> {
        match &self.body {
            Body::Written(body) => Some(body.len()).filter(|size| *size > limit),
            Body::Unwritten(_) => None,
        }
    }

    /// The event, where it was not written.
    pub(super) fn unwritten(&self) -> Option<Result<RawEvent, DecodeError>> {
        let Body::Unwritten(event) = &self.body else { return None };
        let data = serde_json::from_str(event.data());
        let data = data.map_err(|error| DecodeError::Envelope { reason: error.to_string() });
        Some(data.map(|data: Box<RawValue>| self.envelope(event, data)))
    }

    /// The event, where it was not written and is of just the type and version of `T`: its payload is read now, and the
    /// envelope put around it when it is wanted.
    pub(crate) fn read<T: EventPayload>(self: &Arc<Self>) -> Option<impl FnOnce() -> Event<T> + Send + use<T>> {
        let Body::Unwritten(event) = &self.body else { return None };
        if self.event_type != T::TYPE || event.version() != T::VERSION {
            return None;
        }
        let data: T = serde_json::from_str(event.data()).ok()?;
        let (message, timestamp, user_id) = (Arc::clone(self), event.timestamp, event.user_id().map(Name::from));
        Some(move || message.around(data, timestamp, T::VERSION.into(), user_id))
    }

    fn envelope<T>(&self, event: &Unwritten, data: T) -> Event<T> {
        self.around(data, event.timestamp, event.version().into(), event.user_id().map(Name::from))
    }

    fn around<T>(&self, data: T, timestamp: Timestamp, version: Name, user_id: Option<Name>) -> Event<T> {
        Event {
            id: self.id.clone(),
            event_type: self.event_type.clone(),
            source: self.source.clone().unwrap_or_default(),
            timestamp,
            correlation_id: self.correlation_id.clone().unwrap_or_default(),
            data,
            metadata: Metadata { version, user_id, extensions: Extensions::default() },
            extensions: Extensions::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use sap_comm_core::{Context, EventKind};
    use serde::{Deserialize, Serialize};
    use serde_json::value::to_raw_value;

    use super::*;
    use crate::message::EventFormat;

    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
    struct UserCreated {
        email: String,
    }

    impl EventPayload for UserCreated {
        const TYPE: &'static str = "user.created";
    }

    fn created(email: &str) -> Event<UserCreated> {
        Event::new("auth", UserCreated { email: email.to_owned() })
    }

    fn message<T: Serialize>(event: &Event<T>) -> (Arc<Message>, usize) {
        let unwritten = Unwritten::of(event).unwrap().unwrap();
        let (size, body) = (unwritten.len(event), Body::Unwritten(unwritten));
        let context = Context::root();
        (Arc::new(Message::of_event(event, EventFormat::Envelope, body, EventKind::Domain, context)), size)
    }

    proptest! {
        #[test]
        fn it_reads_as_what_would_have_been_written(email in any::<String>(), user_id in any::<Option<String>>()) {
            let mut event = created(&email);
            event.metadata.user_id = user_id.map(Name::from);
            let (message, _) = message(&event);
            prop_assert_eq!(message.read::<UserCreated>().unwrap()(), event.clone());
            prop_assert_eq!(message.body(), &event.to_json().unwrap());
            let raw = RawEvent::from_json(message.body()).unwrap();
            prop_assert_eq!(message.event().unwrap().to_json(), raw.to_json());
        }
    }

    #[test]
    fn its_size_is_that_of_what_would_have_been_written() {
        for user_id in [None, Some(Name::from("usr_1"))] {
            let mut event = created("a@example.com");
            event.metadata.user_id = user_id;
            let (message, size) = message(&event);
            assert_eq!(size, message.body().len());
        }
    }

    #[test]
    fn what_is_not_as_the_handler_wants_it_is_read_otherwise() {
        let event = created("a@example.com");
        for (event_type, version) in [("user.deleted", "1.0"), ("user.created", "2.0"), ("user.created", "1.1")] {
            let mut other = event.clone();
            (other.event_type, other.metadata.version) = (event_type.into(), version.into());
            let (message, _) = message(&other);
            assert!(message.read::<UserCreated>().is_none());
            assert_eq!(message.event().unwrap().metadata.version, version);
        }
        let (message, _) = message(&event.clone().map(|_| 7));
        assert!(message.read::<UserCreated>().is_none());
        assert_eq!(message.event().unwrap().data.get(), "7");
    }

    #[test]
    fn a_message_and_its_counters_take_six_lines_of_memory() {
        assert!(size_of::<Message>() + 2 * size_of::<usize>() <= 6 * 64, "{}", size_of::<Message>());
    }

    #[test]
    fn what_the_message_would_not_say_is_written() {
        let (mut event, mut of_metadata) = (created("a"), created("a"));
        event.extensions.insert("more".to_owned(), to_raw_value(&1).unwrap());
        of_metadata.metadata.extensions.insert("more".to_owned(), to_raw_value(&1).unwrap());
        for event in [event, of_metadata] {
            assert!(Unwritten::of(&event).unwrap().is_none());
        }
    }
}
