use std::borrow::Cow;

use http::{HeaderValue, Method, Uri, header, request::Parts};
use sap_comm_core::{ApiError, ErrorCode};

use super::{
    Refusal,
    headers::{BodyLines, check_framing, host, lines_of},
    path::normalize,
};

/// What is read from a request before anybody decides about it.
#[derive(Debug)]
pub(super) struct Screened<'a> {
    /// The one reading of the path.
    pub(super) path: Cow<'a, str>,
    pub(super) host: Option<HeaderValue>,
}

/// Refuses what two readers could understand in two ways.
pub(super) fn screen<'a>(parts: &Parts, uri: &'a Uri) -> Result<Screened<'a>, Refusal> {
    let names = [&header::TRANSFER_ENCODING, &header::CONTENT_LENGTH, &header::HOST, &header::AUTHORIZATION];
    let [codings, lengths, hosts, credentials] = lines_of(&parts.headers, names);
    check_framing(BodyLines { codings, lengths }, parts.version).map_err(Refusal::closing)?;
    if parts.method == Method::CONNECT || parts.method == Method::TRACE {
        let error = ApiError::new(ErrorCode::METHOD_NOT_ALLOWED, format!("{} is not served", parts.method));
        return Err(Refusal::closing(error));
    }
    let host = host(hosts, uri, parts.version).map_err(Refusal::closing)?;
    if credentials.count > 1 {
        let error = ApiError::new(ErrorCode::BAD_REQUEST, "The request has more than one Authorization");
        return Err(error.into());
    }
    Ok(Screened { path: normalize(uri.path())?, host })
}
