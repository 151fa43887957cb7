use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, Uri, header};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::json;
use url::form_urlencoded::Serializer;
use utoipa::ToSchema;

use super::CursorQuery;
use crate::{
    client::{self, ClientError},
    operation::{Description, Output},
    server::Json,
};

/// One page of a list that is read by cursor: `{"data": […], "pagination": {"limit": 10, "next": "…"}}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CursorPage<T> {
    /// The items of this page.
    pub data: Vec<T>,
    /// How to go on.
    pub pagination: CursorPagination,
}

/// How to go on from a [`CursorPage`].
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct CursorPagination {
    /// Items a page.
    pub limit: u32,
    /// The cursor of the next page; absent at the end of the list.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
    /// The cursor of the page before; absent at the beginning, and where a list is read in one direction only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prev: Option<String>,
}

/// A [`CursorPage`] as JSON, with its neighbours in `Link` (RFC 8288): `first`, and `prev` and `next` where they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CursorPageResponse<T> {
    page: CursorPage<T>,
    uri: Uri,
}

impl<T> CursorPageResponse<T> {
    /// A page that answers `query` at `uri`, the request's `OriginalUri`, whose other parameters the links keep.
    #[must_use]
    pub fn new(data: Vec<T>, query: &CursorQuery, uri: &Uri) -> Self {
        let pagination = CursorPagination { limit: query.limit, ..CursorPagination::default() };
        Self { page: CursorPage { data, pagination }, uri: uri.clone() }
    }

    /// With the cursor of the next page, if there is one.
    #[must_use]
    pub fn next(mut self, cursor: Option<String>) -> Self {
        self.page.pagination.next = cursor;
        self
    }

    /// With the cursor of the page before, if there is one.
    #[must_use]
    pub fn prev(mut self, cursor: Option<String>) -> Self {
        self.page.pagination.prev = cursor;
        self
    }

    fn link(&self) -> String {
        let CursorPagination { limit, next, prev } = &self.page.pagination;
        let kept = url::form_urlencoded::parse(self.uri.query().unwrap_or_default().as_bytes());
        let kept: Vec<_> = kept.filter(|(name, _)| !matches!(&**name, "cursor" | "limit")).collect();
        let link = |rel: &str, cursor: Option<&String>| {
            let mut query = Serializer::new(String::new());
            query.extend_pairs(&kept).append_pair("limit", &limit.to_string());
            if let Some(cursor) = cursor {
                query.append_pair("cursor", cursor);
            }
            format!("<{}?{}>; rel=\"{rel}\"", self.uri.path(), query.finish())
        };
        let mut links = vec![link("first", None)];
        links.extend(prev.iter().map(|cursor| link("prev", Some(cursor))));
        links.extend(next.iter().map(|cursor| link("next", Some(cursor))));
        links.join(", ")
    }
}

impl<T: Serialize> IntoResponse for CursorPageResponse<T> {
    fn into_response(self) -> Response {
        let link = self.link();
        let mut response = Json(self.page).into_response();
        // A path that was received is a valid header, and a query written anew is ASCII.
        if let Ok(link) = HeaderValue::try_from(link) {
            response.headers_mut().insert(header::LINK, link);
        }
        response
    }
}

impl<T: Serialize + DeserializeOwned + ToSchema + Send + 'static> Output for CursorPageResponse<T> {
    type Value = CursorPage<T>;

    fn describe(description: &mut Description) {
        let (item, pagination) = (description.schema::<T>(), description.schema::<CursorPagination>());
        let page = json!({
            "type": "object",
            "required": ["data", "pagination"],
            "properties": {"data": {"type": "array", "items": item}, "pagination": pagination},
        });
        let page = description.named_schema(&format!("CursorPageOf{}", T::name()), page);
        description.answer(StatusCode::OK, "One page.");
        description.content(StatusCode::OK, "application/json", page);
        let about = "The neighbours of the page (RFC 8288): `first`, `prev`, `next`.";
        description.header(StatusCode::OK, "link", about, json!({"type": "string"}));
    }

    async fn read(response: client::Response) -> Result<CursorPage<T>, ClientError> {
        response.json().await
    }
}
