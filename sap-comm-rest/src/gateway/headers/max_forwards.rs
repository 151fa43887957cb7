use http::{HeaderMap, header};

/// Whether a request is for whoever has it now; else it has a hop less from here on (RFC 9110, section 7.6.2).
pub(in crate::gateway) fn goes_no_further(headers: &mut HeaderMap) -> bool {
    let Some(told) = headers.get(header::MAX_FORWARDS) else { return false };
    match told.to_str().map(str::parse::<u64>) {
        Ok(Ok(0)) => true,
        Ok(Ok(hops)) => {
            headers.insert(header::MAX_FORWARDS, (hops - 1).into());
            false
        }
        _ => false,
    }
}
