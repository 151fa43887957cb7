//! How connections begin and end.

use super::*;

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
            PropertiesWriter::new(out).headers(|set| set("large", Value::text(&text)));
        });
        broker.says_bytes(&bytes).await;
        let Some(Event::Delivery(delivery)) = events.recv().await else { panic!("no delivery") };
        assert_eq!(delivery.content.properties().headers.get("large"), Some(Value::text(&text)));
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
