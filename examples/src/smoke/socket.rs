//! A Socket.IO client of the story's own: protocol 5 over WebSocket, text packets, acknowledgements.

use std::net::SocketAddr;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::{net::TcpStream, time::timeout};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async, tungstenite::Message};

use super::expect::PATIENCE;
use crate::deps::StartError;

/// A connected socket.
pub(super) struct Socket {
    stream: WebSocketStream<MaybeTlsStream<TcpStream>>,
}

/// An event from the server.
pub(super) struct Received {
    pub(super) name: String,
    pub(super) argument: Value,
    ack: Option<String>,
}

impl Socket {
    /// Connects with a token in the handshake; the server's refusal is an error.
    pub(super) async fn connect(gateway: SocketAddr, token: Option<&str>) -> Result<Self, StartError> {
        let (stream, _) = connect_async(format!("ws://{gateway}/socket.io/?EIO=4&transport=websocket")).await?;
        let mut socket = Self { stream };
        let open = socket.packet().await?;
        if !open.starts_with('0') {
            return Err(format!("expected the open packet of Engine.IO, got {open:?}").into());
        }
        let auth = token.map_or_else(|| json!({}), |token| json!({ "token": token }));
        socket.send(format!("40{auth}")).await?;
        let answer = socket.packet().await?;
        match answer.strip_prefix("40") {
            Some(_) => Ok(socket),
            None => Err(format!("refused: {answer}").into()),
        }
    }

    /// The next event.
    pub(super) async fn event(&mut self) -> Result<Received, StartError> {
        loop {
            let packet = self.packet().await?;
            let Some(rest) = packet.strip_prefix("42") else { continue };
            let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
            let (ack, json) = rest.split_at(digits);
            let mut arguments: Vec<Value> = serde_json::from_str(json)?;
            let argument = if arguments.len() > 1 { arguments.swap_remove(1) } else { Value::Null };
            let name = arguments.first().and_then(Value::as_str).unwrap_or_default().to_owned();
            return Ok(Received { name, argument, ack: (!ack.is_empty()).then(|| ack.to_owned()) });
        }
    }

    /// Acknowledges an event.
    pub(super) async fn acknowledge(&mut self, event: &Received, answer: Value) -> Result<(), StartError> {
        let ack = event.ack.as_ref().ok_or("the server asked for no acknowledgement")?;
        self.send(format!("43{ack}{}", json!([answer]))).await
    }

    /// Emits an event, and waits for the server's acknowledgement.
    pub(super) async fn emit(&mut self, name: &str, argument: Value) -> Result<Value, StartError> {
        self.send(format!("420{}", json!([name, argument]))).await?;
        loop {
            let packet = self.packet().await?;
            if let Some(json) = packet.strip_prefix("430") {
                return Ok(serde_json::from_str(json)?);
            }
        }
    }

    async fn send(&mut self, packet: String) -> Result<(), StartError> {
        Ok(self.stream.send(Message::text(packet)).await?)
    }

    /// The next packet that is not a ping.
    async fn packet(&mut self) -> Result<String, StartError> {
        let packets = async {
            while let Some(message) = self.stream.next().await {
                match message? {
                    Message::Text(text) if text.as_str() == "2" => self.stream.send(Message::text("3")).await?,
                    Message::Text(text) => return Ok(text.to_string()),
                    _ => {}
                }
            }
            Err("the socket was closed".into())
        };
        timeout(PATIENCE, packets).await.map_err(|_| format!("nothing came within {PATIENCE:?}"))?
    }
}
