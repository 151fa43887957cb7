//! Users, and the profiles made from `user.created`.

mod profiles;
mod store;
mod users;

use sap_comm::{
    ErrorEnvelope, RunningService, Service,
    events::{EventRouter, outbox::Outbox},
    rest::{
        client::Client,
        server::{
            auth::{authenticate, require_role},
            docs,
        },
    },
};
use utoipa::OpenApi;
use utoipa_axum::{router::OpenApiRouter, routes};

use self::store::Store;
use crate::{
    auth_service,
    contract::events::USER_EVENTS,
    database::Database,
    deps::{Deps, StartError, inbox, outbox, with_database},
};

/// The name of the service.
pub const NAME: &str = "user-service";

#[derive(OpenApi)]
#[openapi(info(title = "user-service", description = "Users and their profiles"), components(schemas(ErrorEnvelope)))]
struct Api;

#[derive(Clone)]
struct State {
    store: Store,
    outbox: Outbox,
    auth: Client,
}

/// Starts the service.
///
/// # Errors
/// When a part that it needs cannot be used.
pub async fn start(deps: Deps) -> Result<RunningService, StartError> {
    let database = Database::open(&deps.database, NAME, store::SCHEMA).await?;
    let store = Store(database.clone());
    let broker = deps.broker.for_service(NAME);
    let service = Service::builder(NAME).listen(deps.listen).broker(&broker);
    let service = deps.registered(with_database(service, &database));
    let (service, outbox) = outbox(service, &broker, &database).await?;
    let (service, inbox) = inbox(service, NAME, &database).await?;

    let profile_maker = store.clone();
    let events = EventRouter::new().on(move |event| profiles::create(profile_maker.clone(), inbox.clone(), event));

    let admin = OpenApiRouter::new()
        .routes(routes!(users::list, users::create))
        .routes(routes!(users::update, users::delete))
        .route_layer(require_role("admin"));
    let own = OpenApiRouter::new()
        .routes(routes!(users::find))
        .routes(routes!(profiles::list))
        .routes(routes!(profiles::find));
    let (routes, openapi) =
        OpenApiRouter::with_openapi(Api::openapi()).nest("/api/v1", own.merge(admin)).split_for_parts();
    let state = State { store, outbox, auth: deps.service_client(auth_service::NAME)? };
    let routes = routes.layer(authenticate(deps.authenticator()?)).with_state(state);
    Ok(service.subscribe(USER_EVENTS, events).routes(routes).routes(docs(openapi)).build()?.start().await?)
}
