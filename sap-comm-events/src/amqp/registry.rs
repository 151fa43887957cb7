//! The channels of a connection, and what comes for each.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use parking_lot::Mutex;
use tokio::sync::{mpsc::UnboundedSender, oneshot};

use super::{
    assembly::{Assembly, Purpose, consumer},
    content::Content,
    decode::Decoder,
    encode::Encoder,
    error::Error,
    frame::{self, Payload},
    method::{Method, basic, channel},
    settling::Book,
};

/// Who hears what happens on a channel, in the order in which it happens. It must not wait for anything.
pub(crate) trait Sink: Send + Sync {
    fn happen(&self, event: Event);
}

impl Sink for UnboundedSender<Event> {
    fn happen(&self, event: Event) {
        // Whoever listened may have stopped.
        drop(self.send(event));
    }
}

/// A channel that only asks hears nothing.
impl Sink for () {
    fn happen(&self, _event: Event) {}
}

/// Something that happens on a channel without having been asked for.
#[derive(Debug)]
pub(crate) enum Event {
    Delivery(Delivery),
    /// A message of ours that no queue wanted; its confirm follows.
    Returned(Content),
    /// The broker has the publish `number`, or with `multiple` all up to it; or refuses them.
    Confirmed {
        number: u64,
        multiple: bool,
        acked: bool,
    },
    /// The broker ended a consumer.
    Cancelled,
    /// The channel is no more. What follows is of no account.
    Closed(Error),
}

/// A message for a consumer.
#[derive(Debug)]
pub(crate) struct Delivery {
    /// The number of the consumer.
    pub(crate) consumer: u32,
    pub(crate) tag: u64,
    pub(crate) redelivered: bool,
    pub(crate) content: Content,
}

/// An answer of the broker.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) arguments: Vec<u8>,
    /// The message taken with `basic.get`.
    pub(super) got: Option<(u64, u32, Content)>,
}

impl Reply {
    /// The consumer that it names.
    fn consumer(&self) -> Option<u32> {
        Decoder(&self.arguments).short().and_then(consumer)
    }
}

pub(super) type Answer = Result<Reply, Error>;

/// What both sides of a channel know of it.
#[derive(Debug, Default)]
pub(super) struct Core {
    pub(super) id: u16,
    /// Nothing is written for the channel after that. Set with the buffer locked, as long as there is one.
    ended: AtomicBool,
    pub(super) book: Mutex<Book>,
    /// So many settlements are not kept back.
    pub(super) hurry: AtomicUsize,
    /// Consumers that the broker ended, which it hardly ever does.
    lost: Mutex<Vec<u32>>,
    loses: AtomicBool,
}

impl Core {
    pub(super) fn end(&self) {
        self.ended.store(true, Ordering::Release);
    }

    pub(super) fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Acquire)
    }

    /// The broker has ended a consumer.
    fn lose(&self, consumer: u32) {
        self.lost.lock().push(consumer);
        self.loses.store(true, Ordering::Release);
    }

    pub(super) fn has_lost(&self, consumer: u32) -> bool {
        self.loses.load(Ordering::Acquire) && self.lost.lock().contains(&consumer)
    }
}

/// A channel that is open, as the reading side sees it.
struct Open {
    core: Arc<Core>,
    sink: Arc<dyn Sink>,
    questions: VecDeque<Question>,
    assembly: Assembly,
    /// Whether the broker knows of it. What comes before is for an earlier one of the same number.
    opened: bool,
}

struct Question {
    method: Method,
    /// The consumer that it is about, if it is about one.
    consumer: Option<u32>,
    reply: oneshot::Sender<Answer>,
}

impl Question {
    fn is_answered_by(&self, method: Method, reply: &Reply) -> bool {
        let by_name = |number| reply.consumer() == Some(number);
        (self.method.answer() == method || self.method == basic::GET && method == basic::GET_EMPTY)
            && self.consumer.is_none_or(by_name)
    }
}

/// The channels by their number, which begins at 1.
pub(super) struct Registry {
    slots: Vec<Option<Open>>,
    /// Where the next channel is looked for a place: the broker may still send something for one that has just gone.
    next: usize,
    max: u16,
    /// Why there are no channels any more.
    closed: Option<Error>,
}

/// So many numbers are used in turns, however few channels are open.
const LEAST_PLACES: usize = 64;

impl Registry {
    pub(super) fn new(max: u16) -> Self {
        Self { slots: Vec::new(), next: 0, max, closed: None }
    }

    pub(super) fn closed(&self) -> Option<&Error> {
        self.closed.as_ref()
    }

