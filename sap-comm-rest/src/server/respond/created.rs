use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use serde::Serialize;

use crate::server::Json;

/// What cannot stand in a URI; `%` can, so that an encoded location stays as it is.
const NOT_IN_URI: &AsciiSet = &CONTROLS.add(b' ').add(b'"').add(b'<').add(b'>').add(b'\\').add(b'^').add(b'`');

/// 201 with the `Location` of what was made, and its JSON.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Created<T> {
    location: String,
    body: T,
}

impl<T> Created<T> {
    /// Something was made at `location`, such as `/api/v1/users/usr_1`.
    pub fn at(location: impl Into<String>, body: T) -> Self {
        Self { location: location.into(), body }
    }
}

impl<T: Serialize> IntoResponse for Created<T> {
    fn into_response(self) -> Response {
        let mut response = (StatusCode::CREATED, Json(self.body)).into_response();
        let location = utf8_percent_encode(&self.location, NOT_IN_URI).to_string();
        if let Ok(location) = HeaderValue::try_from(location) {
            response.headers_mut().insert(header::LOCATION, location);
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_location_is_always_a_header() {
        let location = |text: &str| Created::at(text, ()).into_response().headers()[header::LOCATION].clone();
        assert_eq!(location("/users/usr_1?a=b%20c"), "/users/usr_1?a=b%20c");
        assert_eq!(location("/users/é\r\nSet-Cookie: a"), "/users/%C3%A9%0D%0ASet-Cookie:%20a");
    }
}
