//! A channel that consumes.
//!
//! A quorum queue counts how often each message was delivered, whether or not a handler had it. Where several consumers share
//! one, a channel therefore begins by holding one message at a time, for as long as those that come have been delivered suspiciously
//! often: of a consumer that dies then, only what was in its handler is counted, and what waited behind it is not buried with it.
//! A single active consumer gets all that comes again, and handles what is suspicious alone: the first is why.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use sap_comm_core::Name;
use tokio::{sync::mpsc, time::sleep};
use tokio_util::sync::CancellationToken;

use super::{
    acks,
    declare::{DeclareError, declare},
    held::{Arrival, Held, known_by},
    link::Live,
    properties::{self, Arrived},
    stream,
};
use crate::{
    amqp::{self, Channel, Event},
    backend::{Delivery, Limits, Redelivered},
    message::Message,
    subscription::Reading,
    topology::Topology,
};

/// The consumers of one subscription in one generation of the connection.
pub(super) struct Open {
    pub(super) live: Arc<Live>,
    channel: Channel,
    events: mpsc::UnboundedReceiver<Event>,
    /// Deliveries that came while none were taken.
    ahead: VecDeque<Delivery>,
    /// What each consumer consumes, by its number.
    queues: Vec<Arc<str>>,
    /// The number of each one's consumer.
    consumers: Vec<u32>,
    /// Which of them hold one message at a time.
    narrow: Vec<bool>,
    /// What the broker is yet to answer about consumers in another's place.
    beginning: Vec<BoxFuture<'static, Result<(), amqp::Error>>>,
    limits: Limits,
    held: Arc<Mutex<Held>>,
    /// How many redeliveries in a row may have killed a consumer.
    suspects: usize,
    /// Whether the broker counts deliveries; where it does not, anybody may have written the header.
    counts: bool,
    single_active: bool,
    stream: Option<(Arc<Reading>, CancellationToken)>,
    /// Whether any consumer has ended.
    ended: bool,
    /// Why the channel was closed.
    closed: Option<amqp::Error>,
}

/// How long a quorum queue may take for what it was told, under load as well.
const TOLD: Duration = Duration::from_millis(100);

/// Marks the number of a consumer that holds as many messages as it may, or waits beside the active one.
const WIDE: u32 = 1 << 16;

/// Whether quorum queues are consumed. A stream is replicated too.
pub(super) fn is_quorum(topology: &Topology) -> bool {
    topology.quorum && topology.stream.is_none()
}

impl Open {
    /// Declares the topology and starts consuming.
    pub(super) async fn start(live: Arc<Live>, topology: &Topology, limits: Limits) -> Result<Self, DeclareError> {
        declare(&live, topology).await?;
        let (sink, events) = mpsc::unbounded_channel();
        let channel = live.channel_heard_by(Arc::new(sink)).await.map_err(DeclareError::Connection)?;
        let failed = |error: amqp::Error| DeclareError::of_consuming(&error);
        let counts = is_quorum(topology);
        // Whoever ends its only active consumer lets another take over, so that one is not begun twice.
        let is_narrow = counts && !topology.single_active && limits.prefetch > 1;
        let limiting = channel.prefetch(if is_narrow { 1 } else { limits.prefetch });
        live.answer(limiting).await.map_err(DeclareError::Connection)?.map_err(failed)?;
        let held = Arc::clone(&topology.held);
        held.lock().renew(usize::from(limits.prefetch) * topology.consumed.len());
        let (mut arguments, mut stream) = (None, None);
        if let Some(reading) = &topology.stream {
            let (offset, given_back) = reading.begin();
            arguments = Some(stream::argument(offset));
            stream = Some((Arc::clone(reading), given_back));
        }
        let queues = topology.consumed.clone();
        let open = Self {
            live,
            channel,
            events,
            ahead: VecDeque::new(),
            consumers: (0..).take(queues.len()).collect(),
            narrow: vec![is_narrow; queues.len()],
            beginning: Vec::new(),
            queues,
            limits,
            held,
            // What a consumer that died had in its handlers comes first. If the broker counts, that was one event when it counts,
            // unless several consumers get what comes again.
            suspects: match (counts, topology.single_active) {
                (true, false) => usize::MAX,
                (true, true) => 1,
                (false, _) => limits.concurrency,
            },
            counts,
            single_active: topology.single_active,
            stream,
            ended: false,
            closed: None,
        };
        for (number, queue) in (0..).zip(&open.queues) {
            let consuming = open.channel.consume(queue, number, arguments.as_slice());
            open.live.answer(consuming).await.map_err(DeclareError::Connection)?.map_err(failed)?;
        }
        Ok(open)
    }

