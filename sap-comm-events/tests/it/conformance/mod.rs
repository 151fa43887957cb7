//! The behaviours that every broker must show: each function below is one, run over each of them.

mod batching;
mod bulk;
mod context;
mod dead_letters;
mod delays;
pub(crate) mod ending;
mod failing;
mod formats;
mod limits;
mod load;
pub(crate) mod ordering;
mod pausing;
mod requests;
mod retrying;
mod routing;
mod versions;
mod watching;

use std::{future::Future, sync::Arc, time::Duration};

use sap_comm_core::{Context, Event, EventKind, RawEvent};
use sap_comm_events::{
    Broker, BrokerConfig, BrokerState, EventProcessingFailed, EventRouter, HandlerError, Outcome, OverflowPolicy,
    PublishError, SubscribeError, Subscription,
};
use tokio::sync::{Semaphore, mpsc};

use crate::{
    events::{ReportRequested, UserCreated, UserDeleted},
    waiting::until,
};

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

/// A router whose handlers say what they have begun and end only when a permit is added.
pub(crate) fn held_back() -> (EventRouter, mpsc::UnboundedReceiver<u32>, Arc<Semaphore>) {
    let (sender, started) = mpsc::unbounded_channel();
    let release = Arc::new(Semaphore::new(0));
    let held = release.clone();
    let router = EventRouter::new().on(move |event: Event<UserCreated>| {
        let (sender, held) = (sender.clone(), held.clone());
        async move {
            sender.send(event.data.number)?;
            held.acquire().await?.forget();
            Ok(())
        }
    });
    (router, started, release)
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
            conformance!(@in_order $broker);
            conformance!(@in_any_order $broker);
        }
    };
    // Publishes at the same time are taken in the order that they were begun in.
    (@in_order $broker:path) => {
            conformance!(@each $broker:
                bulk::a_batch_is_published_in_order_and_each_event_has_its_outcome,
                bulk::what_cannot_be_published_stops_nothing_else_of_its_batch,
                dead_letters::a_filtered_redrive_leaves_the_others_in_their_order,
                failing::dead_letters_are_listed_and_redriven,
                ordering::events_of_a_key_are_handled_one_at_a_time_in_order,
                routing::an_unroutable_event_is_reported,
                routing::order_is_kept_within_a_queue,
            );
    };
    (@in_any_order $broker:path) => {
            conformance!(@each $broker:
                routing::publish_and_subscribe,
                routing::each_group_gets_every_event,
                routing::consumers_of_a_group_share_its_events,
                routing::a_command_reaches_exactly_one_consumer,
                routing::a_command_without_a_consumer_is_unroutable,
                retrying::a_failed_event_is_retried_until_it_succeeds,
                failing::an_exhausted_event_is_a_dead_letter_and_reported,
                failing::a_permanent_failure_is_a_dead_letter_at_once,
                retrying::a_panic_is_a_failed_attempt,
                retrying::a_slow_handler_is_a_failed_attempt,
                retrying::a_requeued_event_comes_back_and_not_for_ever,
                failing::an_unparsable_event_is_a_dead_letter_and_the_consumer_goes_on,
                versions::old_versions_are_made_new_step_by_step,
                versions::old_versions_are_made_new_in_batches,
                versions::a_version_that_nobody_reads_is_a_dead_letter,
                versions::a_lenient_router_reads_what_it_can_of_any_version,
                failing::an_unknown_type_is_a_dead_letter_that_a_later_version_takes,
                failing::an_unknown_type_is_acknowledged_where_the_router_ignores_it,
                failing::failed_error_events_are_not_reported,
                failing::a_redrive_ends_although_its_events_fail_again,
                failing::dead_letters_of_an_unknown_group_are_an_error,
                dead_letters::a_dry_run_changes_nothing,
                dead_letters::a_purge_removes_what_is_meant,
                dead_letters::a_redrive_is_ended_by_whoever_watches_it,
                dead_letters::a_redriven_event_starts_anew_in_its_own_group,
                dead_letters::a_redrive_that_the_broker_refuses_leaves_the_dead_letters,
                dead_letters::a_dropped_redrive_loses_nothing,
                dead_letters::two_redrives_at_once_lose_nothing,
                dead_letters::the_queues_of_dead_letters_are_listed,
                watching::a_tail_sees_what_is_published_and_takes_it_from_nobody,
                watching::what_a_subscription_declares_is_there_and_the_rest_is_missing,
                routing::topics_are_separate,
                routing::many_topics_at_once_stay_apart,
                routing::otherwise_gets_every_other_type,
                routing::an_ephemeral_consumer_sees_what_comes_and_leaves_nothing,
                routing::the_longest_names_have_ephemeral_consumers,
                context::the_context_crosses_the_broker,
                formats::an_event_arrives_whole_in_every_format,
                formats::a_format_is_chosen_for_one_event,
                formats::a_failure_is_reported_with_all_of_its_event,
                ending::a_stopped_consumer_finishes_what_it_has_and_the_rest_waits,
                ending::a_consumer_that_stops_takes_nothing_more_while_its_handlers_finish,
                routing::a_new_consumer_gets_what_waited,
                ending::closing_waits_for_handlers_and_publishes,
                ending::a_closed_broker_refuses,
                ending::a_broker_closed_twice_at_once_is_closed_once_for_both,
                ending::what_is_published_while_the_broker_closes_has_an_outcome_that_is_true,
                ending::many_subscriptions_stopped_at_once_under_load_lose_nothing,
                ending::a_dropped_handle_stops_its_consumer,
                ending::what_is_not_settled_holds_up_the_next_and_counts_as_waiting,
                load::thousands_of_concurrent_publishes_all_arrive_once,
                load::many_subscribers_share_thousands_of_events,
                load::concurrent_handlers_are_bounded,
                limits::an_event_over_the_limit_is_refused,
                limits::names_that_cannot_be_are_refused,
                limits::the_lag_of_a_group_is_what_waits_for_it,
                limits::the_status_tells_of_lag_and_dead_letters,
                ordering::different_keys_do_not_wait_for_each_other,
                ordering::a_retry_holds_its_key_and_no_other,
                ordering::a_retry_releases_its_key_where_that_is_asked_for,
                ordering::a_key_goes_on_behind_a_dead_letter,
                ordering::a_key_may_be_a_header_a_type_a_correlation_or_a_function,
                ordering::what_waits_for_its_key_is_bounded_and_goes_back_at_a_stop,
                batching::a_full_batch_is_handled_at_once_and_in_order,
                batching::a_batch_that_does_not_fill_is_handled_after_its_linger,
                batching::each_event_of_a_batch_is_settled_by_its_own_outcome,
                batching::one_bad_event_of_a_batch_fails_alone_in_the_end,
                batching::what_does_not_fit_is_left_out_of_its_batch,
                batching::a_wrong_number_of_outcomes_is_a_failed_attempt,
                batching::a_batch_that_fills_goes_back_at_a_stop,
                batching::batches_that_cannot_be_are_refused,
                pausing::a_paused_consumer_takes_nothing_until_it_resumes,
                pausing::a_pause_finishes_what_is_in_hand_and_the_group_goes_on,
                pausing::a_consumer_that_resumes_goes_on_in_order,
                pausing::an_ephemeral_consumer_loses_nothing_in_a_pause,
                pausing::a_single_active_consumer_is_followed_in_order,
                delays::a_delayed_event_arrives_when_it_is_due_and_not_before,
                delays::a_short_delay_does_not_wait_behind_a_long_one,
                delays::equal_delays_keep_the_order,
                delays::a_scheduled_event_comes_at_its_time_or_at_once_when_that_is_past,
                delays::a_delayed_event_is_the_event_that_was_published,
                delays::a_delayed_command_reaches_one_consumer,
                delays::a_delay_over_the_limit_is_refused,
                requests::a_request_is_answered,
                requests::a_handlers_error_answers_the_request,
                requests::a_request_that_nobody_handles_is_unroutable,
                requests::a_request_whose_handler_fails_for_good_fails,
                requests::unknown_errors_of_a_handler_stay_inside,
                requests::an_expired_request_is_a_dead_letter_and_not_handled,
                requests::a_late_answer_is_dropped,
                requests::a_handler_that_says_nothing_answers_nothing,
                requests::a_published_command_is_settled_by_a_handler_that_answers,
                requests::waiting_requests_are_bounded_and_end_with_the_broker,
                requests::a_request_may_have_the_longest_of_limits,
            );
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

/// One whose publishes take their time by chance, those of settlements too.
#[cfg(feature = "test-util")]
async fn in_memory_under_faults(config: BrokerConfig) -> Broker {
    let faults = sap_comm_events::test_util::Faults::random().delay(0.3, Duration::from_millis(5));
    sap_comm_events::test_util::MemoryBroker::builder(config).faults(faults).build().unwrap().broker()
}

#[cfg(feature = "test-util")]
mod memory_under_faults {
    conformance!(@in_any_order super::in_memory_under_faults);
}

#[cfg(feature = "rabbitmq")]
conformance!(rabbitmq, crate::rabbitmq::in_a_vhost_of_its_own);
