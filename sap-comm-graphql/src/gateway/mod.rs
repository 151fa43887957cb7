//! The gateway: what a service holds.

mod builder;
mod options;

use std::{fmt, sync::Arc};

use async_graphql::{ObjectType, Request, Response, Schema, SubscriptionType};
use axum::{Router, routing::any};
use futures_util::future::BoxFuture;

pub use self::{builder::GraphqlGatewayBuilder, options::GraphqlOptions};
use crate::{Authenticate, RequestScope, complete::Types, http};

type Execute = Arc<dyn Fn(Request) -> BoxFuture<'static, Response> + Send + Sync>;
type Prepare = Arc<dyn Fn(&RequestScope, Request) -> Request + Send + Sync>;

/// Serves a schema over HTTP.
///
/// ```
/// use async_graphql::{EmptyMutation, EmptySubscription, Object, Schema};
/// use sap_comm_graphql::GraphqlGateway;
///
/// struct Query;
///
/// #[Object]
/// impl Query {
///     async fn hello(&self) -> &str {
///         "world"
///     }
/// }
///
/// let schema = Schema::new(Query, EmptyMutation, EmptySubscription);
/// let app: axum::Router = GraphqlGateway::builder(schema).build()?.into_router();
/// # Ok::<(), sap_comm_core::config::ConfigError>(())
/// ```
#[derive(Clone)]
pub struct GraphqlGateway(Arc<Parts>);

/// What every request of a gateway shares.
pub(crate) struct Parts {
    pub(crate) options: GraphqlOptions,
    pub(crate) types: Types,
    pub(crate) execute: Execute,
    pub(crate) prepare: Vec<Prepare>,
    pub(crate) authenticate: Option<Arc<dyn Authenticate>>,
    pub(crate) anonymous: bool,
}

impl GraphqlGateway {
    /// Starts to build a gateway for a schema.
    pub fn builder<Q, M, S>(schema: Schema<Q, M, S>) -> GraphqlGatewayBuilder
    where
        Q: ObjectType + 'static,
        M: ObjectType + 'static,
        S: SubscriptionType + 'static,
    {
        GraphqlGatewayBuilder::new(schema)
    }

    /// The routes, by default `/graphql`: merge them into the service's router.
    pub fn into_router(self) -> Router {
        let path = self.0.options.path.clone();
        Router::new().route(&path, any(http::serve)).with_state(self.0)
    }
}

impl fmt::Debug for GraphqlGateway {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GraphqlGateway").field("options", &self.0.options).finish_non_exhaustive()
    }
}
