//! The broker's version, and what it must be for what somebody asks for.

use std::{fmt, io};

use futures_util::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use lapin::types::{AMQPValue, FieldTable, parsing::parse_field_table};

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

pub(super) const STREAMS: Feature = Feature { name: "streams", since: Version(3, 9, 0) };

/// A broker that says more at first says it to somebody else.
const MAX_START: usize = 64 << 10;
const PROTOCOL: &[u8] = b"AMQP\x00\x00\x09\x01";
/// The type and channel of a frame, and its length.
const FRAME_HEADER: usize = 7;
/// Class and method of `connection.start`, and the version of the protocol.
const START_HEADER: &[u8] = &[0, 10, 0, 10, 0, 9];

/// Begins to speak AMQP and hears the broker out, which introduces itself before anybody logs in.
pub(super) async fn introduction<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S) -> io::Result<Version> {
    stream.write_all(PROTOCOL).await?;
    stream.flush().await?;
    let mut header = [0; FRAME_HEADER];
    stream.read_exact(&mut header).await?;
    let length = u32::from_be_bytes([header[3], header[4], header[5], header[6]]);
    let nonsense = || io::Error::new(io::ErrorKind::InvalidData, "it does not say which version it is");
    let length = usize::try_from(length).ok().filter(|length| *length <= MAX_START).ok_or_else(nonsense)?;
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await?;
    read(&body).ok_or_else(nonsense)
}

/// The version in a `connection.start`.
fn read(start: &[u8]) -> Option<Version> {
    let (_, properties): (_, FieldTable) = parse_field_table(start.strip_prefix(START_HEADER)?).ok()?;
    match properties.inner().get("version")? {
        AMQPValue::LongString(text) => Version::parse(&text.to_string()),
        AMQPValue::ShortString(text) => Version::parse(text.as_str()),
        _ => None,
    }
}

impl Version {
    fn parse(text: &str) -> Option<Self> {
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

    #[test]
    fn an_introduction_that_is_none_is_not_read() {
        for start in [&b""[..], b"HTTP/1.1 400", &[0, 10, 0, 10, 0, 9, 0, 0, 0, 9, 1]] {
            assert_eq!(read(start), None);
        }
    }
}
