//! A channel, as whoever uses it sees it.

use std::sync::{Arc, atomic::Ordering};

use tokio::sync::oneshot;

use super::{
    assembly::consumer_tag,
    connection::Shared,
    content::Content,
    decode::Decoder,
    encode::Encoder,
    error::Error,
    frame,
    method::{Method, basic, channel, confirm, exchange, queue},
    properties::PropertiesWriter,
    registry::{Answer, Core},
    settling,
    value::Value,
};

/// A channel. It is closed with its last clone, if it was not before.
#[derive(Clone)]
pub(crate) struct Channel(Arc<Handle>);

struct Handle {
    core: Arc<Core>,
    shared: Arc<Shared>,
}

#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct ExchangeOptions {
    pub(crate) passive: bool,
    pub(crate) durable: bool,
}

#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct QueueOptions {
    pub(crate) passive: bool,
    pub(crate) durable: bool,
    pub(crate) exclusive: bool,
    pub(crate) auto_delete: bool,
}

/// Names and values of arguments.
type Arguments<'a> = &'a [(&'a str, Value<'a>)];

/// A message that was taken from a queue.
#[derive(Debug)]
pub(crate) struct Got {
    pub(crate) tag: u64,
    /// How many messages are left.
    pub(crate) messages: u32,
    pub(crate) content: Content,
}

/// Reserved by the protocol.
const TICKET: u16 = 0;

impl Channel {
    pub(super) fn new(core: Arc<Core>, shared: Arc<Shared>) -> Self {
        Self(Arc::new(Handle { core, shared }))
    }

    pub(super) async fn open(&self) -> Result<(), Error> {
        self.ask(channel::OPEN, |out| out.short("")).done().await
    }

    pub(crate) async fn declare_exchange(
        &self,
        name: &str,
        kind: &str,
        options: ExchangeOptions,
        arguments: Arguments<'_>,
    ) -> Result<(), Error> {
        let ExchangeOptions { passive, durable } = options;
        let declaring = self.ask(exchange::DECLARE, |out| {
            out.u16(TICKET);
            out.short(name)?;
            out.short(kind)?;
            out.bits([passive, durable]);
            out.table(arguments)
        });
        declaring.done().await
    }

    /// Binds exchange `to` to exchange `from`.
    pub(crate) async fn bind_exchange(
        &self,
        to: &str,
        from: &str,
        routing_key: &str,
        arguments: Arguments<'_>,
    ) -> Result<(), Error> {
        self.bind(exchange::BIND, [to, from, routing_key], arguments).await
    }

    pub(crate) async fn bind_queue(
        &self,
        queue: &str,
        exchange: &str,
        routing_key: &str,
        arguments: Arguments<'_>,
    ) -> Result<(), Error> {
        self.bind(queue::BIND, [queue, exchange, routing_key], arguments).await
    }

    async fn bind(&self, method: Method, names: [&str; 3], arguments: Arguments<'_>) -> Result<(), Error> {
        let binding = self.ask(method, |out| {
            out.u16(TICKET);
            names.iter().try_for_each(|name| out.short(name))?;
            out.bits([false]);
            out.table(arguments)
        });
        binding.done().await
    }

    /// Declares a queue; how many messages are ready in it.
    pub(crate) async fn declare_queue(
        &self,
        name: &str,
        options: QueueOptions,
        arguments: Arguments<'_>,
    ) -> Result<u32, Error> {
        let QueueOptions { passive, durable, exclusive, auto_delete } = options;
        let declaring = self.ask(queue::DECLARE, |out| {
            out.u16(TICKET);
            out.short(name)?;
            out.bits([passive, durable, exclusive, auto_delete]);
            out.table(arguments)
        });
        let reply = declaring.answer().await?;
        let mut arguments = Decoder(&reply.arguments);
        let messages = arguments.short().and_then(|_name| arguments.u32());
        messages.ok_or(Error::Protocol("the answer to a declaration cannot be read"))
    }

    /// How many messages each consumer may hold that starts from now on; the broker is asked at once.
    pub(crate) fn prefetch(&self, count: u16) -> impl Future<Output = Result<(), Error>> + use<> {
        self.0.core.hurry.store(settling::kept_back(count), Ordering::Relaxed);
        let asking = self.ask(basic::QOS, |out| {
            out.u32(0);
            out.u16(count);
            out.bits([false]);
            Ok(())
        });
        asking.done()
    }

    /// Starts consumer `number` of the channel; the broker is asked at once.
    pub(crate) fn consume(
        &self,
        queue: &str,
        number: u32,
        arguments: Arguments<'_>,
    ) -> impl Future<Output = Result<(), Error>> + use<> {
        let starting = self.ask_about(number, basic::CONSUME, |out| {
            out.u16(TICKET);
            out.short(queue)?;
            out.short(&consumer_tag(number))?;
            out.bits([false, false, false]);
            out.table(arguments)
        });
        starting.done()
    }

    /// Ends consumer `number`; its deliveries are all among the channel's events by the answer. The broker is asked at once.
    pub(crate) fn cancel(&self, number: u32) -> impl Future<Output = Result<(), Error>> + use<> {
        let ending = self.ask_about(number, basic::CANCEL, |out| {
            out.short(&consumer_tag(number))?;
            out.bits([false]);
            Ok(())
        });
        ending.done()
    }

    /// Takes a message from a queue; the broker is asked at once, and answers in order.
    pub(crate) fn get(&self, queue: &str) -> impl Future<Output = Result<Option<Got>, Error>> + use<> {
        let asked = self.ask(basic::GET, |out| {
            out.u16(TICKET);
            out.short(queue)?;
            out.bits([false]);
            Ok(())
        });
        async move { Ok(asked.answer().await?.got.map(|(tag, messages, content)| Got { tag, messages, content })) }
    }

