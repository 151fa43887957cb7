//! What the broker says when it closes a channel or a connection.

use crate::{TopologyError, amqp};

/// A reply code and text, as AMQP defines them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) code: u16,
    pub(super) text: String,
}

/// The user may not do it.
pub(super) const ACCESS_REFUSED: u16 = 403;
/// There is no such queue or exchange.
pub(super) const NOT_FOUND: u16 = 404;
/// It belongs to another connection.
pub(super) const RESOURCE_LOCKED: u16 = 405;
/// It exists with other properties.
pub(super) const PRECONDITION_FAILED: u16 = 406;

impl Refusal {
    /// The broker's words, if the error is its own.
    pub(super) fn of(error: &amqp::Error) -> Option<Self> {
        error.refusal().map(|(code, text)| Self { code, text: text.to_owned() })
    }

    /// The difference between what was declared as `object` and what exists.
    pub(super) fn difference(self, object: String) -> TopologyError {
        let mut error = TopologyError::new(object, self.text);
        let detail = &error.detail;
        // inequivalent arg 'x' for queue 'q' in vhost '/': received none but current is the value '5' of type 'long'
        let quoted = detail.split_once("inequivalent arg '").and_then(|(_, rest)| rest.split_once('\''));
        if let Some((name, rest)) = quoted {
            error.argument = Some(name.to_owned());
            // A long text is cut by the broker.
            if let Some((received, current)) =
                rest.rsplit_once(": received ").and_then(|(_, values)| values.split_once(" but current is "))
            {
                (error.expected, error.found) = (Some(value(received)), Some(value(current)));
            }
        } else if self.code == RESOURCE_LOCKED {
            error.argument = Some("exclusive".to_owned());
            (error.expected, error.found) = (Some("false".to_owned()), Some("true".to_owned()));
        }
        error
    }
}

/// `'true'`, `none`, or `the value '5' of type 'long'`.
fn value(text: &str) -> String {
    match text.split_once('\'').and_then(|(_, rest)| rest.split_once('\'')) {
        Some((value, _)) if !value.is_empty() => value.to_owned(),
        Some(_) => "an empty text".to_owned(),
        None => text.trim().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn difference(code: u16, text: &str) -> TopologyError {
        Refusal { code, text: text.to_owned() }.difference("queue \"a\"".to_owned())
    }

    #[test]
    fn a_difference_names_the_argument_and_both_values() {
        let head = "PRECONDITION_FAILED - inequivalent arg";
        for (text, shown) in [
            (
                "'x-message-ttl' for queue 'a' in vhost '/': received none but current is the value '5' of type 'signedint'",
                "in x-message-ttl: expected none, found 5",
            ),
            (
                "'x-queue-type' for queue 'a' in vhost '/': received the value 'quorum' of type 'longstr' but current is none",
                "in x-queue-type: expected quorum, found none",
            ),
            (
                "'durable' for queue 'a' in vhost '/': received 'true' but current is 'false'",
                "in durable: expected true, found false",
            ),
            (
                "'type' for exchange 'a' in vhost '/': received 'topic' but current is 'fanout'",
                "in type: expected topic, found fanout",
            ),
        ] {
            let error = difference(PRECONDITION_FAILED, &format!("{head} {text}"));
            assert_eq!(error.to_string(), format!("queue \"a\" differs from what is declared {shown}"));
        }
        let locked =
            difference(RESOURCE_LOCKED, "RESOURCE_LOCKED - cannot obtain exclusive access to locked queue 'a'");
        assert_eq!(locked.argument.as_deref(), Some("exclusive"));
    }

    #[test]
    fn a_text_that_was_cut_is_shown_as_it_is() {
        let error = difference(PRECONDITION_FAILED, "inequivalent arg 'x-message-ttl' for queue 'aaaa");
        assert_eq!((error.argument.as_deref(), error.expected.as_deref()), (Some("x-message-ttl"), None));
        assert!(error.to_string().ends_with("for queue 'aaaa"), "{error}");
    }
}
