//! A connection beside a broker that does what the test says.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use proptest::prelude::*;
use tokio::{
    io::{AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, ReadHalf, WriteHalf, duplex, split},
    sync::mpsc::UnboundedReceiver,
    time::Instant,
};

use super::{
    Channel, Connection, Error, Event, Login, Mechanism,
    assembly::consumer_tag,
    connect,
    decode::Decoder,
    encode::Encoder,
    frame::{self, AROUND, HEAD, Payload},
    method::{Method, basic, channel, confirm, connection},
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
            out.table(&[("version", super::Value::text("3.13.7"))]).unwrap();
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
        assert_eq!(properties.unwrap().get("connection_name"), Some(super::Value::text("test")));
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

#[tokio::test(start_paused = true)]
async fn a_broker_that_refuses_says_why() {
    let (reader, writer, mut broker) = wire();
    let (login, refusing) = (login(), async {
        broker.introduces("PLAIN").await;
        broker.hears_of(connection::START_OK).await;
        broker.closes(0, connection::CLOSE, 403, "ACCESS_REFUSED - Login was refused").await;
    });
    let (refused, ()) = tokio::join!(connect(reader, writer, &login), refusing);
    assert_eq!(refused.unwrap_err().refusal(), Some((403, "ACCESS_REFUSED - Login was refused")));

    let (reader, writer, mut broker) = wire();
    let login = Login { mechanism: Mechanism::External, ..login };
    let (refused, ()) = tokio::join!(connect(reader, writer, &login), broker.introduces("PLAIN AMQPLAIN"));
    assert_eq!(refused.unwrap_err().to_string(), "the broker offers PLAIN AMQPLAIN, and not EXTERNAL");
}

#[tokio::test(start_paused = true)]
async fn what_is_no_broker_is_told() {
    for said in [
        b"HTTP/1.1 400 Bad Request\r\n".as_slice(),
        b"AMQP\0\x01\0\0",
        b"\x01\0\0\xff\xff\xff\xff",
        b"\x01\0\0\0\0\0\x01",
    ] {
        let (reader, writer, mut broker) = wire();
        broker.says_bytes(said).await;
        broker.says_bytes(&[b'x'; 64]).await;
        let error = connect(reader, writer, &login()).await.unwrap_err();
        assert!(matches!(error, Error::Protocol(_)), "{error:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_broker_that_breaks_the_protocol_is_left() {
    let mut wrong_end = Vec::new();
    frame::method(&mut wrong_end, 1, basic::ACK, |_| Ok(())).unwrap();
    *wrong_end.last_mut().unwrap() = 0;
    let mut no_channel = Vec::new();
    frame::method(&mut no_channel, 9, basic::ACK, |_| Ok(())).unwrap();
    let mut no_question = Vec::new();
    frame::method(&mut no_question, 1, channel::FLOW_OK, |_| Ok(())).unwrap();
    let mut cut = Vec::new();
    frame::method(&mut cut, 1, basic::ACK, |_| Ok(())).unwrap();
    let mut body = Vec::new();
    frame::content(&mut body, 1, b"x", 4_096, |_| ());
    for said in
        [&wrong_end[..], &no_channel, &no_question, &cut, &body, b"\x01\0\x01\x7f\0\0\0", b"\x07\0\x01\0\0\0\0\xce"]
    {
        let (client, mut broker) = connected().await;
        let (channel, _events) = broker.opens(&client).await;
        broker.says_bytes(said).await;
        let error = lost(&client).await;
        assert!(error.starts_with("the broker breaks the protocol: "), "{error}");
        let refused = channel.confirm().await.unwrap_err().to_string();
        assert!(refused == error || refused == "it is closed", "{refused}");
    }
}

#[tokio::test(start_paused = true)]
async fn silence_is_the_end_and_heartbeats_are_not() {
    let (client, mut broker) = connected().await;
    for _ in 0..20 {
        tokio::time::sleep(Duration::from_secs(5)).await;
        broker.says_bytes(b"\x08\0\0\0\0\0\0\xce").await;
    }
    assert!(!client.lost().is_cancelled());
    let (_, heartbeat) = broker.hears_frame().await;
    assert_eq!(heartbeat, b"\x08\0\0\0\0\0\0\xce");
    assert_eq!(lost(&client).await, "no sign of life for 20s");
}

#[tokio::test(start_paused = true)]
async fn a_frozen_broker_is_noticed_by_whoever_writes() {
    let (client, mut broker) = connected().await;
    let (channel, mut events) = broker.opens(&client).await;
    let body = vec![0; 64 << 10];
    while !channel.is_full() {
        channel.publish("x", "k", &body, |_| ()).unwrap();
        tokio::task::yield_now().await;
    }
    tokio::time::timeout(Duration::from_secs(60), channel.room()).await.expect("who waits for room goes on");
    assert_eq!(lost(&client).await, "no sign of life for 20s");
    assert!(matches!(events.recv().await, Some(Event::Closed(Error::Silent(_)))));
    assert!(matches!(channel.publish("x", "k", &body, |_| ()), Err(Error::Closed)));
}

/// Takes everything, and never lets it leave: what a TLS session does whose socket takes nothing.
struct Hoarder<W>(W, bool);

impl<W: AsyncWrite + Unpin> AsyncWrite for Hoarder<W> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.1 |= bytes.len() > 1_000;
        if self.1 { Poll::Ready(Ok(bytes.len())) } else { Pin::new(&mut self.0).poll_write(cx, bytes) }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.1 { Poll::Pending } else { Pin::new(&mut self.0).poll_flush(cx) }
    }

    fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Pending
    }
}

