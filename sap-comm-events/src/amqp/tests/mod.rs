//! A connection beside a broker that does what the test says.

mod channels;
mod content;
mod ends;
mod hostile;

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, ReadHalf, WriteHalf, duplex, split},
    sync::mpsc::UnboundedReceiver,
    time::Instant,
};

use super::{
    Channel, Connection, Error, Event, Login, Mechanism, PropertiesWriter, QueueOptions, Value,
    assembly::consumer_tag,
    connect,
    decode::Decoder,
    encode::Encoder,
    frame::{self, AROUND, HEAD, Payload},
    method::{Method, basic, channel, confirm, connection, queue},
};

const MAX_FRAME: u32 = 4_096;

fn login() -> Login {
    Login {
        mechanism: Mechanism::Plain,
        user: "u".to_owned(),
        password: "p".to_owned(),
        vhost: "/".to_owned(),
        name: "test".to_owned(),
        heartbeat: 10,
    }
}

/// The broker's end of a connection.
pub(crate) struct Broker(DuplexStream);

impl Broker {
    /// The next frame, and whose it is; heartbeats are passed over.
    async fn hears(&mut self) -> (u16, Method, Vec<u8>) {
        loop {
            let (channel, bytes) = self.hears_frame().await;
            match frame::read(&bytes, usize::MAX).unwrap().unwrap().1 {
                Payload::Method(method, arguments) => return (channel, method, arguments.0.to_owned()),
                Payload::Heartbeat => {}
                other => panic!("no method: {other:?}"),
            }
        }
    }

    async fn hears_frame(&mut self) -> (u16, Vec<u8>) {
        let mut bytes = vec![0; HEAD];
        self.0.read_exact(&mut bytes).await.unwrap();
        let length = frame::length(&bytes, usize::MAX).unwrap().unwrap();
        bytes.resize(length + AROUND, 0);
        self.0.read_exact(&mut bytes[HEAD..]).await.unwrap();
        (u16::from_be_bytes([bytes[1], bytes[2]]), bytes)
    }

    async fn hears_of(&mut self, expected: Method) -> Vec<u8> {
        let (_, method, arguments) = self.hears().await;
        assert_eq!(method, expected);
        arguments
    }

    async fn says(&mut self, id: u16, method: Method, arguments: impl FnOnce(&mut Encoder<'_>)) {
        let mut bytes = Vec::new();
        let arguments = |out: &mut Encoder<'_>| {
            arguments(out);
            Ok(())
        };
        frame::method(&mut bytes, id, method, arguments).unwrap();
        self.says_bytes(&bytes).await;
    }

    async fn says_bytes(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).await.unwrap();
    }

    async fn introduces(&mut self, mechanisms: &str) {
        let mut protocol = [0; 8];
        self.0.read_exact(&mut protocol).await.unwrap();
        assert_eq!(&protocol, b"AMQP\0\0\x09\x01");
        self.says(0, connection::START, |out| {
            out.u16(9);
            out.table(&[("version", Value::text("3.13.7"))]).unwrap();
            out.long(mechanisms.as_bytes());
            out.long(b"en_US");
        })
        .await;
    }

    async fn welcomes(&mut self) {
        self.introduces("PLAIN AMQPLAIN").await;
        let start_ok = self.hears_of(connection::START_OK).await;
        let mut start_ok = Decoder(&start_ok);
        let (properties, mechanism, response) = (start_ok.table(), start_ok.short(), start_ok.long());
        assert_eq!(properties.unwrap().get("connection_name"), Some(Value::text("test")));
        assert_eq!((mechanism, response), (Some(b"PLAIN".as_slice()), Some(b"\0u\0p".as_slice())));
        self.says(0, connection::TUNE, |out| {
            out.u16(2);
            out.u32(MAX_FRAME);
            out.u16(60);
        })
        .await;
        assert_eq!(self.hears_of(connection::TUNE_OK).await, b"\0\x02\0\0\x10\0\0\x0a");
        self.hears_of(connection::OPEN).await;
        self.says(0, connection::OPEN.answer(), |out| out.u8(0)).await;
    }

    /// Lets the client open a channel.
    pub(crate) async fn opens(&mut self, client: &Connection) -> (Channel, UnboundedReceiver<Event>) {
        let (sink, events) = tokio::sync::mpsc::unbounded_channel();
        let (opened, ()) = tokio::join!(client.channel(Arc::new(sink)), async {
            let (id, method, _) = self.hears().await;
            assert_eq!(method, channel::OPEN);
            self.says(id, channel::OPEN.answer(), |out| out.u32(0)).await;
        });
        (opened.unwrap(), events)
    }

    /// Ends consumer `number` of channel 1.
    pub(crate) async fn cancels(&mut self, number: u32) {
        self.says(1, basic::CANCEL, |out| {
            out.short(&consumer_tag(number)).unwrap();
            out.bits([true]);
        })
        .await;
    }

    /// The next frame is an acknowledgement; of which delivery.
    pub(crate) async fn hears_ack(&mut self) -> u64 {
        let acked = self.hears_of(basic::ACK).await;
        Decoder(&acked).u64().unwrap()
    }

    async fn closes_channel(&mut self, id: u16) {
        self.closes(id, channel::CLOSE, 404, "NOT_FOUND - no queue 'q'").await;
    }

    async fn closes(&mut self, id: u16, method: Method, code: u16, text: &str) {
        self.says(id, method, |out| {
            out.u16(code);
            out.short(text).unwrap();
            out.u32(0);
        })
        .await;
    }
}

fn wire() -> (ReadHalf<DuplexStream>, WriteHalf<DuplexStream>, Broker) {
    let (ours, theirs) = duplex(1 << 20);
    let (reader, writer) = split(ours);
    (reader, writer, Broker(theirs))
}

pub(crate) async fn connected() -> (Connection, Broker) {
    let (reader, writer, mut broker) = wire();
    let login = login();
    let (connection, ()) = tokio::join!(connect(reader, writer, &login), broker.welcomes());
    let connection = connection.unwrap();
    assert_eq!(connection.version(), Some("3.13.7"));
    (connection, broker)
}

async fn lost(connection: &Connection) -> String {
    connection.lost().cancelled().await;
    connection.error().to_string()
}
