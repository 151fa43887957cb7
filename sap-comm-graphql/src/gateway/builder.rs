use std::{fmt, sync::Arc};

use async_graphql::{ObjectType, Request, Schema, SubscriptionType};
use sap_comm_core::config::ConfigError;

use super::{Execute, GraphqlGateway, GraphqlOptions, Parts, Prepare};
use crate::{Authenticate, RequestScope, complete::Types};

/// Builds a [`GraphqlGateway`].
#[must_use]
pub struct GraphqlGatewayBuilder {
    options: GraphqlOptions,
    sdl: String,
    execute: Execute,
    prepare: Vec<Prepare>,
    authenticate: Option<Arc<dyn Authenticate>>,
    anonymous: bool,
}

impl GraphqlGatewayBuilder {
    pub(super) fn new<Q, M, S>(schema: Schema<Q, M, S>) -> Self
    where
        Q: ObjectType + 'static,
        M: ObjectType + 'static,
        S: SubscriptionType + 'static,
    {
        let sdl = schema.sdl();
        let execute: Execute = Arc::new(move |request| {
            let schema = schema.clone();
            Box::pin(async move { schema.execute(request).await })
        });
        Self {
            options: GraphqlOptions::default(),
            sdl,
            execute,
            prepare: Vec::new(),
            authenticate: None,
            anonymous: false,
        }
    }

    /// Limits and switches.
    pub fn options(mut self, options: GraphqlOptions) -> Self {
        self.options = options;
        self
    }

    /// Turns introspection, suggestions and the playground off.
    pub fn production(mut self) -> Self {
        self.options = self.options.production();
        self
    }

    /// Who a caller is: an [`Authenticator`](sap_comm_rest::server::auth::Authenticator), a
    /// [`JwtVerifier`](sap_comm_core::auth::JwtVerifier), or your own. A request without a principal is
    /// then refused. Without this, the principal is the one of the context that the request arrives in, if any.
    pub fn authenticate(mut self, authenticate: impl Authenticate) -> Self {
        self.authenticate = Some(Arc::new(authenticate));
        self
    }

    /// Lets requests through that carry no credential; resolvers decide. A wrong credential is still refused.
    pub fn allow_anonymous(mut self) -> Self {
        self.anonymous = true;
        self
    }

    /// Puts what belongs to one request into its data: data sources, data loaders.
    ///
    /// One loader a request, never one for all: else a caller sees what was loaded for another.
    pub fn per_request(mut self, prepare: impl Fn(&RequestScope, Request) -> Request + Send + Sync + 'static) -> Self {
        self.prepare.push(Arc::new(prepare));
        self
    }

    /// Builds the gateway.
    ///
    /// # Errors
    /// When a value is out of bounds; the field is named.
    pub fn build(self) -> Result<GraphqlGateway, ConfigError> {
        self.options.validate()?;
        let Self { options, sdl, execute, prepare, authenticate, anonymous } = self;
        let types = Types::from_sdl(&sdl)
            .map_err(|error| ConfigError::new("schema", format_args!("its SDL cannot be read: {error}")))?;
        Ok(GraphqlGateway(Arc::new(Parts { options, types, execute, prepare, authenticate, anonymous })))
    }
}

impl fmt::Debug for GraphqlGatewayBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GraphqlGatewayBuilder").field("options", &self.options).finish_non_exhaustive()
    }
}
