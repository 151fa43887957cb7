use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::ClientError;

/// RFC 3986 calls these unreserved.
const NOT_UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Fills each `{}` with a parameter, as exactly one segment.
pub(super) fn fill(template: &str, parameters: &[&str]) -> Result<String, ClientError> {
    if !template.starts_with('/') {
        return Err(ClientError::request(format!("the path {template:?} must begin with a slash")));
    }
    if template.contains(['?', '#']) {
        return Err(ClientError::request(format!("the path {template:?} must have no query: use .query(…)")));
    }
    let mut parts = template.split("{}");
    let mut path = parts.next().unwrap_or_default().to_owned();
    let mut parameters = parameters.iter();
    for part in parts {
        let parameter = parameters
            .next()
            .ok_or_else(|| ClientError::request(format!("the path {template:?} has more {{}} than parameters")))?;
        // These would name another resource than the one that was meant.
        if matches!(*parameter, "" | "." | "..") {
            return Err(ClientError::request(format!("{parameter:?} cannot be a segment of the path {template:?}")));
        }
        path.extend(utf8_percent_encode(parameter, NOT_UNRESERVED));
        path.push_str(part);
    }
    match parameters.next() {
        None => Ok(path),
        Some(_) => Err(ClientError::request(format!("the path {template:?} has fewer {{}} than parameters"))),
    }
}

#[cfg(test)]
mod tests {
    use percent_encoding::percent_decode_str;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_parameter_is_read_back_as_it_was(parameter in ".{0,40}") {
            prop_assume!(!matches!(parameter.as_str(), "" | "." | ".."));
            let path = fill("/users/{}/posts", &[&parameter]).unwrap();
            let segments: Vec<_> = path.split('/').collect();
            prop_assert_eq!(segments.len(), 4);
            prop_assert_eq!(percent_decode_str(segments[2]).decode_utf8().unwrap(), parameter.as_str());
            prop_assert!(http::Uri::try_from(path.as_str()).is_ok());
        }
    }

    #[test]
    fn a_parameter_stays_one_segment() {
        assert_eq!(fill("/users/{}/posts/{}", &["a/b?c", "é"]).unwrap(), "/users/a%2Fb%3Fc/posts/%C3%A9");
        assert_eq!(fill("/users", &[]).unwrap(), "/users");
    }

    #[test]
    fn what_would_name_something_else_is_refused() {
        for parameter in ["", ".", ".."] {
            assert!(fill("/users/{}", &[parameter]).is_err(), "{parameter:?}");
        }
        assert!(fill("/users/{}", &[]).is_err());
        assert!(fill("/users", &["1"]).is_err());
        assert!(fill("users", &[]).is_err());
        assert!(fill("/users?a=b", &[]).is_err());
    }
}
