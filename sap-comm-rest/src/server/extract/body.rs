use std::error::Error;

use axum::extract::{
    FromRequest, Request,
    rejection::{BytesRejection, FailedToBufferBody},
};
use bytes::Bytes;
use http::{HeaderMap, header};
use http_body_util::LengthLimitError;
use sap_comm_core::{ApiError, ErrorCode};
use serde::de::DeserializeOwned;

use super::{shortened, strict::Strict};
use crate::server::kit::BodyStalled;

/// The whole body of a request that says it is JSON.
pub(super) async fn read<S: Send + Sync>(request: Request, state: &S) -> Result<Bytes, ApiError> {
    check_content_type(request.headers())?;
    Bytes::from_request(request, state).await.map_err(|rejection| refusal(&rejection))
}

fn check_content_type(headers: &HeaderMap) -> Result<(), ApiError> {
    let text = headers.get(header::CONTENT_TYPE).map(|value| value.to_str().unwrap_or_default());
    if text.is_some_and(is_json) {
        return Ok(());
    }
    let message = match text {
        Some(text) => format!("The content type must be application/json, not {:?}", shortened(text)),
        None => "The content type must be application/json, and there is none".to_owned(),
    };
    Err(ApiError::new(ErrorCode::UNSUPPORTED_MEDIA_TYPE, message))
}

/// `application/json` or `application/…+json`, in UTF-8.
fn is_json(content_type: &str) -> bool {
    let mut parts = content_type.split(';').map(|part| part.trim().to_ascii_lowercase());
    let media = parts.next().unwrap_or_default();
    let json = media
        .strip_prefix("application/")
        .is_some_and(|subtype| subtype == "json" || (subtype.len() > 5 && subtype.ends_with("+json")));
    json && parts.all(|parameter| match parameter.strip_prefix("charset=") {
        Some(charset) => matches!(charset.trim_matches('"'), "utf-8" | "utf8"),
        None => true,
    })
}

pub(in crate::server) fn refusal(rejection: &BytesRejection) -> ApiError {
    let too_large = || ApiError::new(ErrorCode::PAYLOAD_TOO_LARGE, "The body is too large");
    if let BytesRejection::FailedToBufferBody(FailedToBufferBody::LengthLimitError(_)) = rejection {
        return too_large();
    }
    // Found at any depth: a limit may stand outside of what decompresses.
    let mut cause: Option<&(dyn Error + 'static)> = Some(rejection);
    while let Some(error) = cause {
        if error.is::<LengthLimitError>() {
            return too_large();
        }
        if error.is::<BodyStalled>() {
            return ApiError::new(ErrorCode::REQUEST_TIMEOUT, "The body stopped arriving");
        }
        // An `io::Error` skips the error that it holds.
        cause = match error.downcast_ref::<std::io::Error>() {
            Some(error) => error.get_ref().map(|error| error as &(dyn Error + 'static)),
            None => error.source(),
        };
    }
    ApiError::new(ErrorCode::BAD_REQUEST, "The body could not be read")
}

/// Parses a body; the error says where it went wrong.
pub(super) fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, ApiError> {
    let mut parser = serde_json::Deserializer::from_slice(body);
    let value = serde_path_to_error::deserialize(Strict(&mut parser)).map_err(|error| {
        let path = error.path().to_string();
        // What is broken before it has a name is told by where it stands.
        let known = path.trim_end_matches('?').trim_end_matches('.');
        malformed(error.inner(), (!known.is_empty()).then(|| known.to_owned()))
    })?;
    parser.end().map_err(|error| malformed(&error, None))?;
    Ok(value)
}

fn malformed(error: &serde_json::Error, path: Option<String>) -> ApiError {
    let what = error.to_string();
    let place = format!(" at line {} column {}", error.line(), error.column());
    let reason = shortened(what.strip_suffix(&place).unwrap_or(&what));
    let message = match &path {
        Some(path) => format!("The body is not as expected at {}: {reason}", shortened(path)),
        None => format!("The body is not as expected: {reason}"),
    };
    let error =
        ApiError::new(ErrorCode::MALFORMED_BODY, message).detail("line", error.line()).detail("column", error.column());
    match path {
        Some(path) => error.detail("path", shortened(&path)),
        None => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_json_in_utf_8_is_json() {
        for text in ["application/json", "Application/JSON; charset=UTF-8", "application/vnd.sap.user+json"] {
            assert!(is_json(text), "{text}");
        }
        for text in [
            "",
            "text/plain",
            "application/jsonp",
            "application/json; charset=latin1",
            "application/+json",
            "text/json",
        ] {
            assert!(!is_json(text), "{text}");
        }
    }

    #[test]
    fn the_place_of_a_mistake_is_named() {
        #[derive(Debug, serde::Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Profile {
            #[expect(dead_code, reason = "only read")]
            first_name: String,
        }
        #[derive(Debug, serde::Deserialize)]
        struct Input {
            #[expect(dead_code, reason = "only read")]
            profile: Profile,
        }
        let error = parse::<Input>(b"{\"profile\":\n {\"firstName\": 7}}").unwrap_err();
        assert_eq!(error.details()["path"], "profile.firstName");
        assert_eq!((&error.details()["line"], &error.details()["column"]), (&2.into(), &16.into()));
        assert_eq!(
            error.message(),
            "The body is not as expected at profile.firstName: invalid type: integer `7`, expected a string"
        );
        for (text, path) in [("{bad", None), ("{\"profile\": {bad", Some("profile")), ("7", None)] {
            let error = parse::<Input>(text.as_bytes()).unwrap_err();
            assert_eq!(error.details().get("path").and_then(|path| path.as_str()), path, "{text}: {error}");
        }
        assert_eq!(parse::<u8>(b"1 2").unwrap_err().message(), "The body is not as expected: trailing characters");
        // A struct is no list of its fields, however deep it lies.
        for body in ["[]", "[{\"firstName\":\"a\"}]", "{\"profile\":[\"a\"]}"] {
            assert!(
                parse::<Input>(body.as_bytes()).unwrap_err().message().contains("invalid type: sequence"),
                "{body}"
            );
        }
        let deep = "[".repeat(10_000);
        assert!(parse::<serde_json::Value>(deep.as_bytes()).unwrap_err().message().contains("recursion limit"));
    }
}
