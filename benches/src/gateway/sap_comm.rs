//! Ours: the gateway in front of the origin, bare or with every policy on.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
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

use super::{AUDIENCE, ISSUER, JWKS, MEMBER, SERVICE, WORKERS};
use crate::BenchError;

/// Above anything that two cores serve, so that every request is counted and none refused.
const UNREACHED: u32 = 1_000_000;

pub(super) fn run(port: u16, origin: u16, policies: bool) -> Result<(), BenchError> {
    // The gateway brings a thread for each worker; what is left here are the watches and the log.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(BenchError::refused("start a runtime"))?;
    runtime.block_on(serve(port, origin, policies)).map_err(BenchError::refused("serve"))
}

async fn serve(port: u16, origin: u16, policies: bool) -> Result<(), BoxError> {
    let gateway = if policies { with_policies(origin)? } else { bare(origin)? };
    let mut config = ServerConfig::default();
    config.workers = WORKERS;
    let server = Server::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port)), config).await?;
    Ok(gateway.serve(server, CancellationToken::new()).await?)
}

fn bare(origin: u16) -> Result<Gateway, BoxError> {
    Ok(begun(origin)?.without_rate_limit().route(Route::new("/api").to(SERVICE).public()).build()?)
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
    resolver.set(SERVICE, [Endpoint::parse(&format!("http://{}:{origin}", Ipv4Addr::LOCALHOST))?]);
    Ok(Gateway::builder().resolver(Arc::new(resolver)))
}
