use http::{HeaderValue, Uri, Version, uri::Authority};
use sap_comm_core::{ApiError, ErrorCode};

use super::Lines;

/// What headers say of where a body ends.
#[derive(Debug, Clone, Copy)]
pub(in crate::gateway) struct BodyLines<'a> {
    pub(in crate::gateway) codings: Lines<'a>,
    pub(in crate::gateway) lengths: Lines<'a>,
}

/// Refuses what leaves open where the body ends, and transfer codings that nobody here speaks.
///
/// Much of it never comes this far: the listener's guard and hyper refuse it from the raw bytes.
pub(in crate::gateway) fn check_framing(
    BodyLines { codings, lengths }: BodyLines<'_>,
    version: Version,
) -> Result<(), ApiError> {
    match (codings.first, codings.count) {
        (None, _) if lengths.count <= 1 => Ok(()),
        (None, _) => Err(malformed("The request has more than one Content-Length")),
        (Some(_), _) if version != Version::HTTP_11 => Err(malformed("Transfer-Encoding needs HTTP/1.1")),
        (Some(_), _) if lengths.count > 0 => {
            Err(malformed("The request has both Content-Length and Transfer-Encoding"))
        }
        (Some(coding), 1) if coding.as_bytes().eq_ignore_ascii_case(b"chunked") => Ok(()),
        _ => Err(ApiError::new(ErrorCode::NOT_IMPLEMENTED, "The only transfer coding served is chunked")),
    }
}

/// The one host that a request names, in its `Host` header, its target or both alike.
pub(in crate::gateway) fn host(
    Lines { first: named, count }: Lines<'_>,
    uri: &Uri,
    version: Version,
) -> Result<Option<HeaderValue>, ApiError> {
    if count > 1 {
        return Err(malformed("The request has more than one Host"));
    }
    if let Some(value) = named
        && !is_plain(value.as_bytes())
        && authority(value.as_bytes()).is_none()
    {
        return Err(malformed("The Host is not a host"));
    }
    match (uri.authority(), named) {
        (Some(target), _) if target.as_str().contains('@') => Err(malformed("The target holds credentials")),
        (Some(target), Some(named)) if !target.as_str().as_bytes().eq_ignore_ascii_case(named.as_bytes()) => {
            Err(malformed("The target and the Host differ"))
        }
        (Some(target), None) if version == Version::HTTP_2 => Ok(HeaderValue::from_str(target.as_str()).ok()),
        (_, None) if version == Version::HTTP_10 => Ok(None),
        (_, None) => Err(malformed("The request has no Host")),
        (_, Some(_)) => Ok(named.cloned()),
    }
}

/// A name or an IPv4 address with or without a port, as nearly every request has it.
fn is_plain(host: &[u8]) -> bool {
    let mut parts = host.splitn(2, |byte| *byte == b':');
    let name = parts.next().unwrap_or_default();
    let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-');
    let port = parts.next().is_none_or(|port| (1..=5).contains(&port.len()) && port.iter().all(u8::is_ascii_digit));
    !name.is_empty() && name.iter().all(is_name) && port
}

fn authority(text: &[u8]) -> Option<Authority> {
    let authority = Authority::try_from(text).ok()?;
    let valid = !authority.host().is_empty() && !authority.as_str().contains('@');
    valid.then_some(authority)
}

fn malformed(message: &str) -> ApiError {
    ApiError::new(ErrorCode::BAD_REQUEST, message)
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, header};

    use super::*;
    use crate::gateway::headers::lines_of;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, HeaderValue::from_static(value));
        }
        headers
    }

    fn framing(headers: &HeaderMap, version: Version) -> Result<(), ApiError> {
        let [codings, lengths] = lines_of(headers, [&header::TRANSFER_ENCODING, &header::CONTENT_LENGTH]);
        check_framing(BodyLines { codings, lengths }, version)
    }

    #[test]
    fn framing_is_unequivocal() {
        for (pairs, status) in [
            (&[("content-length", "5"), ("content-length", "5")][..], 400),
            (&[("content-length", "5"), ("transfer-encoding", "chunked")], 400),
            (&[("transfer-encoding", "gzip, chunked")], 501),
            (&[("transfer-encoding", "chunked"), ("transfer-encoding", "chunked")], 501),
        ] {
            let error = framing(&headers(pairs), Version::HTTP_11).unwrap_err();
            assert_eq!(error.status().as_u16(), status, "{pairs:?}");
        }
        let chunked = headers(&[("transfer-encoding", "Chunked")]);
        assert!(framing(&chunked, Version::HTTP_11).is_ok());
        assert!(framing(&chunked, Version::HTTP_10).is_err());
    }

    #[test]
    fn a_request_names_one_host() {
        let check = |pairs: &[_], uri: &'static str, version| {
            let headers = headers(pairs);
            let [hosts] = lines_of(&headers, [&header::HOST]);
            host(hosts, &Uri::from_static(uri), version).map(|host| host.map(|host| host.to_str().unwrap().to_owned()))
        };
        let v11 = Version::HTTP_11;
        assert_eq!(check(&[("host", "a.example:80")], "/", v11).unwrap().as_deref(), Some("a.example:80"));
        assert_eq!(check(&[("host", "A.example")], "http://a.example/", v11).unwrap().as_deref(), Some("A.example"));
        assert_eq!(check(&[], "http://a.example/", Version::HTTP_2).unwrap().as_deref(), Some("a.example"));
        assert_eq!(check(&[], "/", Version::HTTP_10).unwrap(), None);
        for (pairs, uri, version) in [
            (&[][..], "/", v11),
            (&[], "http://a.example/", v11),
            (&[("host", "a"), ("host", "a")], "/", v11),
            (&[("host", "a")], "http://b/", v11),
            (&[("host", "a")], "http://b/", Version::HTTP_2),
            (&[("host", "a@b")], "/", v11),
            (&[("host", "a/b")], "/", v11),
            (&[("host", "")], "/", v11),
        ] {
            assert!(check(pairs, uri, version).is_err(), "{pairs:?} {uri}");
        }
    }
}
