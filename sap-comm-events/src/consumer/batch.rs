//! From a batch of deliveries to a verdict on each.

use std::panic::AssertUnwindSafe;

use futures_util::future::join_all;
use sap_comm_core::{Context, ErrorCode, RawEvent};
use tracing::Instrument;

use super::{
    FailureCause, Handling,
    process::{Verdict, correlation_id, panicked},
    work::Work,
};
use crate::{
    backend::Delivery,
    router::{BatchRoute, Outcomes},
};

impl Handling {
    /// Handles events of one type together, and settles each by its own verdict.
    ///
    /// What cannot be handled is settled without the others. The handler runs in a context of its own: it acts for many.
    pub(super) async fn process_batch(&self, works: Vec<Work>) {
        let (mut deliveries, mut events, mut settled) = (Vec::new(), Vec::new(), Vec::new());
        if let Some(first) = works.first() {
            self.broker.telemetry().consumed(&self.received(&first.delivery), works.len());
        }
        for work in works {
            let (delivery, event) = work.into_parts(self);
            let verdict = self.refused(&delivery);
            match (verdict, event) {
                (None, Ok(event)) => {
                    deliveries.push(delivery);
                    events.push(event);
                }
                (None, Err(cause)) => settled.push((delivery, Verdict::Dead(cause))),
                (Some(verdict), _) => settled.push((delivery, verdict)),
            }
        }
        if let Some(first) = deliveries.first() {
            let messages = deliveries.iter().map(|delivery| &*delivery.message);
            let telemetry = self.broker.telemetry();
            let (context, processing) = telemetry.process_batch(messages, &self.received(first), Context::root());
            let span = tracing::info_span!(
                "process_batch",
                trace_id = %context.trace().display_trace_id(),
                request_id = context.request_id(),
                events = events.len(),
                event_type = first.message.event_type.as_str(),
                queue = &*first.queue,
                group = self.settings.group,
            );
            let handling =
                processing.watch(self.batch_verdicts(events), |verdicts| verdicts.iter().find_map(Verdict::failure));
            let verdicts = context.scope(handling.instrument(span)).await;
            settled.extend(deliveries.into_iter().zip(verdicts));
        }
        // Started in order, so that those which are tried again keep it.
        join_all(settled.into_iter().map(|(delivery, verdict)| self.settle_in_scene(delivery, verdict))).await;
    }

    async fn settle_in_scene(&self, delivery: Delivery, verdict: Verdict) {
        // Nothing is said and nothing follows of what was handled, so it needs no scene.
        if matches!(verdict, Verdict::Ack) && delivery.message.reply_to.is_none() {
            return self.settle(delivery, verdict).await;
        }
        let event = self.read(&delivery.message);
        let (context, span) = self.scene(&delivery, correlation_id(&event));
        context.scope(self.settle(delivery, verdict).instrument(span)).await;
    }

    /// One verdict for each event.
    async fn batch_verdicts(&self, events: Vec<RawEvent>) -> Vec<Verdict> {
        let count = events.len();
        let routed = std::panic::catch_unwind(AssertUnwindSafe(|| self.router.route_batch(events)));
        let Ok(BatchRoute { fits, answer }) = routed else {
            return vec![Verdict::Retry(panicked()); count];
        };
        let wanted = fits.iter().filter(|fit| fit.is_ok()).count();
        let mut handled = match answer {
            None => Vec::new(),
            Some(answer) => self
                .answer(answer)
                .await
                .map_or_else(|cause| vec![Verdict::Retry(cause); wanted], |outcomes| each(outcomes, wanted)),
        }
        .into_iter();
        let verdict = |fit| match fit {
            Ok(()) => handled.next().unwrap_or_else(|| Verdict::Retry(miscounted(wanted, 0))),
            Err(error) => Verdict::Dead(FailureCause::of_decoding(&error)),
        };
        fits.into_iter().map(verdict).collect()
    }
}

fn each(outcomes: Outcomes, wanted: usize) -> Vec<Verdict> {
    match outcomes {
        Outcomes::All(outcome) => vec![Verdict::from(outcome); wanted],
        Outcomes::Each(outcomes) if outcomes.len() == wanted => outcomes.into_iter().map(Verdict::from).collect(),
        Outcomes::Each(outcomes) => vec![Verdict::Retry(miscounted(wanted, outcomes.len())); wanted],
    }
}

fn miscounted(events: usize, outcomes: usize) -> FailureCause {
    let reason = format_args!("the handler was given {events} events and answered {outcomes} outcomes");
    FailureCause::new(&ErrorCode::INTERNAL_ERROR, reason)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use async_trait::async_trait;
    use parking_lot::Mutex;
    use sap_comm_core::{Event, EventKind, EventPayload};
    use serde::{Deserialize, Serialize};

    use super::*;
    use crate::{
        Batching, Broker, BrokerConfig, EventRouter,
        backend::{Limits, Redelivered, Settlement},
        consumer::Settings,
        message::{EventFormat, Message},
        topology::{QueueKind, Topology},
    };

    #[derive(Serialize, Deserialize, EventPayload)]
    #[event(type = "step.taken")]
    struct StepTaken {}

    /// Tells how it was settled.
    #[derive(Debug)]
    struct Told(Arc<Mutex<Vec<&'static str>>>);

    #[async_trait]
    impl Settlement for Told {
        fn is_void(&self) -> bool {
            false
        }

        fn ack(self: Box<Self>) {
            self.0.lock().push("soon");
        }

        async fn ack_surely(self: Box<Self>) {
            self.0.lock().push("surely");
        }
    }

    #[tokio::test]
    async fn what_comes_again_is_settled_surely() {
        let router = EventRouter::new().on_batch(Batching::of(2), |_: Vec<Event<StepTaken>>| async { Ok(()) });
        let (exchange, group) = ("step.events".to_owned(), "walker".to_owned());
        let topology = Topology::of(&exchange, &group, &router.interest(), &[], QueueKind::Classic, false);
        let limits = Limits { prefetch: 2, concurrency: 2, ordered: true, redeliveries: 1 };
        let (timeout, ordering, ephemeral) = (None, None, false);
        let settings = Settings { exchange, group, limits, concurrency: 1, timeout, ordering, ephemeral, topology };
        let broker = Broker::memory(BrokerConfig::new("walker")).unwrap();
        let handling = Handling { broker, settings, router, halt: Mutex::default() };
        let told = Arc::default();
        let works = [Redelivered::No, Redelivered::Behind].map(|redelivered| {
            let event = Event::new("walker", StepTaken {});
            let body = bytes::Bytes::from(event.to_json().unwrap()).into();
            let message =
                Message::of_event(&event, EventFormat::Envelope, body, EventKind::Domain, Context::root()).into();
            let settlement = Box::new(Told(Arc::clone(&told)));
            Work::from(Delivery { message, queue: "step.events.walker".into(), redelivered, settlement })
        });
        handling.process_batch(works.into()).await;
        assert_eq!(*told.lock(), ["soon", "surely"]);
    }
}