    /// From now on the broker confirms what is published, whose numbers begin at 1.
    pub(crate) async fn confirm(&self) -> Result<(), Error> {
        let asking = self.ask(confirm::SELECT, |out| {
            out.bits([false]);
            Ok(())
        });
        asking.done().await
    }

    /// Publishes a message, which comes back if no queue wants it.
    ///
    /// # Errors
    /// When a name is too long, the properties are too large for a frame, or the channel is closed; nothing is sent then.
    pub(crate) fn publish(
        &self,
        exchange: &str,
        routing_key: &str,
        body: &[u8],
        properties: impl FnOnce(&mut PropertiesWriter<'_, '_>),
    ) -> Result<(), Error> {
        let Handle { core, shared } = &*self.0;
        shared.outbound.write(|out| {
            if core.has_ended() {
                return Err(Error::Closed);
            }
            let before = out.len();
            frame::method(out, core.id, basic::PUBLISH, |out| {
                out.u16(TICKET);
                out.short(exchange)?;
                out.short(routing_key)?;
                out.bits([true, false]);
                Ok(())
            })?;
            let mut size = 0;
            frame::content(out, core.id, body, shared.max_frame, |out| {
                let before = out.0.len();
                properties(&mut PropertiesWriter::new(out));
                size = out.0.len() - before;
            });
            let most = shared.max_frame.saturating_sub(frame::AROUND_PROPERTIES);
            if size > most {
                out.truncate(before);
                return Err(Error::TooLarge { size, most });
            }
            Ok(())
        })
    }

    /// Whether publishes wait for the socket.
    pub(crate) fn is_full(&self) -> bool {
        self.0.shared.outbound.is_full()
    }

    /// Waits while publishes wait for the socket, unless the connection is lost.
    pub(crate) async fn room(&self) {
        self.0.shared.outbound.room().await;
    }

    /// Acknowledges a delivery. It is sent within some milliseconds, together with others.
    pub(crate) fn ack(&self, tag: u64) {
        settling::ack(&self.0.core, &self.0.shared.outbound, tag);
    }

    /// Gives a delivery back to its queue.
    pub(crate) fn give_back(&self, tag: u64) {
        settling::give_back(&self.0.core, &self.0.shared.outbound, tag);
    }

    /// Gives every delivery that is not settled back.
    pub(crate) fn give_all_back(&self) {
        self.settle();
        self.0.shared.outbound.write(|out| {
            if !self.has_ended() {
                let written = frame::method(out, self.0.core.id, basic::NACK, |out| {
                    out.u64(0);
                    out.bits([true, true]);
                    Ok(())
                });
                debug_assert!(written.is_ok(), "numbers always fit");
            }
        });
    }

    /// Whether the channel is gone, and with it everything that was not settled.
    pub(crate) fn has_ended(&self) -> bool {
        self.0.core.has_ended()
    }

    /// Whether the channel is gone, or the broker ended its consumer `number`, and with that everything of its own that was not settled.
    pub(crate) fn has_lost(&self, number: u32) -> bool {
        self.has_ended() || self.0.core.has_lost(number)
    }

    /// Waits until the broker has every settlement so far. A quorum queue may have taken some thirty of them only.
    pub(crate) async fn synced(&self) -> Result<(), Error> {
        self.settle();
        // The broker reads a channel in order, and answers this one itself: it has what came before.
        let asking = self.ask(channel::FLOW, |out| {
            out.bits([true]);
            Ok(())
        });
        asking.done().await
    }

    /// Closes the channel after everything that was written for it.
    pub(crate) async fn close(&self) -> Result<(), Error> {
        self.settle();
        self.ask(channel::CLOSE, farewell).done().await
    }

    /// Writes every settlement that is kept back for others.
    pub(crate) fn settle(&self) {
        let outbound = &self.0.shared.outbound;
        settling::settle(&self.0.core, |write| outbound.write(write));
    }

    /// Writes a question, at once.
    fn ask(&self, method: Method, arguments: impl FnOnce(&mut Encoder<'_>) -> Result<(), Error>) -> Asked {
        let Handle { core, shared } = &*self.0;
        Asked(shared.ask(core, method, None, arguments))
    }

    /// The same, about a consumer.
    fn ask_about(
        &self,
        consumer: u32,
        method: Method,
        arguments: impl FnOnce(&mut Encoder<'_>) -> Result<(), Error>,
    ) -> Asked {
        let Handle { core, shared } = &*self.0;
        Asked(shared.ask(core, method, Some(consumer), arguments))
    }
}

/// A question that the broker is yet to answer.
struct Asked(Result<oneshot::Receiver<Answer>, Error>);

impl Asked {
    async fn answer(self) -> Answer {
        self.0?.await.unwrap_or(Err(Error::Closed))
    }

    async fn done(self) -> Result<(), Error> {
        self.answer().await.map(drop)
    }
}

/// The reason for a close.
pub(super) fn farewell(out: &mut Encoder<'_>) -> Result<(), Error> {
    out.u16(200);
    out.short("done")?;
    out.u16(0);
    out.u16(0);
    Ok(())
}

impl Drop for Handle {
    fn drop(&mut self) {
        if !self.core.has_ended() {
            settling::settle(&self.core, |write| self.shared.outbound.write(write));
            // An error means that the channel is closed or about to be.
            drop(self.shared.ask(&self.core, channel::CLOSE, None, farewell));
        }
    }
}

impl std::fmt::Debug for Channel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Channel").field("id", &self.0.core.id).finish_non_exhaustive()
    }
}
