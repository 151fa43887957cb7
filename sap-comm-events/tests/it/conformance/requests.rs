//! Commands that are answered.

use std::sync::Arc;

use sap_comm_core::{ApiError, ErrorCode};
use sap_comm_events::{Request, RequestError, SubscriptionHandle};
use tokio::sync::Semaphore;

use super::*;

impl Request for ReportRequested {
    type Reply = String;
}

/// Long enough for any machine.
const PATIENCE: Duration = Duration::from_secs(30);

async fn ask(broker: &Broker, number: u32, limit: Duration) -> Result<String, RequestError> {
    broker.request("report.events", ReportRequested { number }, limit).await
}

/// Answers with the number's name; odd numbers are not found.
async fn reporter(broker: &Broker) -> SubscriptionHandle {
    let router = EventRouter::new().on_request(|command: Event<ReportRequested>| async move {
        match command.data.number {
            number if number.is_multiple_of(2) => Ok(format!("report {number}")),
            number => Err(ApiError::not_found("report", &number.to_string())),
        }
    });
    let subscription = Subscription::new("report.events").group("reports").concurrency(8);
    broker.subscribe(subscription, router).await.unwrap()
}

pub(crate) async fn a_request_is_answered<F: Future<Output = Broker>>(broker: impl Fn(BrokerConfig) -> F) {
    let broker = broker(config()).await;
    let handle = reporter(&broker).await;
    let other = broker.for_service("other-service");
    let asking = (0..100).map(|number| {
        let asker = if number % 3 == 0 { &broker } else { &other };
        ask(asker, number * 2, PATIENCE)
    });
    for (number, answer) in futures_util::future::join_all(asking).await.into_iter().enumerate() {
        assert_eq!(answer.unwrap(), format!("report {}", number * 2), "each gets its own answer");
    }
    soon(handle.stop()).await;
}

pub(crate) async fn a_handlers_error_answers_the_request<F: Future<Output = Broker>>(
    broker: impl Fn(BrokerConfig) -> F,
) {
    let broker = broker(config()).await;
    let handle = reporter(&broker).await;
    let RequestError::Failed(error) = ask(&broker, 7, PATIENCE).await.unwrap_err() else { panic!("another error") };
    assert_eq!((error.code().as_str(), error.status().as_u16()), ("REPORT_NOT_FOUND", 404));
    assert_eq!((error.message(), &error.details()["reportId"]), ("Report with ID 7 not found", &"7".into()));
    assert!(error.request_id().is_some());
    soon(handle.stop()).await;
    let letters = broker.dead_commands("report.events", "report.requested");
    assert_eq!(letters.count().await.unwrap(), 0, "an answer is no failure");
}

pub(crate) async fn a_request_that_nobody_handles_is_unroutable<F: Future<Output = Broker>>(
    broker: impl Fn(BrokerConfig) -> F,
) {
    let broker = broker(config()).await;
    let error = ask(&broker, 2, PATIENCE).await.unwrap_err();
    assert!(matches!(error, RequestError::Publish(PublishError::Unroutable { .. })), "{error}");
}

pub(crate) async fn a_request_whose_handler_fails_for_good_fails<F: Future<Output = Broker>>(
    broker: impl Fn(BrokerConfig) -> F,
) {
    let broker = broker(config()).await;
    let router = EventRouter::new().on_request(|command: Event<ReportRequested>| async move {
        assert!(command.data.number != 7, "a panic of the test");
        Ok(String::new())
    });
    let handle = broker.subscribe("report.events", router).await.unwrap();
    let RequestError::Failed(error) = ask(&broker, 7, PATIENCE).await.unwrap_err() else { panic!("another error") };
    assert_eq!((error.code(), error.message()), (&ErrorCode::INTERNAL_ERROR, "the handler panicked"));
    soon(handle.stop()).await;
    let letters = broker.dead_commands("report.events", "report.requested").peek(10).await.unwrap();
    assert_eq!(letters.iter().map(|letter| letter.attempts).collect::<Vec<_>>(), [3]);
}

pub(crate) async fn unknown_errors_of_a_handler_stay_inside<F: Future<Output = Broker>>(
    broker: impl Fn(BrokerConfig) -> F,
) {
    let broker = broker(config()).await;
    let router =
        EventRouter::new().on(|_: Event<ReportRequested>| async { Err(HandlerError::permanent("password=hunter2")) });
    let _handle = broker.subscribe("report.events", router).await.unwrap();
    let RequestError::Failed(error) = ask(&broker, 7, PATIENCE).await.unwrap_err() else { panic!("another error") };
    assert_eq!((error.code(), error.message()), (&ErrorCode::INTERNAL_ERROR, "Internal server error"));
}

pub(crate) async fn an_expired_request_is_a_dead_letter_and_not_handled<F: Future<Output = Broker>>(
    broker: impl Fn(BrokerConfig) -> F,
) {
    let broker = broker(config()).await;
    let (_watcher, mut failures) = failures(&broker).await;
    let handle = reporter(&broker).await;
    assert_eq!(ask(&broker, 0, PATIENCE).await.unwrap(), "report 0");
    soon(handle.stop()).await;
    let error = ask(&broker, 2, Duration::from_secs(1)).await.unwrap_err();
    let unknown = matches!(error, RequestError::Timeout { .. } | RequestError::Publish(PublishError::Unknown { .. }));
    assert!(unknown && error.is_transient(), "{error}");
    let router = EventRouter::new()
        .on_request(|command: Event<ReportRequested>| async move { Ok(format!("late {}", command.data.number)) });
    let handle = broker.subscribe("report.events", router.clone()).await.unwrap();
    let failure = soon(failures.recv()).await.unwrap().data.error;
    assert_eq!(failure.code, "DEADLINE_EXCEEDED");
    assert!(failure.message.contains("expired"), "{}", failure.message);
    assert_eq!(ask(&broker, 4, PATIENCE).await.unwrap(), "late 4", "the next one is handled");
    soon(handle.stop()).await;
    let letters = broker.dead_commands("report.events", "report.requested");
    assert_eq!(letters.count().await.unwrap(), 1);
    // Who redrives it wants it done, whatever the time.
    assert_eq!(letters.redrive(10).await.unwrap().done, 1);
    let (sender, mut done) = mpsc::unbounded_channel();
    let router = EventRouter::new().on_request(move |command: Event<ReportRequested>| {
        let sent = sender.send(command.data.number);
        async move { sent.map(|()| String::new()).map_err(ApiError::internal) }
    });
    let _handle = broker.subscribe("report.events", router).await.unwrap();
    assert_eq!(soon(done.recv()).await, Some(2));
}

