//! What every service of the topology is given.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use sap_comm::{
    Endpoint, Registrar, Resolver, Secret, ServiceBuilder,
    auth::JwtVerifier,
    events::{
        Broker,
        inbox::Inbox,
        outbox::{Outbox, RelayConfig},
    },
    rest::{
        client::{Client, ClientBuilder},
        server::{
            auth::{Authenticator, JwksSource},
            idempotency::{IdempotencyStore, SqlIdempotencyStore},
        },
        tls::{ClientTls, ServerTls},
    },
};

use crate::{
    database::{Database, DatabaseUrl},
    trusted_keys::TrustedKeys,
};

/// Why a service of the topology cannot start.
pub type StartError = sap_comm::BoxError;

/// Who issues tokens.
pub const ISSUER: &str = "auth-service";
/// Whom tokens are for.
pub const AUDIENCE: &str = "super-admin-panel";

/// What every service of the topology is given.
#[derive(Debug, Clone)]
pub struct Deps {
    /// The broker.
    pub broker: Broker,
    /// Where the databases are.
    pub database: DatabaseUrl,
    /// Finds the other services.
    pub resolver: Arc<dyn Resolver>,
    /// Announces this one, where services announce themselves.
    pub registrar: Option<Arc<dyn Registrar>>,
    /// Where to listen.
    pub listen: SocketAddr,
    /// What to announce instead, where others reach it by another address.
    pub advertise: Option<Endpoint>,
    /// The key that this service calls others with.
    pub service_key: Option<Secret<String>>,
    /// The keys of the services that call this one.
    pub trusted_keys: TrustedKeys,
    /// The certificates that this service serves with; in clear text without.
    pub tls: Option<ServerTls>,
    /// Whom it trusts where others serve with certificates, and what it shows them.
    pub client_tls: ClientTls,
    /// How long it has to drain.
    pub drain_timeout: Duration,
}

impl Deps {
    /// A client of another service, that calls with this service's own key.
    ///
    /// # Errors
    /// When this service was given no key.
    pub fn service_client(&self, service: &str) -> Result<Client, StartError> {
        let key = self.service_key.clone().ok_or(
            "SAP_SERVICE_KEY is missing: the key that this service calls others with (--service-key; \
             `topology --new-key NAME` makes one)",
        )?;
        Ok(self.client(service).api_key(key).build()?)
    }

    /// Begins a client of another service.
    pub fn client(&self, service: &str) -> ClientBuilder {
        let client = Client::builder(service).resolver(self.resolver.clone()).tls(self.client_tls.clone());
        if self.is_local() { client.insecure_allow_loopback() } else { client }
    }

    /// Whether the others may announce this machine's own addresses, since this service is reached there only.
    #[must_use]
    pub fn is_local(&self) -> bool {
        self.listen.ip().is_loopback()
    }

    /// With this process's certificates and its time to drain, and the announcement that it makes, where services announce themselves.
    pub fn registered(&self, service: ServiceBuilder) -> ServiceBuilder {
        let mut service = service.drain_timeout(self.drain_timeout);
        if let Some(endpoint) = &self.advertise {
            service = service.advertise(endpoint.clone());
        }
        if let Some(tls) = &self.tls {
            service = service.tls(tls.clone());
        }
        match &self.registrar {
            Some(registrar) => service.register_with(registrar.clone()),
            None => service,
        }
    }

    /// Verifies callers: people by the tokens of the auth service, services by their keys.
    ///
    /// # Errors
    /// When the client of the auth service cannot be built.
    pub fn authenticator(&self) -> Result<Authenticator, StartError> {
        let client = self.client(ISSUER).timeout(Duration::from_secs(3)).build()?;
        let verifier = JwtVerifier::builder(ISSUER, AUDIENCE).build()?;
        let keys = JwksSource::new(client, "/.well-known/jwks.json");
        Ok(Authenticator::builder().jwt(verifier).key_source(keys).api_keys(self.trusted_keys.all().clone()).build()?)
    }
}

/// How long the events that a crashed process had claimed wait for another to send them.
const LEASE: Duration = Duration::from_secs(10);

/// An outbox whose relay runs until the service drains.
pub(crate) async fn outbox(
    service: ServiceBuilder,
    broker: &Broker,
    database: &Database,
) -> Result<(ServiceBuilder, Outbox), StartError> {
    let outbox = Outbox::new(database.pool().clone());
    outbox.migrate().await?;
    let relay = outbox.relay(broker.clone(), RelayConfig::new().lease(LEASE))?;
    let service = service.on_drain(move || async move { relay.stop().await.map_err(Into::into) });
    Ok((service, outbox))
}

/// How long the inbox knows an event: longer than any redelivery takes.
const REMEMBERED: Duration = Duration::from_secs(7 * 24 * 3600);

/// An inbox that is cleaned until the service drains.
pub(crate) async fn inbox(
    service: ServiceBuilder,
    name: &str,
    database: &Database,
) -> Result<(ServiceBuilder, Inbox), StartError> {
    let inbox = Inbox::new(database.pool().clone(), name);
    inbox.migrate().await?;
    let cleanup = inbox.cleanup(REMEMBERED)?;
    let service = service.on_drain(move || async move {
        drop(cleanup);
        Ok(())
    });
    Ok((service, inbox))
}

/// Keeps the answers of requests with an idempotency key.
pub(crate) async fn idempotency_keys(database: &Database) -> Result<Arc<dyn IdempotencyStore>, StartError> {
    let store = SqlIdempotencyStore::new(database.pool().clone())?;
    store.migrate().await?;
    Ok(Arc::new(store))
}

/// Checks the database in `/health/ready`, and closes it last.
pub(crate) fn with_database(service: ServiceBuilder, database: &Database) -> ServiceBuilder {
    let (checked, closed) = (database.clone(), database.clone());
    service
        .health("database", move || {
            let database = checked.clone();
            async move { database.check().await }
        })
        .on_drain(move || async move {
            closed.close().await;
            Ok(())
        })
}
