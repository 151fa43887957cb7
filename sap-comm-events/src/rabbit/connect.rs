//! One attempt to connect, and what its failure means.

use std::{
    io,
    net::SocketAddr,
    sync::{Arc, OnceLock},
};

use lapin::{AsyncTcpStream, Connection, ConnectionProperties, ErrorKind, runtime};
use tokio::{
    net::lookup_host,
    time::{Instant, timeout_at},
};

use super::{
    address::Address,
    refusal::Refusal,
    version::{Version, introduction},
    wire::Wire,
};
use crate::ConnectError;

/// Connects by `deadline`; a later answer finds nobody.
pub(super) async fn connect(
    address: &Arc<Address>,
    name: &str,
    deadline: Instant,
) -> Result<(Connection, Wire), ConnectError> {
    let started = Instant::now();
    let wire = Wire::default();
    match timeout_at(deadline, attempt(address, name, wire.clone(), None)).await {
        Ok(Ok(connection)) => Ok((connection, wire)),
        Ok(Err(error)) => Err(explain(address, &error)),
        Err(_) => {
            wire.cut();
            Err(ConnectError::Timeout { address: address.shown(), waited: started.elapsed() })
        }
    }
}

/// Asks the broker for its version, which it tells whoever connects and the client library keeps to itself.
pub(super) async fn version(address: &Arc<Address>) -> Result<Version, String> {
    let told = Arc::new(OnceLock::new());
    let attempted = attempt(address, "version", Wire::default(), Some(Arc::clone(&told))).await;
    match (told.get(), attempted) {
        (Some(version), _) => Ok(*version),
        (None, Err(error)) => Err(format!("the broker's version is not known: {error}")),
        (None, Ok(_)) => Err("the broker does not say which version it is".to_owned()),
    }
}

/// Connects, or only notes the version and hangs up.
async fn attempt(
    address: &Arc<Address>,
    name: &str,
    wire: Wire,
    asked: Option<Arc<OnceLock<Version>>>,
) -> lapin::Result<Connection> {
    let properties = ConnectionProperties::default()
        .with_connection_name(name.into())
        .with_client_property("product".into(), "sap-comm".into());
    let target = Arc::clone(address);
    let runtime = runtime::default_runtime()?;
    let reactor = runtime.clone();
    let open = async move |uri: lapin::uri::AMQPUri, _| {
        let mut last = io::Error::new(io::ErrorKind::NotFound, "the host name has no address");
        let candidates: Vec<SocketAddr> =
            lookup_host((uri.authority.host.as_str(), uri.authority.port)).await?.collect();
        for candidate in candidates {
            match AsyncTcpStream::connect(&reactor, candidate).await {
                Ok(stream) => {
                    if let AsyncTcpStream::Plain(socket) = &stream {
                        wire.attach(socket.get_ref())?;
                    }
                    let mut stream = match target.is_encrypted() {
                        true => stream.into_tls(&uri.authority.host, target.tls().as_ref()).await?,
                        false => stream,
                    };
                    if let Some(asked) = &asked {
                        let version = introduction(&mut stream).await?;
                        asked.get_or_init(|| version);
                        return Err(io::Error::other("it was only asked for its version").into());
                    }
                    return Ok(stream);
                }
                Err(error) => last = error,
            }
        }
        Err(last.into())
    };
    Connection::connector(address.uri.clone(), runtime, open, properties).await
}

/// Says what is wrong in words that somebody can act on.
fn explain(address: &Address, error: &lapin::Error) -> ConnectError {
    let (user, shown) = (address.user(), address.shown());
    let vhost = address.uri.vhost.clone();
    match (Refusal::of(error), error.kind()) {
        (Some(Refusal { code: 403, text }), _)
            if text.contains("Login was refused") || text.contains("ACCESS_REFUSED - Login") =>
        {
            ConnectError::Credentials { address: shown, user }
        }
        (Some(Refusal { code: 403 | 402 | 530, text: reason }), _) => {
            ConnectError::Vhost { address: shown, user, vhost, reason }
        }
        (Some(Refusal { text: reason, .. }), _) => ConnectError::Refused { address: shown, reason },
        (None, ErrorKind::IOError(cause)) => {
            let reason = cause.to_string();
            let is_tls = matches!(cause.kind(), io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput);
            match address.is_encrypted() && is_tls {
                true => ConnectError::Tls { address: shown, reason },
                false => ConnectError::Unreachable { address: shown, reason },
            }
        }
        (None, _) => ConnectError::Refused { address: shown, reason: error.to_string() },
    }
}
