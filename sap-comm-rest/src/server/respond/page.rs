use axum::response::{IntoResponse, Response};
use http::{HeaderValue, Uri, header};
use sap_comm_core::Page;
use serde::Serialize;

use crate::server::Json;

/// A page as JSON, with its neighbours in `Link` (RFC 8288).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageResponse<T> {
    page: Page<T>,
    link: String,
}

impl<T> PageResponse<T> {
    /// A page that answers a request for `uri`, whose other parameters the links keep.
    ///
    /// Take the URI as axum's `OriginalUri`: within a nested router the request's own has lost its prefix.
    pub fn new(page: Page<T>, uri: &Uri) -> Self {
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        Self { link: page.pagination.link_header(path), page }
    }
}

impl<T: Serialize> IntoResponse for PageResponse<T> {
    fn into_response(self) -> Response {
        let mut response = Json(self.page).into_response();
        // A URI that was received is a valid header.
        if let Ok(link) = HeaderValue::try_from(self.link) {
            response.headers_mut().insert(header::LINK, link);
        }
        response
    }
}
