//! Content types and content encodings, and what they say about a body.

use crate::{
    EventFormat, cloud_events,
    message::{Content, Headers, Unsupported},
};

/// What JSON is called, by those who say nothing about it too.
const JSON: [&str; 4] = ["application/json", "", "text/json", "application/octet-stream"];
/// The content encodings that leave JSON as it is.
const PLAIN: [&str; 5] = ["utf-8", "", "utf8", "identity", "us-ascii"];

impl Content {
    /// What the properties of a foreign message mean. What says nothing is taken for JSON.
    pub(super) fn of(content_type: Option<&str>, content_encoding: Option<&str>, headers: &Headers) -> Self {
        let unsupported = || {
            let [content_type, content_encoding] = [content_type, content_encoding].map(|own| own.map(str::to_owned));
            Self::Unsupported(Box::new(Unsupported { content_type, content_encoding }))
        };
        let media_type = content_type.unwrap_or_default().split(';').next().unwrap_or_default().trim();
        if !is_one_of(content_encoding.unwrap_or_default().trim(), &PLAIN) {
            unsupported()
        } else if media_type.eq_ignore_ascii_case(cloud_events::CONTENT_TYPE) {
            Self::Event(EventFormat::CloudEventsStructured)
        } else if !is_one_of(media_type, &JSON) {
            unsupported()
        } else if cloud_events::is_binary(headers) {
            Self::Event(EventFormat::CloudEventsBinary)
        } else {
            Self::Event(EventFormat::Envelope)
        }
    }

    /// The content type and the content encoding to send.
    pub(super) fn properties(&self) -> (Option<&str>, Option<&str>) {
        match self {
            Self::Event(EventFormat::CloudEventsStructured) => (Some(cloud_events::CONTENT_TYPE), Some("utf-8")),
            Self::Event(_) => (Some("application/json"), Some("utf-8")),
            Self::Unsupported(unsupported) => {
                (unsupported.content_type.as_deref(), unsupported.content_encoding.as_deref())
            }
        }
    }
}

fn is_one_of(name: &str, known: &[&str]) -> bool {
    known.iter().any(|known| known.eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Message;

    #[test]
    fn the_properties_tell_the_format() {
        let of = |content_type, encoding| Content::of(content_type, encoding, &Headers::default());
        let envelope = Content::Event(EventFormat::Envelope);
        for content_type in [None, Some(""), Some("application/json"), Some("Application/JSON; charset=utf-8")] {
            assert_eq!(of(content_type, None), envelope, "{content_type:?}");
        }
        assert_eq!(of(None, Some("UTF-8")), envelope);
        let structured = Content::Event(EventFormat::CloudEventsStructured);
        assert_eq!(of(Some("application/cloudevents+json; charset=utf-8"), None), structured);
        let mut headers = Headers::default();
        headers.set("cloudEvents_specversion", "1.0".to_owned());
        let binary = Content::of(Some("application/json"), None, &headers);
        assert_eq!(binary, Content::Event(EventFormat::CloudEventsBinary));
    }

    #[test]
    fn what_cannot_be_read_is_named_and_kept() {
        let xml = Content::of(Some("text/xml"), None, &Headers::default());
        assert_eq!(xml.properties(), (Some("text/xml"), None));
        let message = Message { content: xml, ..Message::default() };
        assert!(message.event().unwrap_err().to_string().contains("text/xml"));
        let gzip = Content::of(Some("application/json"), Some("gzip"), &Headers::default());
        let message = Message { content: gzip, ..Message::default() };
        assert!(message.event().unwrap_err().to_string().contains("gzip"));
    }
}
