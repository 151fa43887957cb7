use std::{borrow::Borrow, cmp::Ordering, fmt, hash, ops::Deref, sync::Arc};

use arrayvec::ArrayString;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A name or an id: short text that is cheap to make and to clone, and reads as `&str`.
///
/// Up to 40 bytes take no memory of their own; clones of longer text share it.
///
/// ```
/// use sap_comm_core::Name;
///
/// let source = Name::from("auth-service");
/// assert_eq!(source, "auth-service");
/// assert!(source.starts_with("auth"));
/// let text: String = source.into();
/// # drop(text);
/// ```
#[derive(Clone)]
pub struct Name(Repr);

#[derive(Clone)]
enum Repr {
    Short(ArrayString<SHORT>),
    Long(Arc<str>),
}

/// A short prefix and a UUID with its dashes fit.
const SHORT: usize = 40;

impl Name {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match &self.0 {
            Repr::Short(text) => text,
            Repr::Long(text) => text,
        }
    }
}

impl Default for Name {
    fn default() -> Self {
        Self(Repr::Short(ArrayString::new()))
    }
}

impl From<&str> for Name {
    fn from(text: &str) -> Self {
        Self(ArrayString::from(text).map_or_else(|_| Repr::Long(text.into()), Repr::Short))
    }
}

impl From<String> for Name {
    fn from(text: String) -> Self {
        Self::from(text.as_str())
    }
}

impl From<&String> for Name {
    fn from(text: &String) -> Self {
        Self::from(text.as_str())
    }
}

impl From<&Self> for Name {
    fn from(name: &Self) -> Self {
        name.clone()
    }
}

impl From<Name> for String {
    fn from(name: Name) -> Self {
        name.as_str().to_owned()
    }
}

impl Deref for Name {
    type Target = str;

    fn deref(&self) -> &str {
        self.as_str()
    }
}

impl AsRef<str> for Name {
    fn as_ref(&self) -> &str {
        self.as_str()
    }
}

impl Borrow<str> for Name {
    fn borrow(&self) -> &str {
        self.as_str()
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self.as_str(), f)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl PartialEq for Name {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for Name {}

impl PartialOrd for Name {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Name {
    fn cmp(&self, other: &Self) -> Ordering {
        self.as_str().cmp(other.as_str())
    }
}

impl hash::Hash for Name {
    fn hash<H: hash::Hasher>(&self, state: &mut H) {
        self.as_str().hash(state);
    }
}

/// Comparisons with text of whatever type, in both directions.
macro_rules! compare_with {
    ($($text:ty),*) => {$(
        impl PartialEq<$text> for Name {
            fn eq(&self, other: &$text) -> bool {
                self.as_bytes() == other.as_bytes()
            }
        }

        impl PartialEq<Name> for $text {
            fn eq(&self, other: &Name) -> bool {
                other == self
            }
        }
    )*};
}

compare_with!(str, &str, String);

impl Serialize for Name {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self)
    }
}

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;

        impl de::Visitor<'_> for Visitor {
            type Value = Name;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Name, E> {
                Ok(text.into())
            }
        }

        deserializer.deserialize_str(Visitor)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn text_of_any_length_is_kept() {
        for length in [0, 1, SHORT - 1, SHORT, SHORT + 1, 300] {
            let text = "é".repeat(length / 2) + &"x".repeat(length % 2);
            let name = Name::from(&text);
            assert_eq!((name.as_str(), name.len()), (text.as_str(), length));
            assert_eq!(String::from(name.clone()), text);
            assert_eq!(serde_json::to_string(&name).unwrap(), serde_json::to_string(&text).unwrap());
            assert_eq!(serde_json::from_str::<Name>(&format!("{text:?}")).unwrap(), name);
        }
    }

    #[test]
    fn it_compares_and_hashes_as_its_text() {
        let (short, long) = (Name::from("b"), Name::from("a".repeat(SHORT + 1)));
        assert_eq!(short, "b");
        assert_eq!("b", short);
        assert_eq!(short, String::from("b"));
        assert_ne!(short, "b\0");
        assert_ne!(short, long);
        assert_eq!(long, Name::from("a".repeat(SHORT + 1)));
        assert!(long < short && short > Name::default() && Name::default().is_empty());
        let names = HashSet::from([short, long]);
        assert!(names.contains("b") && names.contains("a".repeat(SHORT + 1).as_str()) && !names.contains("a"));
    }

    #[test]
    fn what_is_no_string_is_refused() {
        let error = serde_json::from_str::<Name>("7").unwrap_err().to_string();
        assert!(error.contains("expected a string"), "{error}");
    }
}
