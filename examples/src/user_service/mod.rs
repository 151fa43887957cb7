//! Users, and the profiles made from `user.created`.

mod profiles;
mod store;
mod users;

use sap_comm::{
    RunningService, Service,
    events::{EventRouter, outbox::Outbox},
    rest::{
        client::Client,
        server::{ContractRouter, docs},
    },
};

use self::store::Store;
use crate::{
    auth_service,
    contract::{
        api::{CREATE_USER, DELETE_USER, GET_PROFILE, GET_USER, LIST_PROFILES, LIST_USERS, UPDATE_USER, USER_SERVICE},
        events::USER_EVENTS,
    },
    database::Database,
    deps::{Deps, StartError, idempotency_keys, inbox, outbox, with_database},
    trusted_keys::following,
};

/// The name of the service.
pub const NAME: &str = USER_SERVICE.service();

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
    let service = following(service, &deps)?;
    let (service, outbox) = outbox(service, &broker, &database).await?;
    let (service, inbox) = inbox(service, NAME, &database).await?;

    let profile_maker = store.clone();
    let events = EventRouter::new().on(move |event| profiles::create(profile_maker.clone(), inbox.clone(), event));

    let state = State { store, outbox, auth: deps.service_client(auth_service::NAME)? };
    let routes = ContractRouter::new(&USER_SERVICE)
        .authenticate(deps.authenticator()?)
        .idempotency(idempotency_keys(&database).await?)
        .serve(LIST_USERS, users::list)
        .serve(GET_USER, users::find)
        .serve(CREATE_USER, users::create)
        .serve(UPDATE_USER, users::update)
        .serve(DELETE_USER, users::delete)
        .serve(LIST_PROFILES, profiles::list)
        .serve(GET_PROFILE, profiles::find)
        .build(state)?;
    Ok(service
        .subscribe(USER_EVENTS, events)
        .routes(routes)
        .routes(docs(USER_SERVICE.openapi()))
        .build()?
        .start()
        .await?)
}
