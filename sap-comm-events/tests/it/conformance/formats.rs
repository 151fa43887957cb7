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

pub(crate) async fn a_failure_is_reported_with_all_of_its_event<F: Future<Output = Broker>>(
    broker: impl Fn(BrokerConfig) -> F,
) {
    for format in FORMATS {
        let broker = broker(config().event_format(format)).await;
        let (_watcher, mut failures) = failures(&broker).await;
        let router = EventRouter::new().on(|_: Event<UserCreated>| async { Err(HandlerError::permanent("broken")) });
        let handle = broker.subscribe("user.events", router).await.unwrap();
        let event = Event::new("auth-service", UserCreated::numbered(7));
        broker.publish_event("user.events", &event).await.unwrap();
        let report = soon(failures.recv()).await.unwrap();
        let original: serde_json::Value = serde_json::from_str(report.data.original_event.get()).unwrap();
        assert_eq!((&original["id"], &original["source"]), (&event.id.as_str().into(), &"auth-service".into()));
        assert_eq!(original["data"], serde_json::to_value(&event.data).unwrap(), "{format:?}");
        handle.stop().await;
    }
}
