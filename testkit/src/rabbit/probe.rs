//! Whether a node speaks AMQP yet.

use std::net::Ipv4Addr;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// Offers protocol 0-9-1 and waits for the first byte of `connection.start`, a method frame.
pub(super) async fn speaks_amqp(port: u16) -> bool {
    let handshake = async {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await?;
        stream.write_all(b"AMQP\x00\x00\x09\x01").await?;
        stream.read_u8().await
    };
    matches!(handshake.await, Ok(1))
}
