use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

/// Which page of a collection is asked for: `?page=1&limit=10`, counted from one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[cfg_attr(feature = "openapi", derive(utoipa::IntoParams), into_params(parameter_in = Query))]
pub struct PageQuery {
    /// The page, from 1.
    #[cfg_attr(feature = "openapi", param(required = false, minimum = 1, maximum = 2147483647, default = 1))]
    pub page: u32,
    /// Items a page, from 1 to [`PageQuery::MAX_LIMIT`].
    #[cfg_attr(feature = "openapi", param(required = false, minimum = 1, maximum = 100, default = 10))]
    pub limit: u32,
}

impl Default for PageQuery {
    /// The specification's defaults: the first page of ten.
    fn default() -> Self {
        Self { page: 1, limit: 10 }
    }
}

impl PageQuery {
    /// The last page that can be asked for: what every client's integers can hold.
    pub const MAX_PAGE: u32 = 2_147_483_647;

    /// The most items that one page may hold.
    pub const MAX_LIMIT: u32 = 100;

    /// Checks the bounds; the error names the field and its value.
    ///
    /// # Errors
    /// When `page` is 0 or above [`PageQuery::MAX_PAGE`], or `limit` is 0 or above [`PageQuery::MAX_LIMIT`].
    pub fn validate(self) -> Result<Self, (&'static str, String)> {
        if self.page == 0 || self.page > Self::MAX_PAGE {
            return Err(("page", format!("must be from 1 to {}, got {}", Self::MAX_PAGE, self.page)));
        }
        if self.limit == 0 || self.limit > Self::MAX_LIMIT {
            return Err(("limit", format!("must be from 1 to {}, got {}", Self::MAX_LIMIT, self.limit)));
        }
        Ok(self)
    }

    /// How many items come before this page.
    #[must_use]
    pub fn offset(self) -> u64 {
        u64::from(self.page.saturating_sub(1)) * u64::from(self.limit)
    }
}

/// One page of a collection: `{"data": […], "pagination": {…}}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Page<T> {
    /// The items of this page.
    pub data: Vec<T>,
    /// Where this page stands in the collection.
    pub pagination: Pagination,
}

/// Where a page stands in its collection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Pagination {
    /// The page, from 1.
    pub page: u32,
    /// Items a page.
    pub limit: u32,
    /// Items in the whole collection.
    pub total: u64,
    /// Pages in the whole collection.
    pub total_pages: u64,
}

impl<T> Page<T> {
    /// A page that answers `query` out of `total` items.
    #[must_use]
    pub fn new(data: Vec<T>, query: PageQuery, total: u64) -> Self {
        let total_pages = total.div_ceil(u64::from(query.limit.max(1)));
        Self { data, pagination: Pagination { page: query.page, limit: query.limit, total, total_pages } }
    }
}

impl Pagination {
    /// The `Link` header of RFC 8288: `first`, `prev`, `next` and `last`, keeping the other parameters of `path_and_query`.
    #[must_use]
    pub fn link_header(&self, path_and_query: &str) -> String {
        let (path, query) = path_and_query.split_once('?').unwrap_or((path_and_query, ""));
        let kept: Vec<_> = query
            .split('&')
            .filter(|pair| !pair.is_empty() && !matches!(pair.split('=').next(), Some("page" | "limit")))
            .collect();
        let mut header = String::new();
        let mut push = |rel: &str, page: u64| {
            let separator = if header.is_empty() { "" } else { ", " };
            let _ = write!(header, "{separator}<{path}?");
            for pair in &kept {
                let _ = write!(header, "{pair}&");
            }
            let _ = write!(header, "page={page}&limit={}>; rel=\"{rel}\"", self.limit);
        };
        let page = u64::from(self.page);
        push("first", 1);
        if page > 1 {
            push("prev", (page - 1).min(self.total_pages.max(1)));
        }
        if page < self.total_pages {
            push("next", page + 1);
        }
        push("last", self.total_pages.max(1));
        header
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_keep_the_other_parameters() {
        let page = Page::<()>::new(vec![], PageQuery { page: 2, limit: 10 }, 25);
        assert_eq!(
            page.pagination.link_header("/api/v1/users?role=admin&page=2"),
            "</api/v1/users?role=admin&page=1&limit=10>; rel=\"first\", \
             </api/v1/users?role=admin&page=1&limit=10>; rel=\"prev\", \
             </api/v1/users?role=admin&page=3&limit=10>; rel=\"next\", \
             </api/v1/users?role=admin&page=3&limit=10>; rel=\"last\""
        );
    }

    #[test]
    fn an_empty_collection_has_one_last_page() {
        let page = Page::<()>::new(vec![], PageQuery::default(), 0);
        assert_eq!(page.pagination.total_pages, 0);
        assert!(page.pagination.link_header("/u").ends_with("</u?page=1&limit=10>; rel=\"last\""));
    }

    #[test]
    fn bounds_are_named() {
        assert_eq!(PageQuery { page: 0, limit: 10 }.validate().unwrap_err().0, "page");
        assert_eq!(PageQuery { page: 1 << 31, limit: 10 }.validate().unwrap_err().0, "page");
        assert_eq!(PageQuery { page: 1, limit: 101 }.validate().unwrap_err().0, "limit");
        assert_eq!(PageQuery { page: u32::MAX, limit: 100 }.offset(), (u64::from(u32::MAX) - 1) * 100);
    }
}
