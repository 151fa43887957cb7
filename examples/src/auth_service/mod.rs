//! Login, refresh, published keys, API keys.

mod api_keys;
mod credentials;
mod issuer;
mod login;
mod password;
mod store;

use std::{sync::Arc, time::Duration};

use sap_comm::{
    RunningService, Service,
    auth::ApiKeys,
    events::EventRouter,
    rest::server::{ContractRouter, docs},
};

use self::{issuer::Issuer, password::Passwords, store::Store};
use crate::{
    contract::{
        api::{
            ACTIVATE_CREDENTIALS, AUTH_SERVICE, CREATE_API_KEY, DELETE_CREDENTIALS, JWKS, LIST_API_KEY_RECORDS,
            LIST_API_KEYS, LOGIN, PREPARE_CREDENTIALS, REFRESH, REVOKE_API_KEY,
        },
        events::USER_EVENTS,
    },
    database::Database,
    deps::{Deps, StartError, with_database},
};

/// The name of the service.
pub const NAME: &str = AUTH_SERVICE.service();

/// What other instances on the same database did to the API keys is seen within twice as long.
const KEYS_FOLLOWED_EVERY: Duration = Duration::from_secs(2);

#[derive(Clone)]
struct State {
    store: Store,
    issuer: Arc<Issuer>,
    passwords: Passwords,
    api_keys: ApiKeys<Store>,
}

/// Starts the service.
///
/// # Errors
/// When a part that it needs cannot be used.
pub async fn start(deps: Deps) -> Result<RunningService, StartError> {
    let database = Database::open(&deps.database, NAME, store::SCHEMA).await?;
    let store = Store(database.clone());
    let authenticator = deps.authenticator()?;
    let state = State {
        issuer: Arc::new(Issuer::load(&store).await?),
        api_keys: ApiKeys::load(store.clone(), deps.trusted_keys.all().clone()).await?,
        passwords: Passwords::new(),
        store: store.clone(),
    };
    let followed = state.api_keys.follow(KEYS_FOLLOWED_EVERY)?;

    let routes = ContractRouter::new(&AUTH_SERVICE)
        .authenticate(authenticator)
        .serve(LOGIN, login::login)
        .serve(REFRESH, login::refresh)
        .serve(JWKS, login::jwks)
        .serve(LIST_API_KEYS, api_keys::list)
        .serve(CREATE_API_KEY, api_keys::create)
        .serve(REVOKE_API_KEY, api_keys::revoke)
        .serve(LIST_API_KEY_RECORDS, api_keys::records)
        .serve(PREPARE_CREDENTIALS, credentials::prepare)
        .serve(ACTIVATE_CREDENTIALS, credentials::activate)
        .serve(DELETE_CREDENTIALS, credentials::delete)
        .build(state)?;

    let created = store.clone();
    let events = EventRouter::new()
        .on(move |event| credentials::created(created.clone(), event))
        .on(move |event| credentials::updated(store.clone(), event));
    let broker = deps.broker.for_service(NAME);
    let service = Service::builder(NAME).listen(deps.listen).broker(&broker).subscribe(USER_EVENTS, events);
    let service = deps.registered(with_database(service, &database));
    // Before the database closes.
    let service = service.on_drain(move || async move {
        drop(followed);
        Ok(())
    });
    Ok(service.routes(routes).routes(docs(AUTH_SERVICE.openapi())).build()?.start().await?)
}

/// The address that credentials are found by.
fn normalised(email: &str) -> String {
    email.trim().to_lowercase()
}