    /// The next delivery; `None` once any consumer has ended, or an event of a stream was given back. Cancel safe.
    pub(super) async fn next(&mut self) -> Option<Delivery> {
        // Most come in crowds, and then there is nothing to wait for.
        if let Some(delivery) = self.ready() {
            return Some(delivery);
        }
        let event = self.event().await?;
        self.taken(event)
    }

    /// Waits for the end of any consumer; what is delivered meanwhile is kept, and is no more than the prefetch. Cancel safe.
    pub(super) async fn ended(&mut self) {
        while let Some(event) = self.event().await {
            match event {
                Event::Delivery(delivery) => {
                    let delivery = self.delivery(&delivery);
                    self.ahead.extend(delivery);
                }
                event => drop(self.taken(event)),
            }
        }
    }

    async fn event(&mut self) -> Option<Event> {
        if self.is_over() {
            return None;
        }
        let given_back = self.stream.as_ref().map(|(_, given_back)| given_back.clone());
        tokio::select! {
            biased;
            () = self.live.lost.cancelled() => None,
            () = cancelled(given_back) => None,
            event = self.events.recv() => event,
        }
    }

    /// A delivery that is there already.
    pub(super) fn ready(&mut self) -> Option<Delivery> {
        if self.is_over() {
            return None;
        }
        if let Some(delivery) = self.ahead.pop_front() {
            return Some(delivery);
        }
        let event = self.events.try_recv().ok()?;
        self.taken(event)
    }

    fn is_over(&self) -> bool {
        let given_back = self.stream.as_ref().is_some_and(|(_, given_back)| given_back.is_cancelled());
        self.ended || self.channel.has_ended() || self.live.lost.is_cancelled() || given_back
    }

    fn taken(&mut self, event: Event) -> Option<Delivery> {
        match event {
            Event::Delivery(delivery) => self.delivery(&delivery),
            event => {
                self.ended = true;
                if let Event::Closed(error) = event {
                    self.closed = Some(error);
                }
                None
            }
        }
    }

    /// Why the broker closed the channel of a connection that is well.
    pub(super) fn refusal(&mut self) -> Option<amqp::Error> {
        while self.channel.has_ended()
            && self.closed.is_none()
            && let Ok(event) = self.events.try_recv()
        {
            drop(self.taken(event));
        }
        self.closed.take().filter(|_| !self.live.lost.is_cancelled())
    }

    /// Stops consuming; what was delivered and not taken goes back, and is known to have been here.
    pub(super) async fn cancel(&mut self) {
        if self.cancelled().await.is_none() {
            tracing::debug!("the connection is lost, and everything went back with it");
        }
        self.know();
        self.ahead.clear();
    }

    /// Asks for the end of each consumer; `None` where the broker does not answer.
    async fn cancelled(&mut self) -> Option<()> {
        // RabbitMQ's channel breaks down, and its connection with it, when the queue has begun a consumer that was cancelled meanwhile.
        while let Some(begun) = self.beginning.pop() {
            self.live.answer(begun).await.ok()?.ok()?;
        }
        for number in &self.consumers {
            self.live.answer(self.channel.cancel(*number)).await.ok()?.ok()?;
        }
        Some(())
    }

    /// Takes note of what was delivered and not taken.
    fn know(&mut self) {
        // What comes out now is not to begin another consumer.
        self.narrow.fill(false);
        while let Ok(event) = self.events.try_recv() {
            if let Event::Delivery(delivery) = event {
                let delivery = self.delivery(&delivery);
                self.ahead.extend(delivery);
            }
        }
    }

