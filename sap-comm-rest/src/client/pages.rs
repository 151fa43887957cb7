use futures_util::{Stream, StreamExt, stream};
use http::{HeaderMap, Method};
use sap_comm_core::{Context, Page, PageQuery};
use serde::{Serialize, de::DeserializeOwned};
use url::form_urlencoded::{self, Serializer};

use super::{Call, CallError, Client, ClientError, RequestBuilder, payload::Payload, request::Spec};
use crate::{
    cursor::{CursorPage, CursorPageResponse, CursorQuery},
    operation::ErrorCodes,
    server::PageResponse,
};

/// A page that knows which one follows.
trait Onward: DeserializeOwned {
    type Query: Serialize + Send;

    /// The query of the page behind this one, which answered `asked`.
    fn onward(&self, asked: &Self::Query) -> Option<Self::Query>;
}

impl<T: DeserializeOwned> Onward for Page<T> {
    type Query = PageQuery;

    fn onward(&self, asked: &PageQuery) -> Option<PageQuery> {
        // An empty page ends the walk whatever the total says, so that a wrong total cannot make it endless.
        let more = !self.data.is_empty() && u64::from(asked.page) < self.pagination.total_pages;
        let page = asked.page.checked_add(1).filter(|_| more)?;
        Some(PageQuery { page, limit: asked.limit })
    }
}

impl<T: DeserializeOwned> Onward for CursorPage<T> {
    type Query = CursorQuery;

    fn onward(&self, asked: &CursorQuery) -> Option<CursorQuery> {
        // A cursor that leads to itself would make the walk endless.
        let cursor = self.pagination.next.clone().filter(|next| asked.cursor.as_ref() != Some(next))?;
        Some(CursorQuery { cursor: Some(cursor), limit: asked.limit })
    }
}

/// A collection on its way through its pages.
struct Walk<Q> {
    client: Client,
    path: String,
    query: String,
    headers: HeaderMap,
    timeout: std::time::Duration,
    context: Context,
    next: Q,
}

impl RequestBuilder {
    /// Fetches a collection page by page, `limit` items each, from the first to the last.
    ///
    /// One page is fetched at a time, when the stream is polled; it ends after an error. All calls belong to the context
    /// that this was called in; its deadline counts for the whole stream.
    pub fn pages<T: DeserializeOwned>(self, limit: u32) -> impl Stream<Item = Result<Page<T>, ClientError>> + Send {
        self.walk::<Page<T>>(PageQuery { page: 1, limit })
    }

    /// Fetches a collection by its cursors, `limit` items a page, from its beginning to its end; see
    /// [`RequestBuilder::pages`].
    pub fn cursor_pages<T: DeserializeOwned>(
        self,
        limit: u32,
    ) -> impl Stream<Item = Result<CursorPage<T>, ClientError>> + Send {
        self.walk::<CursorPage<T>>(CursorQuery::first(limit))
    }

    fn walk<P: Onward>(self, first: P::Query) -> impl Stream<Item = Result<P, ClientError>> + Send {
        let Self { client, spec } = self;
        let walk = spec.and_then(|spec| match spec {
            Spec { method: Method::GET, payload: Payload::Empty, path, query, headers, timeout, .. } => {
                let query = without_page(&query);
                Ok(Walk { client, path, query, headers, timeout, context: Context::current(), next: first })
            }
            _ => Err(ClientError::request("pages are fetched by GET, without a body")),
        });
        stream::unfold(Some(walk), |walk| async {
            match walk? {
                Ok(walk) => Some(walk.step::<P>().await),
                Err(error) => Some((Err(error), None)),
            }
        })
    }
}

impl<T: DeserializeOwned, E: ErrorCodes> Call<PageResponse<T>, E> {
    /// Fetches the list page by page, `limit` items each, whichever page was asked for; see [`RequestBuilder::pages`].
    pub fn pages(self, limit: u32) -> impl Stream<Item = Result<Page<T>, CallError<E>>> + Send {
        self.into_request().pages(limit).map(|page| page.map_err(CallError::from))
    }
}

impl<T: DeserializeOwned, E: ErrorCodes> Call<CursorPageResponse<T>, E> {
    /// Fetches the list by its cursors, `limit` items a page, whichever page was asked for; see [`RequestBuilder::pages`].
    pub fn pages(self, limit: u32) -> impl Stream<Item = Result<CursorPage<T>, CallError<E>>> + Send {
        self.into_request().cursor_pages(limit).map(|page| page.map_err(CallError::from))
    }
}

type Step<P> = (Result<P, ClientError>, Option<Result<Walk<<P as Onward>::Query>, ClientError>>);

impl<Q: Serialize + Send> Walk<Q> {
    async fn step<P: Onward<Query = Q>>(mut self) -> Step<P> {
        let mut request = RequestBuilder::new(self.client.clone(), Method::GET, Ok(self.path.clone()));
        if let Ok(spec) = &mut request.spec {
            spec.query.clone_from(&self.query);
            spec.headers.clone_from(&self.headers);
            spec.timeout = self.timeout;
        }
        let fetched = self.context.clone().scope(request.query(&self.next).fetch::<P>()).await;
        let page = match fetched {
            Ok(page) => page,
            Err(error) => return (Err(error), None),
        };
        match page.onward(&self.next) {
            Some(next) => {
                self.next = next;
                (Ok(page), Some(Ok(self)))
            }
            None => (Ok(page), None),
        }
    }
}

/// A query without what says which page is asked for.
fn without_page(query: &str) -> String {
    let kept = form_urlencoded::parse(query.as_bytes());
    let kept = kept.filter(|(name, _)| !matches!(&**name, "page" | "limit" | "cursor"));
    Serializer::new(String::new()).extend_pairs(kept).finish()
}