    /// A channel that the broker is yet to be asked for.
    pub(super) fn add(&mut self, sink: Arc<dyn Sink>) -> Result<Arc<Core>, Error> {
        if let Some(error) = &self.closed {
            return Err(error.clone());
        }
        let is_free = |at: &usize| self.slots.get(*at).is_none_or(Option::is_none);
        let open = self.slots.iter().flatten().count();
        let places = usize::from(self.max).min((open * 2).max(LEAST_PLACES));
        let at = (self.next..places).chain(0..self.next.min(places)).find(is_free);
        let at = at.ok_or(Error::NoChannel(self.max))?;
        let id = u16::try_from(at + 1).map_err(|_| Error::NoChannel(self.max))?;
        self.next = at + 1;
        let core = Arc::new(Core { id, ..Core::default() });
        let open = Open {
            core: Arc::clone(&core),
            sink,
            questions: VecDeque::new(),
            assembly: Assembly::default(),
            opened: false,
        };
        if self.slots.len() <= at {
            self.slots.resize_with(at + 1, || None);
        }
        if let Some(slot) = self.slots.get_mut(at) {
            *slot = Some(open);
        }
        Ok(core)
    }

    /// Takes note of a question that is about to be written, and which consumer it is about.
    pub(super) fn ask(
        &mut self,
        core: &Arc<Core>,
        method: Method,
        consumer: Option<u32>,
    ) -> Result<oneshot::Receiver<Answer>, Error> {
        if let Some(error) = &self.closed {
            return Err(error.clone());
        }
        let open = self.slot(core.id).and_then(Option::as_mut).filter(|open| Arc::ptr_eq(&open.core, core));
        let Some(open) = open.filter(|_| !core.has_ended()) else { return Err(Error::Closed) };
        let (reply, answer) = oneshot::channel();
        open.questions.push_back(Question { method, consumer, reply });
        Ok(answer)
    }

    /// Takes back the last question, which could not be written.
    pub(super) fn take_back(&mut self, core: &Core) {
        if let Some(Some(open)) = self.slot(core.id) {
            open.questions.pop_back();
        }
    }

    /// The channels that are open.
    pub(super) fn cores(&self) -> impl Iterator<Item = &Arc<Core>> {
        self.slots.iter().flatten().map(|open| &open.core)
    }

    fn slot(&mut self, id: u16) -> Option<&mut Option<Open>> {
        self.slots.get_mut(usize::from(id).checked_sub(1)?)
    }

    /// Takes a frame for channel `id`; what is to be answered is written to `out`, what is to be told is added to `news`.
    pub(super) fn take(
        &mut self,
        id: u16,
        payload: Payload<'_>,
        out: &dyn Fn(Reaction),
        news: &mut Vec<News>,
    ) -> Result<(), Error> {
        let Some(slot) = self.slot(id) else {
            return Err(Error::Protocol("a frame is for a channel that is not open"));
        };
        // The broker may have sent it before it heard that the channel was at its end.
        let Some(open) = slot else { return Ok(()) };
        if !open.opened {
            match &payload {
                Payload::Method(channel::CLOSE, _) => {}
                Payload::Method(method, _) if *method == channel::OPEN.answer() => open.opened = true,
                Payload::Method(..) | Payload::Header { .. } | Payload::Body(_) => return Ok(()),
                Payload::Heartbeat => {}
            }
        }
        let whole = match payload {
            Payload::Method(channel::CLOSE, mut arguments) => {
                let (code, text) = arguments.reason();
                let error = Error::Channel { code, text };
                out(Reaction::Ended(Arc::clone(&open.core)));
                open.end(&error, news);
                // The broker answers our own close too, should both have crossed.
                if open.questions.is_empty() {
                    *slot = None;
                }
                return Ok(());
            }
            Payload::Method(channel::CLOSE_OK, _) => {
                open.answer(channel::CLOSE_OK, Reply { arguments: Vec::new(), got: None }, news)?;
                open.end(&Error::Closed, news);
                *slot = None;
                return Ok(());
            }
            Payload::Method(method, arguments) => {
                if open.assembly.begin(method, arguments)? {
                    return Ok(());
                }
                return open.method(method, arguments, out, news);
            }
            Payload::Header { size, properties } => open.assembly.header(size, properties)?,
            Payload::Body(part) => open.assembly.body(part)?,
            Payload::Heartbeat => return Err(Error::Protocol("a heartbeat is for a channel")),
        };
        match whole {
            Some((purpose, content)) => open.message(purpose, content, news),
            None => Ok(()),
        }
    }

    /// Ends every channel.
    pub(super) fn end(&mut self, error: &Error, news: &mut Vec<News>) {
        if self.closed.is_none() {
            self.closed = Some(error.clone());
            for mut open in self.slots.drain(..).flatten() {
                open.core.end();
                open.end(error, news);
            }
        }
    }
}