    /// Closes the channel after what was settled; what is not settled goes back.
    pub(super) async fn close(mut self) {
        // An error means that the connection is lost.
        if let Err(error) = self.tell().await {
            tracing::debug!(error, "settlements may have come too late");
        }
        let closed = self.live.answer(self.channel.close()).await;
        tracing::trace!(?closed, "consuming channel closed");
    }

    /// Waits until a quorum queue has what was settled: the broker's channel passes some thirty settlements on ahead of the queue, and
    /// what it keeps back goes with it.
    async fn tell(&mut self) -> Result<(), String> {
        if !self.counts {
            return Ok(());
        }
        let failed = |error: amqp::Error| error.to_string();
        self.live.answer(self.channel.synced()).await?.map_err(failed)?;
        if !self.single_active {
            // Nothing that could be asked here is answered by the queue and changes nothing in it.
            sleep(TOLD).await;
            return Ok(());
        }
        for (number, queue) in self.consumers.iter().zip(&self.queues) {
            // The queue answers behind them. A second consumer waits, while the end of the only one would let others take over.
            self.live.answer(self.channel.consume(queue, number | WIDE, &[])).await?.map_err(failed)?;
        }
        Ok(())
    }

    fn delivery(&mut self, delivery: &amqp::Delivery) -> Option<Delivery> {
        let number = delivery.consumer & !WIDE;
        let queue = Arc::clone(self.queues.get(usize::try_from(number).ok()?)?);
        let Arrived { message, delivery_count, offset } = properties::read(&delivery.content);
        let delivery_count = delivery_count.filter(|_| self.counts);
        if delivery_count.unwrap_or(0) <= self.limits.suspicious() {
            self.widen(number, &queue);
        }
        let (known, redelivered) = self.note(delivery, &message, delivery_count);
        let mut settlement = acks::settlement(&self.channel, &self.held, delivery, known, self.stream.is_none());
        if let (Some((reading, _)), Some(offset)) = (&self.stream, offset) {
            reading.take(offset);
            settlement = Box::new(stream::Read { reading: Arc::clone(reading), offset, settlement: Some(settlement) });
        }
        Some(Delivery { message: Arc::new(message), queue, redelivered, settlement })
    }

    /// What a delivery is known by, and what is known of earlier ones; from now on it is known to have been here.
    fn note(&self, delivery: &amqp::Delivery, message: &Message, count: Option<u32>) -> (Name, Redelivered) {
        let arrival = Arrival {
            queue: usize::try_from(delivery.consumer & !WIDE).unwrap_or(usize::MAX),
            redelivered: delivery.redelivered,
            count,
            suspects: self.suspects,
            most: self.limits.redeliveries.min(self.limits.suspicious().saturating_add(1)),
        };
        let known = known_by(message, &delivery.content);
        let redelivered = self.held.lock().take(&known, arrival);
        (known, redelivered)
    }

    /// Lets consumer `number` hold as many messages as it may, by another in its place.
    fn widen(&mut self, number: u32, queue: &str) {
        let Some((consumer, narrow)) = self.consumers.iter_mut().zip(&mut self.narrow).nth(number as usize) else {
            return;
        };
        if !std::mem::take(narrow) {
            return;
        }
        *consumer = number | WIDE;
        // The broker answers a refusal with the end of the channel, which is heard.
        drop(self.channel.prefetch(self.limits.prefetch));
        self.beginning.push(Box::pin(self.channel.consume(queue, number | WIDE, &[])));
        drop(self.channel.cancel(number));
    }
}

impl Drop for Open {
    /// However it ends, before it has begun with every queue too, what was not taken goes back with the channel, and is known to have been
    /// here.
    fn drop(&mut self) {
        while let Ok(event) = self.events.try_recv() {
            if let Event::Delivery(delivery) = event {
                let Arrived { message, delivery_count, .. } = properties::read(&delivery.content);
                let _own = self.note(&delivery, &message, delivery_count.filter(|_| self.counts));
            }
        }
    }
}

async fn cancelled(token: Option<CancellationToken>) {
    match token {
        Some(token) => token.cancelled().await,
        None => std::future::pending().await,
    }
}
