//! One attempt to connect, and what its failure means.

use std::{io, net::SocketAddr};

use rustls::pki_types::ServerName;
use tokio::{
    net::{TcpStream, lookup_host},
    time::{Instant, timeout, timeout_at},
};
use tokio_rustls::TlsConnector;

use super::{address::Address, refusal::Refusal};
use crate::{
    ConnectError,
    amqp::{self, Connection, Error, Login},
};

/// Connects by `deadline`.
pub(super) async fn connect(address: &Address, name: &str, deadline: Instant) -> Result<Connection, ConnectError> {
    let started = Instant::now();
    match timeout_at(deadline, attempt(address, name, deadline)).await {
        Ok(Ok(connection)) => Ok(connection),
        Ok(Err(Failure::Tls(reason))) => Err(ConnectError::Tls { address: address.shown(), reason }),
        Ok(Err(Failure::Amqp(error))) => Err(explain(address, &error)),
        Err(_) => Err(ConnectError::Timeout { address: address.shown(), waited: started.elapsed() }),
    }
}

enum Failure {
    Tls(String),
    Amqp(Error),
}

impl<E: Into<Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Amqp(error.into())
    }
}

async fn attempt(address: &Address, name: &str, deadline: Instant) -> Result<Connection, Failure> {
    let login = Login { name: name.to_owned(), ..address.login.clone() };
    let socket = socket(address, deadline).await?;
    let Some(config) = &address.tls else {
        let (reader, writer) = socket.into_split();
        return Ok(amqp::connect(reader, writer, &login).await?);
    };
    let host = ServerName::try_from(address.host.clone()).map_err(|error| Failure::Tls(error.to_string()))?;
    let encrypted =
        TlsConnector::from(config.clone()).connect(host, socket).await.map_err(|error| tls(error.into()))?;
    let (reader, writer) = tokio::io::split(encrypted);
    // A certificate of ours that is refused shows only now.
    amqp::connect(reader, writer, &login).await.map_err(tls)
}

/// Tells what the TLS library objects to from a connection that broke.
fn tls(error: Error) -> Failure {
    match error {
        Error::Io(error) if matches!(error.kind(), io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput) => {
            Failure::Tls(error.to_string())
        }
        error => Failure::Amqp(error),
    }
}

/// The first of the host's addresses that answers.
async fn socket(address: &Address, deadline: Instant) -> io::Result<TcpStream> {
    let candidates = lookup_host((address.host.as_str(), address.port)).await?;
    let socket = first_to_answer(candidates.collect(), deadline).await?;
    socket.set_nodelay(true)?;
    Ok(socket)
}

/// Each has an equal share of the time that is left, so that one that says nothing does not take it all.
async fn first_to_answer(candidates: Vec<SocketAddr>, deadline: Instant) -> io::Result<TcpStream> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the host name has no address");
    for (candidate, left) in candidates.iter().zip((1..=candidates.len()).rev()) {
        let share = deadline.saturating_duration_since(Instant::now()) / u32::try_from(left).unwrap_or(u32::MAX);
        last = match timeout(share, TcpStream::connect(candidate)).await {
            Ok(Ok(socket)) => return Ok(socket),
            Ok(Err(error)) => error,
            Err(_) => io::Error::new(io::ErrorKind::TimedOut, format!("{candidate} does not answer")),
        };
    }
    Err(last)
}

/// Says what is wrong in words that somebody can act on.
fn explain(address: &Address, error: &Error) -> ConnectError {
    let (shown, user, vhost) = (address.shown(), address.login.user.clone(), address.login.vhost.clone());
    match (Refusal::of(error), error) {
        (Some(Refusal { code: 403, text }), _)
            if text.contains("Login was refused") || text.contains("ACCESS_REFUSED - Login") =>
        {
            ConnectError::Credentials { address: shown, user }
        }
        (Some(Refusal { code: 403 | 402 | 530, text: reason }), _) => {
            ConnectError::Vhost { address: shown, user, vhost, reason }
        }
        (None, Error::Io(cause)) => ConnectError::Unreachable { address: shown, reason: cause.to_string() },
        (_, error) => ConnectError::Refused { address: shown, reason: error.to_string() },
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::net::TcpListener;

    use super::*;
    use crate::TlsConfig;

    /// What connecting comes to, where every connection is answered with these bytes and closed.
    async fn connecting(scheme: &str, answer: &'static [u8]) -> ConnectError {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("{scheme}://127.0.0.1:{}", listener.local_addr().unwrap().port());
        let closing = tokio::spawn(async move {
            let (mut socket, _) = listener.accept().await.unwrap();
            tokio::io::AsyncWriteExt::write_all(&mut socket, answer).await.unwrap();
        });
        let address = Address::parse(&url, &TlsConfig::default()).unwrap();
        let error = connect(&address, "test", Instant::now() + Duration::from_secs(30)).await.unwrap_err();
        closing.await.unwrap();
        error
    }

    #[tokio::test]
    async fn an_address_that_says_nothing_leaves_time_for_the_next() {
        // Its queue of connections is full, so that the kernel answers no further one.
        let silent = tokio::net::TcpSocket::new_v4().unwrap();
        silent.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let silent = silent.listen(1).unwrap();
        let deaf = silent.local_addr().unwrap();
        let mut queued = Vec::new();
        while let Ok(Ok(socket)) = timeout(Duration::from_millis(100), TcpStream::connect(deaf)).await {
            queued.push(socket);
        }
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let sound = listener.local_addr().unwrap();
        let deadline = Instant::now() + Duration::from_millis(800);
        let socket = first_to_answer(vec![deaf, sound], deadline).await.unwrap();
        assert_eq!(socket.peer_addr().unwrap(), sound);
        let error = first_to_answer(vec![deaf], Instant::now() + Duration::from_millis(50)).await.unwrap_err();
        assert!(error.to_string().contains(&deaf.to_string()), "{error}");
    }

    #[tokio::test]
    async fn a_connection_that_breaks_off_may_be_tried_again() {
        for scheme in ["amqp", "amqps"] {
            let error = connecting(scheme, b"").await;
            assert!(error.is_transient(), "{scheme}: {error}");
        }
    }

    #[tokio::test]
    async fn who_speaks_something_else_is_not_tried_again() {
        let error = connecting("amqps", b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
        assert!(matches!(error, ConnectError::Tls { .. }) && !error.is_transient(), "{error}");
        let error = connecting("amqp", b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
        assert!(
            matches!(&error, ConnectError::Refused { reason, .. } if reason.contains("another protocol")),
            "{error}"
        );
    }
}
