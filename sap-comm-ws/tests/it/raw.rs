//! Socket.IO protocol 5 over Engine.IO protocol 4, by hand, over WebSocket.

use futures_util::{SinkExt, StreamExt};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async,
    tungstenite::{Error, Message, client::IntoClientRequest},
};

use crate::harness::{LIMIT, Server};

pub(crate) struct RawClient {
    stream: WebSocketStream<MaybeTlsStream<TcpStream>>,
}

impl RawClient {
    /// Opens the WebSocket; the handshake with its token comes after. Or the status and body of the refusal.
    pub(crate) async fn open(server: &Server, headers: &[(&'static str, &str)]) -> Result<Self, Refused> {
        let url = format!("ws://{}/socket.io/?EIO=4&transport=websocket", server.authority);
        let mut request = url.into_client_request().unwrap();
        for (name, value) in headers {
            request.headers_mut().insert(HeaderName::from_static(name), HeaderValue::from_str(value).unwrap());
        }
        match timeout(LIMIT, connect_async(request)).await.unwrap() {
            Ok((stream, _)) => {
                let mut client = Self { stream };
                assert!(client.packet().await.unwrap().starts_with('0'));
                Ok(client)
            }
            Err(Error::Http(response)) => Err(Refused {
                status: response.status(),
                headers: response.headers().clone(),
                body: serde_json::from_slice(response.body().as_deref().unwrap_or_default()).unwrap(),
            }),
            Err(error) => panic!("{error}"),
        }
    }

    /// Opens and connects with a token.
    pub(crate) async fn connect(server: &Server, token: &str) -> Self {
        let mut client = Self::open(server, &[]).await.unwrap();
        let answer = client.handshake(&json!({ "token": token })).await;
        assert!(answer.starts_with("40{"), "{answer}");
        client
    }

    /// Sends CONNECT and returns what comes back.
    pub(crate) async fn handshake(&mut self, auth: &Value) -> String {
        self.send(format!("40{auth}")).await;
        self.packet().await.unwrap()
    }

    /// Sends CONNECT and returns the message of its refusal.
    pub(crate) async fn refusal(&mut self, auth: &Value) -> String {
        let answer = self.handshake(auth).await;
        let error: Value = serde_json::from_str(answer.strip_prefix("44").expect(&answer)).unwrap();
        assert_eq!(error["message"], error["data"]["error"]["code"], "{error}");
        error["message"].as_str().unwrap().to_owned()
    }

    /// Sends an event with an ack id.
    pub(crate) async fn emit(&mut self, id: u32, arguments: &Value) {
        self.send(format!("42{id}{arguments}")).await;
    }

    /// Sends an event and returns the first argument of its acknowledgement.
    pub(crate) async fn call(&mut self, arguments: &Value) -> Value {
        self.emit(7, arguments).await;
        let packet = self.packet().await.unwrap();
        let answer: Vec<Value> = serde_json::from_str(packet.strip_prefix("437").expect(&packet)).unwrap();
        answer.into_iter().next().unwrap()
    }

    /// The next event: its ack id, name and payload.
    pub(crate) async fn event(&mut self) -> (Option<u32>, String, Value) {
        let packet = self.packet().await.unwrap();
        let rest = packet.strip_prefix("42").expect(&packet);
        let (id, arguments) = rest.split_at(rest.find('[').unwrap());
        let (name, payload) = serde_json::from_str(arguments).unwrap();
        (id.parse().ok(), name, payload)
    }

    /// Acknowledges without a word.
    pub(crate) async fn acknowledge(&mut self, id: u32) {
        self.send(format!("43{id}[]")).await;
    }

    pub(crate) async fn send(&mut self, packet: String) {
        self.stream.send(Message::Text(packet.into())).await.unwrap();
    }

    /// The next packet, pings answered; `None` once the connection is closed.
    pub(crate) async fn packet(&mut self) -> Option<String> {
        loop {
            match timeout(LIMIT, self.stream.next()).await.expect("nothing came") {
                Some(Ok(Message::Text(text))) if text.as_str() == "2" => self.send("3".into()).await,
                Some(Ok(Message::Text(text))) if text.as_str() == "1" => return None,
                Some(Ok(Message::Text(text))) => return Some(text.to_string()),
                Some(Ok(Message::Close(_)) | Err(_)) | None => return None,
                Some(Ok(_)) => {}
            }
        }
    }
}

#[derive(Debug)]
pub(crate) struct Refused {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Value,
}

impl std::fmt::Debug for RawClient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("RawClient")
    }
}

/// One request by hand. The server may close before it has read everything.
pub(crate) async fn request(server: &Server, line: &str, headers: &str, body: &str) -> String {
    let stream = TcpStream::connect(&server.authority).await.unwrap();
    let (mut read, mut write) = stream.into_split();
    let head = format!(
        "{line}\r\nhost: {}\r\n{headers}connection: close\r\ncontent-type: text/plain\r\ncontent-length: {}\r\n\r\n",
        server.authority,
        body.len()
    );
    let body = body.to_owned();
    let sending = tokio::spawn(async move {
        let _ = write.write_all(head.as_bytes()).await;
        let _ = write.write_all(body.as_bytes()).await;
        write
    });
    let mut answer = Vec::new();
    let _ = read.read_to_end(&mut answer).await;
    drop(sending.await.unwrap());
    String::from_utf8(answer).unwrap()
}
