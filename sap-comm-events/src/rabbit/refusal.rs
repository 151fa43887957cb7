//! What the broker says when it closes a channel or a connection.

use lapin::ErrorKind;

use crate::TopologyError;

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
/// It exists with other properties.
pub(super) const PRECONDITION_FAILED: u16 = 406;

impl Refusal {
    /// The broker's words, if the error is its own.
    pub(super) fn of(error: &lapin::Error) -> Option<Self> {
        match error.kind() {
            ErrorKind::ProtocolError(error) => {
                Some(Self { code: error.get_id(), text: error.get_message().to_string() })
            }
            _ => None,
        }
    }

    /// The difference between what was declared as `object` and what exists.
    pub(super) fn difference(self, object: String) -> TopologyError {
        let quoted = self.text.split_once("inequivalent arg '").and_then(|(_, rest)| rest.split_once('\''));
        TopologyError { object, argument: quoted.map(|(name, _)| name.to_owned()), detail: self.text }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_names_the_argument() {
        let text = "PRECONDITION_FAILED - inequivalent arg 'x-message-ttl' for queue 'a' in vhost '/': received none";
        let refusal = Refusal { code: PRECONDITION_FAILED, text: text.to_owned() };
        let error = refusal.difference("queue \"a\"".to_owned());
        assert_eq!(error.argument.as_deref(), Some("x-message-ttl"));
        assert!(
            error.to_string().starts_with("queue \"a\" differs from what is declared in x-message-ttl: "),
            "{error}"
        );
    }
}
