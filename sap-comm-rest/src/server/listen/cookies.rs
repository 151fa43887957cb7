use http::{HeaderMap, HeaderValue, header};

/// Makes one field of cookies that came in several, as HTTP/2 may send them: whoever is told nothing of HTTP/2 expects one
/// (RFC 9113, section 8.2.3).
pub(crate) fn join_cookies(headers: &mut HeaderMap) {
    let cookies = headers.get_all(header::COOKIE);
    if cookies.iter().nth(1).is_none() {
        return;
    }
    let joined = cookies.iter().map(HeaderValue::as_bytes).collect::<Vec<_>>().join(&b"; "[..]);
    // Of values that are good themselves.
    if let Ok(mut joined) = HeaderValue::from_maybe_shared(bytes::Bytes::from(joined)) {
        joined.set_sensitive(true);
        headers.insert(header::COOKIE, joined);
    }
}
