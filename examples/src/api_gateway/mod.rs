//! The edge: REST routes, GraphQL, Socket.IO, the console.

mod admin;
mod console;
mod options;
mod realtime;
mod routes;

use std::{net::SocketAddr, num::NonZero, thread::available_parallelism, time::Duration};

use sap_comm::{
    RunningService, Service,
    events::{EventRouter, Subscription},
    rest::server::{CorsConfig, KitConfig, ServerConfig, kit},
    ws::{RealtimeGateway, RealtimeOptions},
};

pub use self::options::EdgeOptions;
use self::realtime::{Commands, Tokens, push};
use crate::{
    contract::events::NOTIFICATION_EVENTS,
    deps::{Deps, StartError},
    graphql,
    trusted_keys::following,
    user_service,
};

/// The name of the service.
pub const NAME: &str = "api-gateway";

/// Notifications that may wait for their devices at once.
const PUSHES: usize = 256;

/// Starts the service, and says where its admin page listens, if it has one.
///
/// # Errors
/// When a part that it needs cannot be used.
pub async fn start(deps: Deps, edge: EdgeOptions) -> Result<(RunningService, Option<SocketAddr>), StartError> {
    let broker = deps.broker.for_service(NAME);
    let authenticator = deps.authenticator()?;
    let cors = if edge.cors_origins.is_empty() { None } else { Some(CorsConfig::new(edge.cors_origins.clone())?) };
    let realtime = RealtimeGateway::builder()
        .authenticate(Tokens(authenticator.clone()))
        .options(RealtimeOptions { origins: edge.cors_origins.clone(), ..RealtimeOptions::default() })
        .same_origin()
        .sink(Commands(broker.clone()))
        .build()?;
    let users = deps.client(user_service::NAME).build()?;
    let pages = graphql::router(users, authenticator.clone())?.merge(console::router());
    // Socket.IO stays outside the kit, whose timeout is meant for requests that end; the fallback is the kit's.
    let local = realtime.router().merge(kit(pages, KitConfig::new(NAME)));
    let gateway = routes::gateway(&deps, &edge, authenticator.clone()).fallback(local);
    let gateway = match cors {
        Some(cors) => gateway.cors(cors),
        None => gateway,
    };
    let gateway = gateway.build()?;
    let mut server = ServerConfig::default();
    server.workers = available_parallelism().map_or(1, NonZero::get);

    let pusher = realtime.clone();
    let events = EventRouter::new().on(move |event| push(pusher.clone(), event));
    let service = Service::builder(NAME)
        .listen(deps.listen)
        .server(server)
        .broker(&broker)
        // Every gateway holds its own sockets, so each gets every notification.
        .subscribe(Subscription::new(NOTIFICATION_EVENTS).ephemeral().concurrency(PUSHES), events)
        .on_stop(move || async move {
            if let Err(error) = realtime.drain(Duration::from_secs(1)).await {
                tracing::warn!(%error, "sockets closed before all was acknowledged");
            }
            Ok(())
        })
        .gateway(gateway.clone());
    let (service, admin) = match edge.admin_listen {
        Some(address) => {
            let (service, address) = admin::serve(service, address, &gateway, authenticator, &deps, &edge).await?;
            (service, Some(address))
        }
        None => (service, None),
    };
    let service = following(service, &deps)?;
    Ok((deps.registered(service).build()?.start().await?, admin))
}
