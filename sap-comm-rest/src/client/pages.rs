use futures_util::{Stream, stream};
use http::{HeaderMap, Method};
use sap_comm_core::{Context, Page, PageQuery};
use serde::de::DeserializeOwned;

use super::{Client, ClientError, RequestBuilder, payload::Payload, request::Spec};

/// A collection on its way through its pages.
struct Walk {
    client: Client,
    path: String,
    query: String,
    headers: HeaderMap,
    timeout: std::time::Duration,
    context: Context,
    next: PageQuery,
}

impl RequestBuilder {
    /// Fetches a collection page by page, `limit` items each, from the first to the last.
    ///
    /// One page is fetched at a time, when the stream is polled; it ends after an error. All calls belong to the context
    /// that this was called in; its deadline counts for the whole stream.
    pub fn pages<T: DeserializeOwned>(self, limit: u32) -> impl Stream<Item = Result<Page<T>, ClientError>> + Send {
        let Self { client, spec } = self;
        let next = PageQuery { page: 1, limit };
        let walk = spec.and_then(|spec| match spec {
            Spec { method: Method::GET, payload: Payload::Empty, path, query, headers, timeout, .. } => {
                Ok(Walk { client, path, query, headers, timeout, context: Context::current(), next })
            }
            _ => Err(ClientError::request("pages are fetched by GET, without a body")),
        });
        stream::unfold(Some(walk), |walk| async {
            match walk? {
                Ok(walk) => Some(walk.step().await),
                Err(error) => Some((Err(error), None)),
            }
        })
    }
}

type Step<T> = (Result<Page<T>, ClientError>, Option<Result<Walk, ClientError>>);

impl Walk {
    async fn step<T: DeserializeOwned>(mut self) -> Step<T> {
        let mut request = RequestBuilder::new(self.client.clone(), Method::GET, Ok(self.path.clone()));
        if let Ok(spec) = &mut request.spec {
            spec.query.clone_from(&self.query);
            spec.headers.clone_from(&self.headers);
            spec.timeout = self.timeout;
        }
        let fetched = self.context.clone().scope(request.query(&self.next).fetch::<Page<T>>()).await;
        let page = match fetched {
            Ok(page) => page,
            Err(error) => return (Err(error), None),
        };
        // An empty page ends the walk whatever the total says, so that a wrong total cannot make it endless.
        let more = !page.data.is_empty() && u64::from(self.next.page) < page.pagination.total_pages;
        match self.next.page.checked_add(1).filter(|_| more) {
            Some(number) => {
                self.next.page = number;
                (Ok(page), Some(Ok(self)))
            }
            None => (Ok(page), None),
        }
    }
}
