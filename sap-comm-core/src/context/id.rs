use std::{fmt, sync::Arc};

use crate::id;

/// A request or correlation id. Ours, and others that are no longer, take no memory of their own.
#[derive(Clone)]
pub(super) enum Id {
    Short { length: u8, bytes: [u8; SHORT] },
    Long(Arc<str>),
}

/// `req_` and 32 digits fit, with a little room.
const SHORT: usize = 38;

impl Id {
    /// A new request id.
    pub(super) fn request() -> Self {
        Self::from(id::request().as_str())
    }

    pub(super) fn as_str(&self) -> &str {
        match self {
            // It was a string when it was stored.
            Self::Short { length, bytes } => std::str::from_utf8(&bytes[..usize::from(*length)]).unwrap_or_default(),
            Self::Long(text) => text,
        }
    }
}

impl From<&str> for Id {
    fn from(text: &str) -> Self {
        match u8::try_from(text.len()) {
            Ok(length) if text.len() <= SHORT => {
                let mut bytes = [0; SHORT];
                bytes[..text.len()].copy_from_slice(text.as_bytes());
                Self::Short { length, bytes }
            }
            _ => Self::Long(text.into()),
        }
    }
}

impl PartialEq for Id {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl fmt::Debug for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

#[cfg(test)]
mod tests {
    use super::Id;

    #[test]
    fn an_id_of_any_length_is_kept() {
        for length in [0, 1, 37, 38, 39, 128] {
            let text = "é".repeat(length / 2) + &"x".repeat(length % 2);
            assert_eq!(Id::from(text.as_str()).as_str(), text);
        }
        assert_eq!(Id::request().as_str().len(), 36);
    }
}
