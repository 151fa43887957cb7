use std::{fmt, ops::Deref, str::FromStr};

use serde::{Deserialize, Serialize};
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{ObjectBuilder, RefOr, Schema, Type},
};

/// The id of something in a path: 1 to 64 letters, digits, `_` and `-`, as `sap_comm_core::id::prefixed` makes them.
///
/// Such an id is read alike by every router and proxy on the way, since nothing in it is ever percent-encoded.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ResourceId(String);

/// A text is no [`ResourceId`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an id has 1 to 64 letters, digits, _ and -")]
pub struct InvalidResourceId;

impl ResourceId {
    /// The most characters of an id.
    pub const MAX: usize = 64;

    /// What an id looks like, as a regular expression.
    pub const PATTERN: &'static str = "^[A-Za-z0-9_-]{1,64}$";

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for ResourceId {
    type Error = InvalidResourceId;

    fn try_from(text: String) -> Result<Self, InvalidResourceId> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
        if (1..=Self::MAX).contains(&text.len()) && text.bytes().all(allowed) {
            Ok(Self(text))
        } else {
            Err(InvalidResourceId)
        }
    }
}

impl FromStr for ResourceId {
    type Err = InvalidResourceId;

    fn from_str(text: &str) -> Result<Self, InvalidResourceId> {
        text.to_owned().try_into()
    }
}

impl From<ResourceId> for String {
    fn from(id: ResourceId) -> Self {
        id.0
    }
}

impl Deref for ResourceId {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ResourceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl PartialSchema for ResourceId {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new().schema_type(Type::String).pattern(Some(Self::PATTERN)).into()
    }
}

impl ToSchema for ResourceId {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_needs_no_encoding_is_an_id() {
        for text in ["usr_0197", "a", "A-b_9", &"x".repeat(64)] {
            assert!(text.parse::<ResourceId>().is_ok(), "{text}");
        }
        for text in ["", "a/b", "a b", "..", "é", "a%2f", &"x".repeat(65)] {
            assert!(text.parse::<ResourceId>().is_err(), "{text}");
        }
    }
}
