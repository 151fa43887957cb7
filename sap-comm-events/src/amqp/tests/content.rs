//! Bodies and acknowledgements on the wire.

use super::*;

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
        properties.headers(|set| set("large", Value::text(&large)));
    });
    assert!(matches!(refused, Err(Error::TooLarge { .. })), "{refused:?}");
    assert!(matches!(channel.publish("x", &large, b"", |_| ()), Err(Error::TooLong(_))));
    channel.publish("x", "next", b"", |_| ()).unwrap();
    assert_eq!(broker.hears_of(basic::PUBLISH).await, b"\0\0\x01x\x04next\x01");
}
