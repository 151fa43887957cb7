//! Channels of one connection, and their ends.

use super::*;

#[tokio::test(start_paused = true)]
async fn nothing_is_written_for_a_channel_that_the_broker_closed() {
    let (client, mut broker) = connected().await;
    let (first, mut events) = broker.opens(&client).await;
    let declaring = first.declare_queue("q", QueueOptions::default(), &[]);
    let (declared, ()) = tokio::join!(declaring, async {
        broker.hears_of(queue::DECLARE).await;
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
