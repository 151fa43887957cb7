//! The edge: REST routes, GraphQL, Socket.IO, the console.

mod console;
mod realtime;
mod routes;

use std::time::Duration;

use sap_comm::{
    RunningService, Service,
    events::{EventRouter, Subscription},
    rest::server::{KitConfig, kit},
    ws::{RealtimeGateway, RealtimeOptions},
};

use self::realtime::{Commands, Tokens, push};
use crate::{
    contract::events::NOTIFICATION_EVENTS,
    deps::{Deps, StartError},
    graphql, user_service,
};

/// The name of the service.
pub const NAME: &str = "api-gateway";

/// Notifications that may wait for their devices at once.
const PUSHES: usize = 256;

/// Starts the service.
///
/// # Errors
/// When a part that it needs cannot be used.
pub async fn start(deps: Deps, cors_origins: Vec<String>) -> Result<RunningService, StartError> {
    let broker = deps.broker.for_service(NAME);
    let authenticator = deps.authenticator()?;
    let realtime = RealtimeGateway::builder()
        .authenticate(Tokens(authenticator.clone()))
        .options(RealtimeOptions { origins: cors_origins, ..RealtimeOptions::default() })
        .same_origin()
        .sink(Commands(broker.clone()))
        .build()?;
    let users = deps.client(user_service::NAME).build()?;
    let pages = graphql::router(users, authenticator.clone())?.merge(console::router());
    // Socket.IO stays outside the kit, whose timeout is meant for requests that end; the fallback is the kit's.
    let local = realtime.router().merge(kit(pages, KitConfig::new(NAME)));
    let gateway = routes::gateway(&deps, authenticator).fallback(local).build()?;

    let pusher = realtime.clone();
    let events = EventRouter::new().on(move |event| push(pusher.clone(), event));
    let service = Service::builder(NAME)
        .listen(deps.listen)
        .broker(&broker)
        // Every gateway holds its own sockets, so each gets every notification.
        .subscribe(Subscription::new(NOTIFICATION_EVENTS).ephemeral().concurrency(PUSHES), events)
        .on_stop(move || async move {
            if let Err(error) = realtime.drain(Duration::from_secs(1)).await {
                tracing::warn!(%error, "sockets closed before all was acknowledged");
            }
            Ok(())
        })
        .edge(gateway.into_router());
    Ok(deps.registered(service).build()?.start().await?)
}
