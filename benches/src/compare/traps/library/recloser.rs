use std::{
    collections::HashMap,
    fmt,
    sync::{
        Arc, LazyLock, Mutex, MutexGuard, Once, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use futures_util::{FutureExt, future::BoxFuture};
use recloser::{AsyncRecloser, Error, Recloser};
use tracing::{
    Event, Metadata, Subscriber,
    field::{Field, Visit},
    span,
};

use super::super::{
    breaker::{Breaker, Call, Change, Fault, Listener, Reply, Trip, Wish},
    verdict::{Built, Verdict},
};

struct Recloses(AsyncRecloser);

pub(super) fn breaker(wish: &Wish) -> Built<Arc<dyn Breaker>> {
    if !wish.ramp.is_zero() {
        return Verdict::not_offered("a traffic ramp after recovery");
    }
    let builder = Recloser::custom().half_open_len(1).open_wait(wish.reset);
    let builder = match wish.trip {
        Trip::InARow(failures) => builder.error_rate(1.0).closed_len(failures as usize),
        Trip::Half { minimum, .. } => builder.error_rate(0.5).closed_len(minimum as usize),
    };
    let builder = match &wish.listener {
        Some(listener) => builder.name(listen(Arc::clone(listener))),
        None => builder,
    };
    Ok(Arc::new(Recloses(AsyncRecloser::from(builder.build()))))
}

fn counts(fault: &Fault) -> bool {
    *fault == Fault::Down
}

impl Breaker for Recloses {
    fn call(&self, call: Call) -> BoxFuture<'static, Reply> {
        let call = self.0.call_with(counts as fn(&Fault) -> bool, call);
        async move {
            match call.await {
                Ok(()) => Reply::Answered,
                Err(Error::Inner(fault)) => Reply::Failed(fault),
                Err(Error::Rejected) => Reply::Rejected(None),
            }
        }
        .boxed()
    }

    /// It tells nothing about itself: a call is all that it can be asked.
    fn ask(&self) {
        let _ = self.call(super::super::breaker::succeed()).now_or_never();
    }
}

/// Its transitions are events of `tracing`, told apart by the breaker's name.
fn listen(listener: Listener) -> String {
    static NAMES: AtomicU64 = AtomicU64::new(0);
    static INSTALL: Once = Once::new();
    INSTALL.call_once(|| {
        // Somebody else subscribed: then nobody is told, and the trap says so.
        let _ = tracing::subscriber::set_global_default(Transitions);
    });
    let name = format!("trap-{}", NAMES.fetch_add(1, Ordering::Relaxed));
    listeners().insert(name.clone(), listener);
    name
}

/// The listener of each breaker that has one.
static LISTENERS: LazyLock<Mutex<HashMap<String, Listener>>> = LazyLock::new(Mutex::default);

fn listeners() -> MutexGuard<'static, HashMap<String, Listener>> {
    LISTENERS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Passes recloser's transitions on to the listener of the breaker's name.
struct Transitions;

impl Subscriber for Transitions {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == recloser::RECLOSER_EVENT
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut began = Began::default();
        event.record(&mut began);
        let listener = listeners().get(&began.name).cloned();
        if let (Some(listener), true) = (listener, began.began) {
            listener(if began.state == "Open" { Change::Opened } else { Change::Other });
        }
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

/// What an event says about a state that began.
#[derive(Default)]
struct Began {
    name: String,
    state: String,
    began: bool,
}

impl Visit for Began {
    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "name" => value.clone_into(&mut self.name),
            "state" => value.clone_into(&mut self.state),
            _ => {}
        }
    }

    fn record_u64(&mut self, field: &Field, _: u64) {
        self.began |= field.name() == "started_ts";
    }

    fn record_debug(&mut self, _: &Field, _: &dyn fmt::Debug) {}
}
