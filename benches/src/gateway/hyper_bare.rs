//! The peer `hyper-bare`: hyper-util's pooled client behind hyper's server, and nothing between them but the address.

use std::net::Ipv4Addr;

use http::{
    Request, Uri,
    uri::{Authority, Scheme},
};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioIo},
};

use super::{WORKERS, workers};
use crate::BenchError;

pub(super) fn run(port: u16, origin: u16) -> Result<(), BenchError> {
    workers::run(WORKERS, move || serve(port, origin))
}

async fn serve(port: u16, origin: u16) -> Result<(), BenchError> {
    let listener = workers::listen(port)?;
    let origin: Authority =
        format!("{}:{origin}", Ipv4Addr::LOCALHOST).parse().map_err(BenchError::refused("name the origin"))?;
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    let client: Client<_, Incoming> = Client::builder(TokioExecutor::new()).build(connector);
    loop {
        let (stream, _) = listener.accept().await.map_err(BenchError::refused("accept"))?;
        stream.set_nodelay(true).map_err(BenchError::refused("set up a connection"))?;
        let (client, origin) = (client.clone(), origin.clone());
        let pass_on = service_fn(move |mut request: Request<Incoming>| {
            let mut parts = std::mem::take(request.uri_mut()).into_parts();
            (parts.scheme, parts.authority) = (Some(Scheme::HTTP), Some(origin.clone()));
            // What the server has parsed is a target, so it stays one.
            *request.uri_mut() = Uri::from_parts(parts).unwrap_or_default();
            client.request(request)
        });
        // A client that drops its connection ends it.
        tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), pass_on));
    }
}