pub(crate) async fn a_late_answer_is_dropped<F: Future<Output = Broker>>(broker: impl Fn(BrokerConfig) -> F) {
    let broker = broker(config()).await;
    let release = Arc::new(Semaphore::new(0));
    let (held, (sender, mut entered)) = (release.clone(), mpsc::unbounded_channel());
    let router = EventRouter::new().on_request(move |command: Event<ReportRequested>| {
        let (held, sent) = (held.clone(), sender.send(Context::current().remaining()));
        async move {
            if sent.is_ok() && command.data.number == 0 {
                held.acquire().await.map_err(ApiError::internal)?.forget();
            }
            Ok(command.data.number.to_string())
        }
    });
    let _handle = broker.subscribe("report.events", router).await.unwrap();
    // Time enough to reach the handler.
    let limit = Duration::from_secs(2);
    let (answer, remaining) = tokio::join!(ask(&broker, 0, limit), entered.recv());
    assert!(matches!(answer, Err(RequestError::Timeout { .. })), "{answer:?}");
    assert!(remaining.flatten().is_some_and(|left| left <= limit), "the handler knows the deadline: {remaining:?}");
    release.add_permits(1);
    for number in 1..4 {
        assert_eq!(ask(&broker, number, PATIENCE).await.unwrap(), number.to_string());
    }
    let letters = broker.dead_commands("report.events", "report.requested");
    assert_eq!(letters.count().await.unwrap(), 0, "it was handled, late as it was");
}

#[derive(Debug, serde::Serialize, serde::Deserialize, sap_comm_core::EventPayload)]
#[event(type = "report.deleted", kind = "command")]
struct DeleteReport {}

impl Request for DeleteReport {
    type Reply = ();
}

pub(crate) async fn a_handler_that_says_nothing_answers_nothing<F: Future<Output = Broker>>(
    broker: impl Fn(BrokerConfig) -> F,
) {
    let broker = broker(config()).await;
    let router = EventRouter::new()
        .on(|_: Event<DeleteReport>| async { Ok(()) })
        .on(|_: Event<ReportRequested>| async { Ok(()) });
    let _handle = broker.subscribe("report.events", router).await.unwrap();
    broker.request("report.events", DeleteReport {}, PATIENCE).await.unwrap();
    let error = ask(&broker, 1, PATIENCE).await.unwrap_err();
    assert!(matches!(error, RequestError::Reply { .. }), "null is no report: {error}");
}

pub(crate) async fn a_published_command_is_settled_by_a_handler_that_answers<F: Future<Output = Broker>>(
    broker: impl Fn(BrokerConfig) -> F,
) {
    let broker = broker(config()).await;
    let (_watcher, mut failures) = failures(&broker).await;
    let handle = reporter(&broker).await;
    for number in [2, 3] {
        broker.publish("report.events", ReportRequested { number }).await.unwrap();
    }
    assert_eq!(soon(failures.recv()).await.unwrap().data.error.code, "REPORT_NOT_FOUND");
    soon(handle.stop()).await;
    let letters = broker.dead_commands("report.events", "report.requested").peek(10).await.unwrap();
    assert_eq!(letters.iter().map(|letter| letter.attempts).collect::<Vec<_>>(), [3], "nobody else learns of it");
}

pub(crate) async fn waiting_requests_are_bounded_and_end_with_the_broker<F: Future<Output = Broker>>(
    broker: impl Fn(BrokerConfig) -> F,
) {
    let broker = broker(config().queue_capacity(1)).await;
    let handle = reporter(&broker).await;
    assert_eq!(ask(&broker, 2, PATIENCE).await.unwrap(), "report 2");
    soon(handle.stop()).await;
    let mut asking = Box::pin(ask(&broker, 4, PATIENCE));
    // It waits from its first poll on.
    assert!(futures_util::poll!(&mut asking).is_pending());
    let refused = ask(&broker, 6, PATIENCE).await.unwrap_err();
    assert!(matches!(refused, RequestError::TooMany { capacity: 1 }), "{refused}");
    let (asked, ()) = tokio::join!(asking, broker.close(Duration::from_millis(200)));
    let error = asked.unwrap_err();
    assert!(
        matches!(
            error,
            RequestError::Closed { .. } | RequestError::Publish(PublishError::Closed | PublishError::Unknown { .. })
        ),
        "{error}"
    );
}

pub(crate) async fn a_request_may_have_the_longest_of_limits<F: Future<Output = Broker>>(
    broker: impl Fn(BrokerConfig) -> F,
) {
    let broker = broker(config()).await;
    let handle = reporter(&broker).await;
    assert_eq!(soon(ask(&broker, 2, Duration::MAX)).await.unwrap(), "report 2");
    soon(handle.stop()).await;
}
