use std::{fmt, hash::Hash, sync::Arc};

use async_graphql::dataloader::{DataLoader, HashMapCache, Loader};
use http::HeaderMap;
use sap_comm_core::{Context, Principal, Secret};
use tokio_util::sync::{CancellationToken, DropGuard};
use tracing::Instrument;

use crate::authenticate::bearer;

/// What belongs to one GraphQL request. Resolvers get it as `ctx.data::<RequestScope>()`.
#[derive(Clone)]
pub struct RequestScope(Arc<Inner>);

struct Inner {
    context: Context,
    token: Option<Secret<String>>,
    ended: CancellationToken,
}

impl RequestScope {
    /// A scope, and the guard whose drop ends its loaders.
    pub(crate) fn new(context: Context, headers: &HeaderMap) -> (Self, DropGuard) {
        let token = bearer(headers).map(|token| Secret::new(token.to_owned()));
        let ended = CancellationToken::new();
        let guard = ended.clone().drop_guard();
        (Self(Arc::new(Inner { context, token, ended })), guard)
    }

    /// The context of the request.
    #[must_use]
    pub fn context(&self) -> &Context {
        &self.0.context
    }

    /// Who asks.
    #[must_use]
    pub fn principal(&self) -> Option<&Principal> {
        self.0.context.principal().map(Arc::as_ref)
    }

    /// The caller's bearer token, to be forwarded to services.
    #[must_use]
    pub fn token(&self) -> Option<&Secret<String>> {
        self.0.token.as_ref()
    }

    /// A data loader for this request alone: it batches and caches, runs in the request's context, and ends with it.
    pub fn loader<K, L>(&self, loader: L) -> DataLoader<L, HashMapCache>
    where
        K: Send + Sync + Hash + Eq + Clone + 'static,
        L: Loader<K>,
    {
        let (context, ended) = (self.0.context.clone(), self.0.ended.clone());
        let spawn = move |batch| {
            let batch = context.clone().scope(batch).in_current_span();
            let ended = ended.clone();
            // Ends with the request: the guard of the scope cancels it.
            drop(tokio::spawn(async move { ended.run_until_cancelled_owned(batch).await }));
        };
        DataLoader::with_cache(loader, spawn, HashMapCache::default())
    }
}

impl fmt::Debug for RequestScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestScope").field("context", &self.0.context).finish_non_exhaustive()
    }
}
