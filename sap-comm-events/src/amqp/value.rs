use super::encode::Encoder;

/// A value of a header or an argument, borrowed from where it stands.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Value<'a> {
    /// A text or bytes: AMQP does not tell them apart.
    Text(&'a [u8]),
    Bool(bool),
    Int(i64),
    Float(f64),
    /// Seconds since the Unix epoch.
    Timestamp(u64),
    /// Of a type that means nothing to this crate: the letter of its type and its bytes, as they stand on the wire.
    Other(&'a [u8]),
}

impl<'a> Value<'a> {
    pub(crate) fn text(text: &'a str) -> Self {
        Self::Text(text.as_bytes())
    }

    /// The letter of its type and its bytes, as they stand on the wire.
    pub(crate) fn to_bytes(self) -> Vec<u8> {
        let mut bytes = Vec::new();
        Encoder(&mut bytes).value(self);
        bytes
    }
}