#[tokio::test(start_paused = true)]
async fn a_frozen_broker_is_noticed_behind_a_session_that_keeps_what_is_written() {
    let (reader, writer, mut broker) = wire();
    let login = login();
    let (client, ()) = tokio::join!(connect(reader, Hoarder(writer, false), &login), broker.welcomes());
    let client = client.unwrap();
    let (channel, _events) = broker.opens(&client).await;
    let begun = Instant::now();
    channel.publish("x", "k", &[0; 2_000], |_| ()).unwrap();
    assert_eq!(lost(&client).await, "no sign of life for 20s");
    let waited = begun.elapsed();
    assert!((Duration::from_secs(20)..=Duration::from_secs(25)).contains(&waited), "{waited:?}");
}

#[tokio::test(start_paused = true)]
async fn a_farewell_is_heard_behind_what_was_being_sent() {
    let (ours, theirs) = duplex(1 << 10);
    let (reader, writer) = split(ours);
    let mut broker = Broker(theirs);
    let login = login();
    let (client, ()) = tokio::join!(connect(reader, writer, &login), broker.welcomes());
    let client = client.unwrap();
    let (channel, _events) = broker.opens(&client).await;
    channel.publish("x", "k", &[0; 100_000], |_| ()).unwrap();
    tokio::task::yield_now().await;
    broker.closes(0, connection::CLOSE, 320, "CONNECTION_FORCED").await;
    loop {
        let (_, bytes) = broker.hears_frame().await;
        let (_, payload, _) = frame::read(&bytes, usize::MAX).unwrap().unwrap();
        if matches!(payload, Payload::Method(connection::CLOSE_OK, _)) {
            break;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn headers_may_be_larger_than_a_frame() {
    let (client, mut broker) = connected().await;
    let (_channel, mut events) = broker.opens(&client).await;
    for size in [200_000, 10] {
        let text = "x".repeat(size);
        broker
            .says(1, basic::DELIVER, |out| {
                out.short("sap-comm-0").unwrap();
                out.u64(1);
                out.u8(0);
                out.short("x").unwrap();
                out.short("k").unwrap();
            })
            .await;
        let mut bytes = Vec::new();
        frame::content(&mut bytes, 1, b"body", 4_096, |out| {
            super::PropertiesWriter::new(out).headers(|set| set("large", super::Value::text(&text)));
        });
        broker.says_bytes(&bytes).await;
        let Some(Event::Delivery(delivery)) = events.recv().await else { panic!("no delivery") };
        assert_eq!(delivery.content.properties().headers.get("large"), Some(super::Value::text(&text)));
        assert_eq!(delivery.content.body(), "body");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_acknowledged_is_told_before_the_channel_goes() {
    let (client, mut broker) = connected().await;
    let (channel, _events) = broker.opens(&client).await;
    channel.ack(1);
    drop(channel);
    broker.hears_of(basic::ACK).await;
    broker.hears_of(channel::CLOSE).await;
}

#[tokio::test(start_paused = true)]
async fn what_is_acknowledged_is_told_before_the_connection_goes() {
    let (client, mut broker) = connected().await;
    let (channel, _events) = broker.opens(&client).await;
    channel.ack(1);
    let ((), ()) = tokio::join!(client.close(Duration::from_secs(2)), async {
        assert_eq!(broker.hears_ack().await, 1);
        broker.hears_of(connection::CLOSE).await;
        broker.says(0, connection::CLOSE_OK, |_| ()).await;
    });
}

#[tokio::test(start_paused = true)]
async fn the_broker_hears_that_its_farewell_was_heard() {
    let (client, mut broker) = connected().await;
    broker.closes(0, connection::CLOSE, 320, "CONNECTION_FORCED").await;
    assert_eq!(lost(&client).await, "CONNECTION_FORCED");
    broker.hears_of(connection::CLOSE_OK).await;
}

#[tokio::test(start_paused = true)]
async fn our_farewell_is_not_waited_for_for_ever() {
    let (client, mut broker) = connected().await;
    client.close(Duration::from_secs(2)).await;
    broker.hears_of(connection::CLOSE).await;
    assert_eq!(lost(&client).await, "it is closed");
    assert!(matches!(client.channel(Arc::new(())).await, Err(Error::Closed)));
}

#[tokio::test(start_paused = true)]
async fn nothing_is_written_for_a_channel_that_the_broker_closed() {
    let (client, mut broker) = connected().await;
    let (first, mut events) = broker.opens(&client).await;
    let declaring = first.declare_queue("q", super::QueueOptions::default(), &[]);
    let (declared, ()) = tokio::join!(declaring, async {
        broker.hears_of(super::method::queue::DECLARE).await;
        broker.closes_channel(1).await;
    });
    assert_eq!(declared.unwrap_err().refusal(), Some((404, "NOT_FOUND - no queue 'q'")));
    assert!(matches!(events.recv().await, Some(Event::Closed(Error::Channel { code: 404, .. }))));
    assert!(matches!(first.publish("x", "k", b"", |_| ()), Err(Error::Closed)));
    first.ack(1);
    first.give_back(2);
    drop(first);
    broker.hears_of(channel::CLOSE_OK).await;
    // The number is free again, and its first frame is that of the new channel.
    broker.opens(&client).await;
}

#[tokio::test(start_paused = true)]
async fn what_comes_late_for_a_channel_is_nobody_elses() {
    let (client, mut broker) = connected().await;
    let (_first, mut of_first) = broker.opens(&client).await;
    // There is no other number left.
    let _other = broker.opens(&client).await;
    let mut late = Vec::new();
    frame::method(&mut late, 1, basic::DELIVER, |out| {
        out.short("sap-comm-0")?;
        out.u64(1);
        out.bits([false]);
        out.short("x")?;
        out.short("k")
    })
    .unwrap();
    frame::content(&mut late, 1, b"late", 4_096, |_| ());
    broker.closes_channel(1).await;
    broker.says_bytes(&late).await;
    assert!(matches!(of_first.recv().await, Some(Event::Closed(_))));
    broker.hears_of(channel::CLOSE_OK).await;
    let (sink, mut of_second) = tokio::sync::mpsc::unbounded_channel();
    let (second, ()) = tokio::join!(client.channel(Arc::new(sink)), async {
        broker.hears_of(channel::OPEN).await;
        broker.says_bytes(&late).await;
        broker.says(1, channel::OPEN.answer(), |out| out.u32(0)).await;
        broker.says_bytes(&late).await;
    });
    second.unwrap();
    assert!(matches!(of_second.recv().await, Some(Event::Delivery(_))));
    assert!(of_second.try_recv().is_err() && of_first.try_recv().is_err(), "only what came after the opening counts");
}

#[tokio::test(start_paused = true)]
async fn farewells_may_cross() {
    let (client, mut broker) = connected().await;
    let (channel, _events) = broker.opens(&client).await;
    let (closed, ()) = tokio::join!(channel.close(), async {
        broker.closes_channel(1).await;
        broker.hears_of(channel::CLOSE).await;
        broker.hears_of(channel::CLOSE_OK).await;
        broker.says(1, channel::CLOSE_OK, |_| ()).await;
    });
    closed.unwrap();
    broker.opens(&client).await;
    assert!(!client.lost().is_cancelled());
}

/// RabbitMQ answers what is about a consumer once its queue has, and anything else meanwhile.
#[tokio::test(start_paused = true)]
async fn answers_about_consumers_may_come_when_their_queues_have_them() {
    let (client, mut broker) = connected().await;
    let (channel, _events) = broker.opens(&client).await;
    let named = |number| move |out: &mut Encoder<'_>| out.short(&format!("sap-comm-{number}")).unwrap();
    let asked = [channel.cancel(0), channel.cancel(1)];
    let starting = channel.consume("q", 2, &[]);
    let synced = tokio::spawn({
        let channel = channel.clone();
        async move { channel.synced().await }
    });
    for method in [basic::CANCEL, basic::CANCEL, basic::CONSUME, channel::FLOW] {
        broker.hears_of(method).await;
    }
    broker.says(1, channel::FLOW_OK, |out| out.u8(1)).await;
    synced.await.unwrap().unwrap();
    let [mut first, second] = asked.map(Box::pin);
    broker.says(1, basic::CANCEL_OK, named(1)).await;
    second.await.unwrap();
    assert!(futures_util::poll!(&mut first).is_pending(), "that was another's");
    broker.says(1, basic::CONSUME.answer(), named(2)).await;
    starting.await.unwrap();
    broker.says(1, basic::CANCEL_OK, named(0)).await;
    first.await.unwrap();
    assert!(!client.lost().is_cancelled());
}

/// RabbitMQ forgets what it was asked about a consumer with the channel.
#[tokio::test(start_paused = true)]
async fn a_channel_may_close_before_what_it_was_asked_is_answered() {
    let (client, mut broker) = connected().await;
    let (channel, _events) = broker.opens(&client).await;
    let (starting, ending) = (channel.consume("q", 0, &[]), channel.cancel(0));
    let (closed, ()) = tokio::join!(channel.close(), async {
        for method in [basic::CONSUME, basic::CANCEL, channel::CLOSE] {
            broker.hears_of(method).await;
        }
        broker.says(1, channel::CLOSE_OK, |_| ()).await;
    });
    closed.unwrap();
    assert!(starting.await.is_err() && ending.await.is_err());
    broker.opens(&client).await;
    assert!(!client.lost().is_cancelled());
}

#[tokio::test(start_paused = true)]
async fn there_are_no_more_channels_than_was_agreed() {
    let (client, mut broker) = connected().await;
    let _first = broker.opens(&client).await;
    let (second, events) = broker.opens(&client).await;
    assert_eq!(
        client.channel(Arc::new(())).await.unwrap_err().to_string(),
        "the broker allows no more than 2 channels"
    );
    drop((second, events));
    broker.hears_of(channel::CLOSE).await;
    broker.says(2, channel::CLOSE_OK, |_| ()).await;
    // Frames come in order: once the next is answered, the second is closed.
    broker.says(0, connection::BLOCKED, |out| out.short("low on memory").unwrap()).await;
    client.blocked().wait_for(Option::is_some).await.unwrap();
    broker.opens(&client).await;
}

#[tokio::test(start_paused = true)]
async fn acknowledgements_travel_together() {
    let (client, mut broker) = connected().await;
    let (channel, _events) = broker.opens(&client).await;
    let limiting = channel.prefetch(1_000);
    let (limited, ()) = tokio::join!(limiting, async {
        broker.hears_of(basic::QOS).await;
        broker.says(1, basic::QOS.answer(), |_| ()).await;
    });
    limited.unwrap();
    for tag in 1..=10 {
        channel.ack(tag);
    }
    assert_eq!(broker.hears_of(basic::ACK).await, b"\0\0\0\0\0\0\0\x0a\x01");
    channel.ack(12);
    channel.give_back(11);
    assert_eq!(broker.hears_of(basic::NACK).await, b"\0\0\0\0\0\0\0\x0b\x02");
    let (synced, ()) = tokio::join!(channel.synced(), async {
        assert_eq!(broker.hears_of(basic::ACK).await, b"\0\0\0\0\0\0\0\x0c\x00");
        broker.hears_of(channel::FLOW).await;
        broker.says(1, channel::FLOW_OK, |out| out.u8(1)).await;
    });
    synced.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_body_travels_in_frames_that_fit() {
    let (client, mut broker) = connected().await;
    let (channel, _events) = broker.opens(&client).await;
    let (confirmed, ()) = tokio::join!(channel.confirm(), async {
        broker.hears_of(confirm::SELECT).await;
        broker.says(1, confirm::SELECT.answer(), |_| ()).await;
    });
    confirmed.unwrap();
    let body: Vec<u8> = (0..10_000_u32).map(|number| number as u8).collect();
    channel.publish("x", "k", &body, |properties| properties.message_id(Some("id"))).unwrap();
    broker.hears_of(basic::PUBLISH).await;
    let (_, header) = broker.hears_frame().await;
    assert_eq!(&header[HEAD..], b"\0\x3c\0\0\0\0\0\0\0\0\x27\x10\0\x80\x02id\xce");
    let mut received = Vec::new();
    while received.len() < body.len() {
        let (_, part) = broker.hears_frame().await;
        assert!(part.len() <= MAX_FRAME as usize);
        received.extend_from_slice(&part[HEAD..part.len() - 1]);
    }
    assert_eq!(received, body);
    let large = "x".repeat(4_070);
    let refused = channel.publish("x", "k", b"", |properties| {
        properties.headers(|set| set("large", super::Value::text(&large)));
    });
    assert!(matches!(refused, Err(Error::TooLarge { .. })), "{refused:?}");
    assert!(matches!(channel.publish("x", &large, b"", |_| ()), Err(Error::TooLong(_))));
    channel.publish("x", "next", b"", |_| ()).unwrap();
    assert_eq!(broker.hears_of(basic::PUBLISH).await, b"\0\0\x01x\x04next\x01");
}

/// A frame of a hostile broker: well framed, for the most part, and of any content.
fn any_frame() -> impl Strategy<Value = Vec<u8>> {
    let methods = prop_oneof![
        Just(basic::DELIVER),
        Just(basic::RETURN),
        Just(basic::GET_OK),
        Just(basic::ACK),
        Just(basic::CANCEL),
        Just(channel::CLOSE),
        Just(channel::CLOSE_OK),
        Just(channel::FLOW),
        Just(connection::BLOCKED),
        Just(connection::CLOSE),
        any::<(u16, u16)>().prop_map(|(class, method)| Method(class, method)),
    ];
    let bytes = || proptest::collection::vec(any::<u8>(), 0..64);
    let method = (0..4_u16, methods, bytes()).prop_map(|(id, method, arguments)| {
        let mut frame = Vec::new();
        let arguments = |out: &mut Encoder<'_>| {
            out.0.extend_from_slice(&arguments);
            Ok(())
        };
        frame::method(&mut frame, id, method, arguments).unwrap();
        frame
    });
    let content = (0..4_u16, bytes(), bytes()).prop_map(|(id, properties, body)| {
        let mut frames = Vec::new();
        frame::content(&mut frames, id, &body, 4_096, |out| out.0.extend_from_slice(&properties));
        frames
    });
    let delivery = (1..3_u16, 0..3_u32, any::<u64>()).prop_map(|(id, consumer, tag)| {
        let mut frame = Vec::new();
        let arguments = |out: &mut Encoder<'_>| {
            out.short(&format!("sap-comm-{consumer}"))?;
            out.u64(tag);
            out.u8(0);
            out.short("x")?;
            out.short("k")
        };
        frame::method(&mut frame, id, basic::DELIVER, arguments).unwrap();
        frame
    });
    prop_oneof![4 => method, 4 => content, 4 => delivery, 1 => bytes()]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// Whatever a broker says, the connection goes on or ends with an error, and so does all that waits for it.
    #[test]
    fn any_broker_is_listened_to_or_left(frames in proptest::collection::vec(any_frame(), 1..12)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let (client, mut broker) = connected().await;
            let (first, mut events) = broker.opens(&client).await;
            let (second, _events) = broker.opens(&client).await;
            let asked = tokio::spawn(async move { second.declare_queue("q", super::QueueOptions::default(), &[]).await });
            first.publish("x", "k", b"body", |_| ()).unwrap();
            tokio::task::yield_now().await;
            for frame in frames {
                if broker.0.write_all(&frame).await.is_err() {
                    break;
                }
            }
            // A broker that says no more is left in the end.
            client.lost().cancelled().await;
            asked.await.expect("no panic").expect_err("nobody answered");
            while let Some(event) = events.recv().await {
                if let Event::Delivery(delivery) = event {
                    let _ = (delivery.content.properties(), delivery.content.routing_key(), delivery.content.body());
                }
            }
            assert!(first.confirm().await.is_err());
        });
    }
}