/// What somebody is to be told, once the channels are no longer locked.
pub(super) enum News {
    Event(Arc<dyn Sink>, Event),
    Answer(oneshot::Sender<Answer>, Answer),
}

impl News {
    pub(super) fn tell(self) {
        match self {
            Self::Event(sink, event) => sink.happen(event),
            // Whoever asked may have stopped waiting.
            Self::Answer(reply, answer) => drop(reply.send(answer)),
        }
    }
}

/// What is to be written because of something that came.
pub(super) enum Reaction {
    /// The channel was closed: say that we know, and write nothing more for it.
    Ended(Arc<Core>),
    FlowOk {
        channel: u16,
        active: bool,
    },
    CancelOk {
        channel: u16,
        tag: Vec<u8>,
    },
}

impl Reaction {
    pub(super) fn write(self, out: &mut Vec<u8>) {
        let written = match self {
            Self::Ended(core) => {
                core.end();
                frame::method(out, core.id, channel::CLOSE_OK, |_| Ok(()))
            }
            Self::FlowOk { channel, active } => frame::method(out, channel, channel::FLOW_OK, |out| {
                out.u8(active.into());
                Ok(())
            }),
            Self::CancelOk { channel, tag } => {
                frame::method(out, channel, basic::CANCEL_OK, |out: &mut Encoder<'_>| {
                    out.u8(u8::try_from(tag.len()).unwrap_or(u8::MAX));
                    out.0.extend_from_slice(&tag);
                    Ok(())
                })
            }
        };
        debug_assert!(written.is_ok(), "a tag that came as a short string fits into one");
    }
}

impl Open {
    fn method(
        &mut self,
        method: Method,
        mut arguments: Decoder<'_>,
        out: &dyn Fn(Reaction),
        news: &mut Vec<News>,
    ) -> Result<(), Error> {
        let unreadable = || Error::Protocol("a method cannot be read");
        match method {
            basic::ACK | basic::NACK => {
                let (number, bits) = arguments.u64().zip(arguments.u8()).ok_or_else(unreadable)?;
                let confirmed = Event::Confirmed { number, multiple: bits & 1 != 0, acked: method == basic::ACK };
                news.push(self.event(confirmed));
            }
            basic::CANCEL => {
                let (tag, no_wait) = arguments.short().zip(arguments.u8()).ok_or_else(unreadable)?;
                if no_wait & 1 == 0 && !self.core.has_ended() {
                    out(Reaction::CancelOk { channel: self.core.id, tag: tag.to_owned() });
                }
                if let Some(number) = consumer(tag) {
                    self.core.lose(number);
                    news.push(self.event(Event::Cancelled));
                }
            }
            channel::FLOW => {
                let active = arguments.u8().ok_or_else(unreadable)? & 1 != 0;
                if !self.core.has_ended() {
                    out(Reaction::FlowOk { channel: self.core.id, active });
                }
            }
            _ => self.answer(method, Reply { arguments: arguments.0.to_owned(), got: None }, news)?,
        }
        Ok(())
    }

    fn message(&mut self, purpose: Purpose, content: Content, news: &mut Vec<News>) -> Result<(), Error> {
        match purpose {
            Purpose::Delivery { consumer, tag, redelivered } => {
                news.push(self.event(Event::Delivery(Delivery { consumer, tag, redelivered, content })));
            }
            Purpose::Return => news.push(self.event(Event::Returned(content))),
            Purpose::Got { tag, messages } => {
                let reply = Reply { arguments: Vec::new(), got: Some((tag, messages, content)) };
                self.answer(basic::GET_OK, reply, news)?;
            }
        }
        Ok(())
    }

    /// Answers the first question that it fits. RabbitMQ answers those about consumers when their queues have, and the others meanwhile.
    fn answer(&mut self, method: Method, reply: Reply, news: &mut Vec<News>) -> Result<(), Error> {
        let at = self.questions.iter().position(|question| question.is_answered_by(method, &reply));
        let question = at.and_then(|at| self.questions.remove(at));
        let question = question.ok_or(Error::Protocol("an answer fits no question"))?;
        news.push(News::Answer(question.reply, Ok(reply)));
        Ok(())
    }

    fn event(&self, event: Event) -> News {
        News::Event(Arc::clone(&self.sink), event)
    }

    /// Nothing is answered any more but a close.
    fn end(&mut self, error: &Error, news: &mut Vec<News>) {
        let (close, rest) = self.questions.drain(..).partition(|question| question.method == channel::CLOSE);
        self.questions = close;
        for question in VecDeque::<Question>::into_iter(rest) {
            news.push(News::Answer(question.reply, Err(error.clone())));
        }
        news.push(self.event(Event::Closed(error.clone())));
    }
}
