//! The behaviours that every broker must show: each function below is one, run over each of them.

mod context;
mod ending;
mod failing;
mod limits;
mod load;
mod retrying;
mod routing;

use std::{future::Future, time::Duration};

use sap_comm_core::{Context, Event, EventKind, RawEvent};
use sap_comm_events::{
    Broker, BrokerConfig, EventProcessingFailed, EventRouter, HandlerError, Outcome, OverflowPolicy, PublishError,
    SubscribeError, Subscription,
};
use tokio::sync::mpsc;

use crate::events::{ReportRequested, UserCreated, UserDeleted};

/// What a test waits for at most; not what it waits.
const LIMIT: Duration = Duration::from_secs(30);

/// Retries soon, so that the tests are quick over a real clock.
fn config() -> BrokerConfig {
    BrokerConfig::new("user-service").retry_delays([20, 50].map(Duration::from_millis)).max_attempts(3)
}

async fn soon<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(LIMIT, future).await.expect("it did not happen in time")
}

/// A router that sends every user's number to the receiver.
fn numbers() -> (EventRouter, mpsc::UnboundedReceiver<u32>) {
    let (sender, receiver) = mpsc::unbounded_channel();
    let router = EventRouter::new().on(move |event: Event<UserCreated>| {
        let sent = sender.send(event.data.number);
        async move { Ok(sent?) }
    });
    (router, receiver)
}

/// The error events, as they come.
async fn failures(
    broker: &Broker,
) -> (sap_comm_events::SubscriptionHandle, mpsc::UnboundedReceiver<Event<EventProcessingFailed>>) {
    let (sender, receiver) = mpsc::unbounded_channel();
    let router = EventRouter::new().on(move |event: Event<EventProcessingFailed>| {
        let sent = sender.send(event).map_err(|error| error.to_string());
        async move { Ok(sent?) }
    });
    let handle = broker.for_service("watcher").subscribe("error.events", router).await.unwrap();
    (handle, receiver)
}

/// Runs every behaviour over one broker: `$broker` is `async fn(BrokerConfig) -> Broker`, fresh each time.
macro_rules! conformance {
    ($name:ident, $broker:path) => {
        mod $name {
            conformance!(@each $broker:
                routing::publish_and_subscribe,
                routing::each_group_gets_every_event,
                routing::consumers_of_a_group_share_its_events,
                routing::a_command_reaches_exactly_one_consumer,
                routing::a_command_without_a_consumer_is_unroutable,
                routing::order_is_kept_within_a_queue,
                retrying::a_failed_event_is_retried_until_it_succeeds,
                failing::an_exhausted_event_is_a_dead_letter_and_reported,
                failing::a_permanent_failure_is_a_dead_letter_at_once,
                retrying::a_panic_is_a_failed_attempt,
                retrying::a_slow_handler_is_a_failed_attempt,
                retrying::a_requeued_event_comes_back_and_not_for_ever,
                failing::an_unparsable_event_is_a_dead_letter_and_the_consumer_goes_on,
                failing::a_wrong_version_is_a_dead_letter,
                failing::an_unknown_type_is_a_dead_letter_that_a_later_version_takes,
                failing::an_unknown_type_is_acknowledged_where_the_router_ignores_it,
                failing::failed_error_events_are_not_reported,
                failing::dead_letters_are_listed_and_redriven,
                failing::a_redrive_ends_although_its_events_fail_again,
                failing::dead_letters_of_an_unknown_group_are_an_error,
                routing::an_unroutable_event_is_reported,
                routing::topics_are_separate,
                routing::otherwise_gets_every_other_type,
                routing::an_ephemeral_consumer_sees_what_comes_and_leaves_nothing,
                routing::the_longest_names_have_ephemeral_consumers,
                context::the_context_crosses_the_broker,
                ending::a_stopped_consumer_finishes_what_it_has_and_the_rest_waits,
                routing::a_new_consumer_gets_what_waited,
                ending::closing_waits_for_handlers_and_publishes,
                ending::a_closed_broker_refuses,
                load::thousands_of_concurrent_publishes_all_arrive_once,
                load::many_subscribers_share_thousands_of_events,
                load::concurrent_handlers_are_bounded,
                limits::an_event_over_the_limit_is_refused,
                limits::names_that_cannot_be_are_refused,
            );
        }
    };
    (@each $broker:path: $($group:ident::$test:ident,)*) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                super::$group::$test($broker).await;
            }
        )*
    };
}

/// A fresh in-memory broker.
async fn in_memory(config: BrokerConfig) -> Broker {
    Broker::connect("memory://", config).await.unwrap()
}

conformance!(memory, super::in_memory);

#[cfg(feature = "rabbitmq")]
conformance!(rabbitmq, crate::rabbitmq::in_a_vhost_of_its_own);
