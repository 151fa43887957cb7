//! What a handler learns of the cause of its event.

use super::*;

pub(crate) async fn the_context_crosses_the_broker<F: Future<Output = Broker>>(broker: impl Fn(BrokerConfig) -> F) {
    let broker = broker(config()).await;
    let (sender, mut contexts) = mpsc::unbounded_channel();
    let publisher = broker.for_service("profile-service");
    let relay = EventRouter::new().on(move |event: Event<UserCreated>| {
        let publisher = publisher.clone();
        async move {
            publisher.publish("user.events", UserDeleted { user_id: event.data.user_id }).await?;
            Ok(())
        }
    });
    let last = EventRouter::new().on(move |event: Event<UserDeleted>| {
        let sent = sender.send((Context::current(), event)).map_err(|error| error.to_string());
        async move { Ok(sent?) }
    });
    let _last = broker.subscribe(Subscription::new("user.events").group("last"), last).await.unwrap();
    let _relay = broker.subscribe("user.events", relay).await.unwrap();
    let principal = sap_comm_core::Principal::user("usr_admin", ["admin"]);
    let context = Context::root().with_principal(principal).with_timeout(LIMIT).with_attempt(3);
    context.clone().scope(broker.publish("user.events", UserCreated::numbered(1))).await.unwrap();
    let (arrived, event) = soon(contexts.recv()).await.unwrap();
    assert_eq!(arrived.trace().trace_id(), context.trace().trace_id());
    assert_ne!(arrived.trace().span_id(), context.trace().span_id());
    assert_eq!((arrived.request_id(), arrived.correlation_id()), (context.request_id(), context.correlation_id()));
    assert_eq!(arrived.principal(), context.principal());
    assert_eq!((arrived.deadline(), arrived.attempt()), (None, 1), "those of the publisher's request end with it");
    assert_eq!((event.correlation_id.as_str(), event.source.as_str()), (context.correlation_id(), "profile-service"));
    assert_eq!(event.metadata.user_id.as_deref(), Some("usr_admin"));
}
