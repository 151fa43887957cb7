//! The broker's version, and what it must be for what somebody asks for.

use std::fmt;

/// Major, minor and patch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Version(u32, u32, u32);

/// Something that older brokers take for something else without a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Feature {
    pub(super) name: &'static str,
    pub(super) since: Version,
}

/// Their delayed retries need a time to live, which came later than the queues themselves.
pub(super) const QUORUM_QUEUES: Feature =
    Feature { name: "quorum queues with delayed retries", since: Version(3, 10, 0) };

pub(super) const SINGLE_ACTIVE: Feature =
    Feature { name: "queues with a single active consumer", since: Version(3, 8, 0) };

pub(super) const STREAMS: Feature = Feature { name: "streams", since: Version(3, 9, 0) };

impl Version {
    /// The version that a broker says it is.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let digits = |part: &str| part.split(|c: char| !c.is_ascii_digit()).next().and_then(|part| part.parse().ok());
        let mut parts = text.split('.');
        Some(Self(digits(parts.next()?)?, digits(parts.next()?)?, parts.next().and_then(digits).unwrap_or(0)))
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.0, self.1, self.2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_and_compared() {
        let version = |text| Version::parse(text).unwrap();
        assert!(version("3.9.29") < version("3.10.8") && version("3.13.7") < version("4.0.0-rc.1"));
        assert_eq!(version("4.1+dev").to_string(), "4.1.0");
        assert_eq!(Version::parse("unknown"), None);
    }
}
