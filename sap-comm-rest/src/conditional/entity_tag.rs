use std::{fmt, str::FromStr};

use aws_lc_rs::digest::{SHA256, digest};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use http::HeaderValue;

/// The version of a representation: `"v7"`, or `W/"v7"` for one that is only as good as the same.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct EntityTag {
    opaque: String,
    weak: bool,
}

/// Content codings, and how the tag of a version in one ends.
#[cfg(feature = "compression")]
const CODINGS: [(&str, &str); 2] = [("gzip", "--gzip"), ("br", "--br")];

/// A text is no entity tag.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an entity tag is a text in double quotes, such as \"v7\" or W/\"v7\"")]
pub struct InvalidEntityTag;

impl EntityTag {
    /// A strong tag: what has it is the same to the byte.
    ///
    /// # Errors
    /// When `opaque` has a space, a quote, or a character that is not visible ASCII.
    pub fn strong(opaque: impl Into<String>) -> Result<Self, InvalidEntityTag> {
        let opaque = opaque.into();
        if opaque.bytes().all(is_etagc) { Ok(Self { opaque, weak: false }) } else { Err(InvalidEntityTag) }
    }

    /// A weak tag: what has it means the same.
    ///
    /// # Errors
    /// As [`EntityTag::strong`].
    pub fn weak(opaque: impl Into<String>) -> Result<Self, InvalidEntityTag> {
        Ok(Self { weak: true, ..Self::strong(opaque)? })
    }

    /// The strong tag of something that counts its changes.
    #[must_use]
    pub fn of_version(version: u64) -> Self {
        Self { opaque: format!("v{version}"), weak: false }
    }

    /// The strong tag of these bytes: half of their SHA-256.
    #[must_use]
    pub fn of_content(bytes: &[u8]) -> Self {
        let hash = digest(&SHA256, bytes);
        let half = hash.as_ref().get(..16).unwrap_or_default();
        Self { opaque: BASE64_URL_SAFE_NO_PAD.encode(half), weak: false }
    }

    /// Whether it is weak.
    #[must_use]
    pub fn is_weak(&self) -> bool {
        self.weak
    }

    /// Strong comparison: the same, and neither is weak.
    #[must_use]
    pub fn strong_eq(&self, other: &Self) -> bool {
        !self.weak && !other.weak && self.opaque == other.opaque
    }

    /// Weak comparison: the same, whether weak or not.
    #[must_use]
    pub fn weak_eq(&self, other: &Self) -> bool {
        self.opaque == other.opaque
    }

    pub(crate) fn header(&self) -> Option<HeaderValue> {
        // Only visible ASCII can have been taken.
        HeaderValue::try_from(self.to_string()).ok()
    }

    /// The strong tag of this version in a content coding; `None` where the tag is weak, and so names it already.
    #[cfg(feature = "compression")]
    pub(crate) fn coded(&self, coding: &str) -> Option<Self> {
        let known = CODINGS.iter().find(|(known, _)| *known == coding).filter(|_| !self.weak);
        known.map(|(_, suffix)| Self { opaque: format!("{}{suffix}", self.opaque), weak: false })
    }

    /// The coding that such a tag names.
    #[cfg(feature = "compression")]
    pub(crate) fn coding(&self) -> Option<&'static str> {
        CODINGS.iter().find(|(_, suffix)| self.opaque.ends_with(suffix)).map(|(coding, _)| *coding)
    }

    /// The tag that such a tag was made of.
    #[cfg(feature = "compression")]
    pub(crate) fn uncoded(&self) -> Option<Self> {
        let opaque = CODINGS.iter().find_map(|(_, suffix)| self.opaque.strip_suffix(suffix))?;
        Some(Self { opaque: opaque.to_owned(), weak: self.weak })
    }

    /// Takes a tag off the front of a text.
    pub(super) fn read(text: &str) -> Option<(Self, &str)> {
        let (weak, quoted) = match text.strip_prefix("W/") {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let (opaque, rest) = quoted.strip_prefix('"')?.split_once('"')?;
        opaque.bytes().all(is_etagc).then(|| (Self { opaque: opaque.to_owned(), weak }, rest))
    }
}

/// RFC 9110 also has the bytes beyond ASCII, which mean something else to everybody: we neither send nor take them.
fn is_etagc(byte: u8) -> bool {
    matches!(byte, 0x21 | 0x23..=0x7e)
}

impl FromStr for EntityTag {
    type Err = InvalidEntityTag;

    fn from_str(text: &str) -> Result<Self, InvalidEntityTag> {
        match Self::read(text) {
            Some((tag, "")) => Ok(tag),
            _ => Err(InvalidEntityTag),
        }
    }
}

impl fmt::Display for EntityTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\"{}\"", if self.weak { "W/" } else { "" }, self.opaque)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_compare_as_in_the_table_of_rfc_9110() {
        let tag = |text: &str| text.parse::<EntityTag>().unwrap();
        for (a, b, strong, weak) in [
            ("W/\"1\"", "W/\"1\"", false, true),
            ("W/\"1\"", "W/\"2\"", false, false),
            ("W/\"1\"", "\"1\"", false, true),
            ("\"1\"", "\"1\"", true, true),
        ] {
            assert_eq!((tag(a).strong_eq(&tag(b)), tag(a).weak_eq(&tag(b))), (strong, weak), "{a} {b}");
        }
    }

    #[test]
    fn a_tag_is_written_as_it_was_read() {
        for text in ["\"\"", "\"v7\"", "W/\"a,b\""] {
            assert_eq!(text.parse::<EntityTag>().unwrap().to_string(), text);
        }
        for text in ["", "v7", "\"v7", "w/\"v7\"", "\"v 7\"", "\"é\"", "\"a\"b"] {
            assert!(text.parse::<EntityTag>().is_err(), "{text}");
        }
        assert!(EntityTag::strong("a\"b").is_err());
        assert_ne!(EntityTag::of_content(b"a"), EntityTag::of_content(b"b"));
    }
}
