use axum::body::Body;
use hyper_util::{
    client::legacy::Client,
    rt::{TokioExecutor, TokioTimer},
};

use super::ClientConfig;
use crate::{connector::Connector, egress::Egress, tls::ClientTls};

/// Connections to every endpoint of the service.
pub(super) type Transport = Client<Connector, Body>;

/// The most that a response's line and headers may hold.
const MAX_HEAD: usize = 64 * 1024;

pub(super) fn build(config: &ClientConfig, tls: ClientTls, egress: Egress) -> Transport {
    Client::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(config.idle_timeout)
        .pool_max_idle_per_host(config.max_idle_connections)
        .http1_max_buf_size(MAX_HEAD)
        .build(Connector::new(config.connect_timeout, config.idle_timeout, tls, egress))
}
