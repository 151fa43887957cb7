use std::borrow::Cow;

use percent_encoding::percent_decode_str;
use sap_comm_core::{ApiError, ErrorCode};

/// Why a path is refused: two readers could disagree on what it names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PathFault {
    NotAbsolute,
    Encoding,
    DoubleEncoding,
    Separator,
    Control,
    Parameter,
    DotSegment,
    EmptySegment,
    NotUtf8,
}

impl PathFault {
    fn message(self) -> &'static str {
        match self {
            Self::NotAbsolute => "The path must begin with a slash",
            Self::Encoding => {
                "The path holds a percent sign without two hexadecimal digits, or a raw byte beyond ASCII"
            }
            Self::DoubleEncoding => "The path is percent-encoded twice",
            Self::Separator => "The path holds a backslash or an encoded separator",
            Self::Control => "The path holds a control character",
            Self::Parameter => "The path holds a semicolon",
            Self::DotSegment => "The path holds a dot segment",
            Self::EmptySegment => "The path holds an empty segment",
            Self::NotUtf8 => "The path is not UTF-8",
        }
    }
}

impl From<PathFault> for ApiError {
    fn from(fault: PathFault) -> Self {
        Self::new(ErrorCode::BAD_REQUEST, fault.message())
    }
}

/// The one reading of a path that routing, authorization and forwarding share.
///
/// Encoded unreserved characters are decoded, the digits of other encodings put in upper case, and characters that a URI
/// may not hold encoded. What a service behind could read in another way is refused, not repaired.
pub(super) fn normalize(path: &str) -> Result<Cow<'_, str>, PathFault> {
    if !path.starts_with('/') {
        return Err(PathFault::NotAbsolute);
    }
    let normal = if path.bytes().all(is_plain) { Cow::Borrowed(path) } else { Cow::Owned(recode(path.as_bytes())?) };
    check_segments(&normal)?;
    Ok(normal)
}

fn recode(path: &[u8]) -> Result<String, PathFault> {
    let mut normal = String::with_capacity(path.len() + 8);
    let mut beyond_ascii = false;
    let mut at = 0;
    while let Some(&byte) = path.get(at) {
        at += 1;
        match byte {
            b'%' => {
                let decoded = hex_pair(path.get(at..at + 2)).ok_or(PathFault::Encoding)?;
                at += 2;
                check_decoded(decoded, path.get(at..at + 2))?;
                beyond_ascii |= !decoded.is_ascii();
                if is_unreserved(decoded) {
                    normal.push(char::from(decoded))
                } else {
                    push_encoded(&mut normal, decoded)
                }
            }
            b';' => return Err(PathFault::Parameter),
            b'\\' => return Err(PathFault::Separator),
            0..=0x20 | 0x7f => return Err(PathFault::Control),
            0x80.. => return Err(PathFault::Encoding),
            _ if is_plain(byte) => normal.push(char::from(byte)),
            _ => push_encoded(&mut normal, byte),
        }
    }
    if beyond_ascii && percent_decode_str(&normal).decode_utf8().is_err() {
        return Err(PathFault::NotUtf8);
    }
    Ok(normal)
}

fn check_decoded(decoded: u8, following: Option<&[u8]>) -> Result<(), PathFault> {
    match decoded {
        b'/' | b'\\' => Err(PathFault::Separator),
        b';' => Err(PathFault::Parameter),
        0..=0x1f | 0x7f => Err(PathFault::Control),
        b'%' if hex_pair(following).is_some() => Err(PathFault::DoubleEncoding),
        _ => Ok(()),
    }
}

fn check_segments(path: &str) -> Result<(), PathFault> {
    // By bytes: to look for a character in a text takes a few times as long where they are short.
    let mut segments = path.as_bytes().split(|byte| *byte == b'/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        match segment {
            b"." | b".." => return Err(PathFault::DotSegment),
            // A trailing slash is the one empty segment that means something.
            b"" if segments.peek().is_some() => return Err(PathFault::EmptySegment),
            _ => {}
        }
    }
    Ok(())
}

fn hex_pair(digits: Option<&[u8]>) -> Option<u8> {
    let [high, low] = *digits? else { return None };
    let (high, low) = (char::from(high).to_digit(16)?, char::from(low).to_digit(16)?);
    u8::try_from(high * 16 + low).ok()
}

fn push_encoded(text: &mut String, byte: u8) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    text.push('%');
    text.push(char::from(DIGITS[usize::from(byte >> 4)]));
    text.push(char::from(DIGITS[usize::from(byte & 15)]));
}

/// The characters that mean the same encoded or not (RFC 3986, 2.3).
pub(super) fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

/// What a path may hold as it stands.
fn is_plain(byte: u8) -> bool {
    is_unreserved(byte)
        || matches!(byte, b'/' | b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b',' | b'=' | b':' | b'@')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn one_name_has_one_spelling() {
        for (path, normal) in [
            ("/", "/"),
            ("/api/v1/users/", "/api/v1/users/"),
            ("/%61dmin", "/admin"),
            ("/a%c3%a9", "/a%C3%A9"),
            ("/a%3ab", "/a%3Ab"),
            ("/100%25", "/100%25"),
            ("/a|b", "/a%7Cb"),
            ("/a...b/..c", "/a...b/..c"),
        ] {
            assert_eq!(normalize(path).as_deref(), Ok(normal), "{path}");
        }
    }

    #[test]
    fn what_could_be_read_twice_is_refused() {
        for (path, fault) in [
            ("*", PathFault::NotAbsolute),
            ("", PathFault::NotAbsolute),
            ("/a/../b", PathFault::DotSegment),
            ("/a/.", PathFault::DotSegment),
            ("/a/%2e%2e/b", PathFault::DotSegment),
            ("/a/.%2E", PathFault::DotSegment),
            ("/a/..;/b", PathFault::Parameter),
            ("/a;x=1", PathFault::Parameter),
            ("/a%3bx", PathFault::Parameter),
            ("/a%2fb", PathFault::Separator),
            ("/a%5Cb", PathFault::Separator),
            ("/a\\b", PathFault::Separator),
            ("//a", PathFault::EmptySegment),
            ("/a//b", PathFault::EmptySegment),
            ("/a//", PathFault::EmptySegment),
            ("/a%00", PathFault::Control),
            ("/a%0d%0aX", PathFault::Control),
            ("/a%7f", PathFault::Control),
            ("/%252e%252e/a", PathFault::DoubleEncoding),
            ("/a%2541", PathFault::DoubleEncoding),
            ("/a%", PathFault::Encoding),
            ("/a%4", PathFault::Encoding),
            ("/a%zz", PathFault::Encoding),
            ("/a%+1", PathFault::Encoding),
            ("/é", PathFault::Encoding),
            ("/%c0%ae%c0%ae/", PathFault::NotUtf8),
        ] {
            assert_eq!(normalize(path), Err(fault), "{path}");
        }
    }

    proptest! {
        #[test]
        fn a_normal_path_is_its_own_normal_form(path in "/[a-z%0-9A-F./;é|]{0,24}") {
            if let Ok(normal) = normalize(&path) {
                prop_assert_eq!(normalize(&normal), Ok(Cow::Borrowed(&*normal)));
                let decoded = percent_decode_str(&normal).decode_utf8().unwrap();
                let climbs = decoded.split(['/', '\\']).any(|segment| segment == "..");
                prop_assert!(!climbs);
            }
        }
    }
}
