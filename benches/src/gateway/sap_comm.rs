//! Ours: the gateway in front of the origin, bare or with every policy on.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use sap_comm::{
    BoxError, Endpoint, StaticResolver,
    auth::JwtVerifier,
    logging::{self, Format},
    rest::{
        gateway::{Gateway, GatewayBuilder, Quota, Route},
        server::{
            Server, ServerConfig,
            auth::{Authenticator, JwksSource},
        },
    },
};
use tokio_util::sync::CancellationToken;

use super::{AUDIENCE, BROKEN_SERVICE, ISSUER, JWKS, MEMBER, SERVICE, Setup, WORKERS};
use crate::BenchError;

/// How long the broken upstream is waited for.
const PATIENCE: Duration = Duration::from_millis(500);
/// Above anything that is uploaded.
const MAX_BODY: u64 = 1 << 40;
/// Above anything that two cores serve, so that every request is counted and none refused.
const UNREACHED: u32 = 1_000_000;

pub(super) fn run(port: u16, origin: u16, setup: Setup) -> Result<(), BenchError> {
    // The gateway brings a thread for each worker; what is left here are the watches and the log.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(BenchError::refused("start a runtime"))?;
    runtime.block_on(serve(port, origin, setup)).map_err(BenchError::refused("serve"))
}

async fn serve(port: u16, origin: u16, setup: Setup) -> Result<(), BoxError> {
    let mut config = ServerConfig::default();
    config.workers = WORKERS;
    let gateway = match setup {
        Setup::Bare => bare(origin)?.build()?,
        Setup::Policies => with_policies(origin)?,
        Setup::Uploads => bare(origin)?.max_body(MAX_BODY).build()?,
        Setup::Besieged { broken } => beside_a_broken_one(origin, broken)?,
    };
    let server = Server::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port)), config).await?;
    Ok(gateway.serve(server, CancellationToken::new()).await?)
}

fn bare(origin: u16) -> Result<GatewayBuilder, BoxError> {
    Ok(begun(origin)?.without_rate_limit().route(Route::new("/api").to(SERVICE).public().security_headers(false)))
}

fn beside_a_broken_one(origin: u16, broken: u16) -> Result<Gateway, BoxError> {
    let resolver = StaticResolver::new();
    for (service, port) in [(SERVICE, origin), (BROKEN_SERVICE, broken)] {
        resolver.set(service, [endpoint(port)?]);
    }
    let gateway = Gateway::builder()
        .resolver(Arc::new(resolver))
        .without_rate_limit()
        .route(Route::new("/api").to(SERVICE).public())
        .route(Route::new("/broken").to(BROKEN_SERVICE).public().timeout(PATIENCE));
    Ok(gateway.build()?)
}

fn with_policies(origin: u16) -> Result<Gateway, BoxError> {
    logging::init(Format::Json, "info")?;
    let keys = JwksSource::url(&format!("http://{}:{origin}{JWKS}", Ipv4Addr::LOCALHOST).parse()?)?;
    let verifier = JwtVerifier::builder(ISSUER, AUDIENCE).build()?;
    let gateway = begun(origin)?
        .authenticator(Authenticator::builder().jwt(verifier).key_source(keys).build()?)
        .rate_limit(Quota::per_second(UNREACHED))
        .route(Route::new("/api").to(SERVICE).authenticated().roles([MEMBER]));
    Ok(gateway.build()?)
}

/// The breaker and the resolver are always on.
fn begun(origin: u16) -> Result<GatewayBuilder, BoxError> {
    let resolver = StaticResolver::new();
    resolver.set(SERVICE, [endpoint(origin)?]);
    Ok(Gateway::builder().resolver(Arc::new(resolver)))
}

fn endpoint(port: u16) -> Result<Endpoint, BoxError> {
    Ok(Endpoint::parse(&format!("http://{}:{port}", Ipv4Addr::LOCALHOST))?)
}
