//! Content: drafted, published, announced.

mod contents;
mod store;

use sap_comm::{
    RunningService, Service,
    auth::OpaqueToken,
    events::outbox::Outbox,
    rest::{
        cursor::CursorSealer,
        server::{ContractRouter, docs},
    },
};

use self::store::Store;
use crate::{
    contract::api::{CONTENT_SERVICE, CREATE_CONTENT, GET_CONTENT, LIST_CONTENTS, LIST_CONTENTS_V2, PUBLISH_CONTENT},
    database::Database,
    deps::{Deps, StartError, outbox, with_database},
    trusted_keys::following,
};

/// The name of the service.
pub const NAME: &str = CONTENT_SERVICE.service();

#[derive(Clone)]
struct State {
    store: Store,
    outbox: Outbox,
    cursors: CursorSealer,
}

/// Starts the service.
///
/// # Errors
/// When a part that it needs cannot be used.
pub async fn start(deps: Deps) -> Result<RunningService, StartError> {
    let database = Database::open(&deps.database, NAME, store::SCHEMA).await?;
    let broker = deps.broker.for_service(NAME);
    let service = Service::builder(NAME).listen(deps.listen).broker(&broker);
    let service = deps.registered(with_database(service, &database));
    let service = following(service, &deps)?;
    let (service, outbox) = outbox(service, &broker, &database).await?;

    let store = Store(database);
    let secret = store.cursor_secret(OpaqueToken::generate()?.expose()).await?;
    let cursors = CursorSealer::builder(secret).build()?;
    let routes = ContractRouter::new(&CONTENT_SERVICE)
        .authenticate(deps.authenticator()?)
        .serve(LIST_CONTENTS, contents::list)
        .serve(LIST_CONTENTS_V2, contents::list_on)
        .serve(GET_CONTENT, contents::find)
        .serve(CREATE_CONTENT, contents::create)
        .serve(PUBLISH_CONTENT, contents::publish)
        .build(State { store, outbox, cursors })?;
    Ok(service.routes(routes).routes(docs(CONTENT_SERVICE.openapi())).build()?.start().await?)
}
