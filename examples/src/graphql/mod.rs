//! The specification's GraphQL schema over the REST API of the user service.

mod inputs;
mod mutation;
mod query;
mod sources;
mod user;

use async_graphql::{EmptySubscription, Schema};
use axum::Router;
use sap_comm::{
    config::ConfigError,
    graphql::{GraphqlGateway, RestDataSource},
    rest::{client::Client, server::auth::Authenticator},
};

use self::{
    mutation::Mutation,
    query::Query,
    sources::{ProfileApi, UserApi},
};

/// The schema of the specification.
pub type UserSchema = Schema<Query, Mutation, EmptySubscription>;

/// The schema, to be executed with the data sources of one request.
#[must_use]
pub fn schema() -> UserSchema {
    Schema::new(Query, Mutation, EmptySubscription)
}

/// Serves the schema at `/graphql`. The caller's token goes on to the user service, which decides what the caller may.
///
/// # Errors
/// When the gateway cannot be built.
pub fn router(users: Client, authenticator: Authenticator) -> Result<Router, ConfigError> {
    let gateway = GraphqlGateway::builder(schema())
        .authenticate(authenticator)
        .per_request(move |scope, request| {
            let users = RestDataSource::new(users.clone(), scope);
            let profiles = ProfileApi::new(users.clone());
            let profiles = scope.loader(profiles).max_batch_size(ProfileApi::MAX_BATCH);
            request.data(UserApi::new(users)).data(profiles)
        })
        .build()?;
    Ok(gateway.into_router())
}

#[cfg(test)]
mod tests;
