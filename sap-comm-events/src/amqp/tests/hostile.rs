//! A broker that says anything.

use proptest::prelude::*;

use super::*;

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
            let asked = tokio::spawn(async move { second.declare_queue("q", QueueOptions::default(), &[]).await });
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
