//! Notifications: made from events, pushed by the gateway, marked as read.

mod handlers;
mod notifications;
mod store;

use sap_comm::{
    RunningService, Service,
    events::EventRouter,
    rest::server::{ContractRouter, docs},
};

use self::{handlers::Handlers, store::Store};
use crate::{
    contract::{
        api::{GET_NOTIFICATION, LIST_NOTIFICATIONS, NOTIFICATION_SERVICE, READ_NOTIFICATION},
        events::{CONTENT_EVENTS, NOTIFICATION_COMMANDS, USER_EVENTS},
    },
    database::Database,
    deps::{Deps, StartError, inbox, outbox, with_database},
    trusted_keys::following,
    user_service,
};

/// The name of the service.
pub const NAME: &str = NOTIFICATION_SERVICE.service();

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

    let users = deps.service_client(user_service::NAME)?;
    let handlers = Handlers { store: store.clone(), inbox, outbox, users };
    let contents = handlers.clone();
    let contents = EventRouter::new().on(move |event| {
        let handlers = contents.clone();
        async move { handlers.notify_audience(event).await }
    });
    let users = handlers.clone();
    let users = EventRouter::new().on(move |event| {
        let handlers = users.clone();
        async move { handlers.forget_user(event).await }
    });
    let commands = EventRouter::new().on(move |command| {
        let handlers = handlers.clone();
        async move { handlers.mark_read(command).await }
    });

    let routes = ContractRouter::new(&NOTIFICATION_SERVICE)
        .authenticate(deps.authenticator()?)
        .serve(LIST_NOTIFICATIONS, notifications::list)
        .serve(GET_NOTIFICATION, notifications::find)
        .serve(READ_NOTIFICATION, notifications::read)
        .build(store)?;
    let service = service
        .subscribe(CONTENT_EVENTS, contents)
        .subscribe(USER_EVENTS, users)
        .subscribe(NOTIFICATION_COMMANDS, commands)
        .routes(routes)
        .routes(docs(NOTIFICATION_SERVICE.openapi()));
    Ok(service.build()?.start().await?)
}
