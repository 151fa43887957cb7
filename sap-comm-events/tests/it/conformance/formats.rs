//! How events are written into messages.

use sap_comm_events::{EventFormat, PublishOptions};

use super::*;

const FORMATS: [EventFormat; 3] =
    [EventFormat::Envelope, EventFormat::CloudEventsStructured, EventFormat::CloudEventsBinary];

pub(crate) async fn an_event_arrives_whole_in_every_format<F: Future<Output = Broker>>(
    broker: impl Fn(BrokerConfig) -> F,
) {
    for format in FORMATS {
        let broker = broker(config().event_format(format)).await;
        let (sender, mut arrived) = mpsc::unbounded_channel();
        let attempts = std::sync::atomic::AtomicU32::new(0);
        let router = EventRouter::new().on(move |event: Event<UserCreated>| {
            let first = attempts.fetch_add(1, std::sync::atomic::Ordering::SeqCst) == 0;
            let sent = if first { Ok(()) } else { sender.send((event, Context::current())) };
            let sent = sent.map_err(|error| error.to_string());
            async move { if first { Err("the first attempt fails".into()) } else { Ok(sent?) } }
        });
        let handle = broker.subscribe("user.events", router).await.unwrap();
        let event = Event::new("auth-service", UserCreated::numbered(7));
        broker.publish_event("user.events", &event).await.unwrap();
        let (arrived, context) = soon(arrived.recv()).await.unwrap();
        assert_eq!(arrived, event, "{format:?}");
        assert_eq!(context.correlation_id(), event.correlation_id, "{format:?}");
        handle.stop().await;
    }
}

pub(crate) async fn a_format_is_chosen_for_one_event<F: Future<Output = Broker>>(broker: impl Fn(BrokerConfig) -> F) {
    let broker = broker(config()).await;
    let (router, mut numbers) = numbers();
    let _handle = broker.subscribe("user.events", router).await.unwrap();
    for (number, format) in (0..).zip(FORMATS) {
        let options = PublishOptions::new().format(format);
        broker.publish_with("user.events", UserCreated::numbered(number), options).await.unwrap();
        assert_eq!(soon(numbers.recv()).await, Some(number));
    }
}
