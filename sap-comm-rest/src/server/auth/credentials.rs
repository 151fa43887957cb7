use http::{HeaderMap, HeaderName, HeaderValue, header};
use sap_comm_core::{ApiError, ErrorCode, auth::AuthError, header::API_KEY};

/// What a request shows to say who it is from.
#[derive(Debug, Default)]
pub(super) struct Credentials<'a> {
    pub(super) token: Option<&'a str>,
    pub(super) api_key: Option<&'a str>,
}

impl<'a> Credentials<'a> {
    /// Reads them strictly: two of the same kind are refused, since another party might look at the other one.
    /// Without tokens an `Authorization` may be of any scheme, and is not looked at.
    pub(super) fn read(headers: &'a HeaderMap, takes_tokens: bool) -> Result<Self, ApiError> {
        let authorization = single(headers, &header::AUTHORIZATION)?.filter(|_| takes_tokens);
        let token = authorization.map(|value| bearer(text(value)?)).transpose()?;
        let api_key = single(headers, &HeaderName::from_static(API_KEY))?.map(text).transpose()?;
        Ok(Self { token, api_key })
    }
}

fn single<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a HeaderValue>, ApiError> {
    let mut values = headers.get_all(name).iter();
    let first = values.next();
    if values.next().is_some() {
        return Err(ApiError::new(ErrorCode::BAD_REQUEST, format!("There are several {name} headers")));
    }
    Ok(first)
}

fn text(value: &HeaderValue) -> Result<&str, ApiError> {
    Ok(value.to_str().map_err(|_| AuthError::Invalid("a credential is not ASCII"))?.trim())
}

/// RFC 6750; the name of the scheme in any case.
fn bearer(value: &str) -> Result<&str, ApiError> {
    match value.split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => Ok(token.trim_start()),
        _ => Err(AuthError::Invalid("the scheme is not Bearer").into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(values: &[(&'static str, &'static str)]) -> HeaderMap {
        let pair = |(name, value): &(&'static str, &'static str)| {
            (HeaderName::from_static(name), HeaderValue::from_static(value))
        };
        values.iter().map(pair).collect()
    }

    #[test]
    fn credentials_are_read_strictly() {
        let good = headers(&[("authorization", "bearer  abc"), ("x-api-key", "sap_a_b")]);
        let read = Credentials::read(&good, true).unwrap();
        assert_eq!((read.token, read.api_key), (Some("abc"), Some("sap_a_b")));
        for (bad, status) in [
            (&[("authorization", "Bearer a"), ("authorization", "Bearer a")][..], 400),
            (&[("x-api-key", "a"), ("x-api-key", "b")], 400),
            (&[("authorization", "Basic YTpi")], 401),
            (&[("authorization", "abc")], 401),
        ] {
            assert_eq!(Credentials::read(&headers(bad), true).unwrap_err().status().as_u16(), status, "{bad:?}");
        }
    }
}
