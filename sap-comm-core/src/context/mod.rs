use std::{future::Future, sync::Arc, time::Duration};

use tokio::time::Instant;

use crate::{Name, Principal, Timestamp, auth::LEEWAY, id};

pub mod header;
mod propagation;
mod trace;

pub use trace::TraceContext;

tokio::task_local! {
    static CURRENT: Context;
}

/// What a request carries across every hop: ids, trace, deadline, attempt count and principal.
///
/// Cheap to clone. The current context is bound to the running task by [`Context::scope`]; the servers, consumers and
/// clients of sap-comm bind and pass it on by themselves.
#[derive(Debug, Clone, PartialEq)]
pub struct Context(Arc<Inner>);

#[derive(Debug, Clone, PartialEq)]
struct Inner {
    request_id: Name,
    correlation_id: Name,
    trace: TraceContext,
    deadline: Option<Instant>,
    attempt: u32,
    caller: Caller,
}

/// For whom a request is made.
#[derive(Debug, Clone, PartialEq)]
enum Caller {
    /// Nobody but whoever makes it.
    Itself,
    Known(Arc<Principal>),
    /// Somebody, in the words of [`header::NOBODY`] or [`header::SOMEBODY`].
    Unknown(&'static str),
}

impl Caller {
    /// One whose credential has expired by now is only somebody.
    fn now(self) -> Self {
        match self {
            Self::Known(principal) if principal.expires_at.is_some_and(is_over) => Self::Unknown(header::SOMEBODY),
            caller => caller,
        }
    }
}

/// Whoever took a token within the leeway of verifiers speaks for its user.
fn is_over(end: Timestamp) -> bool {
    end.saturating_add(LEEWAY) <= Timestamp::now()
}

impl Context {
    /// A context that begins here: a new request id, which is the correlation id too, and a new trace.
    #[must_use]
    pub fn root() -> Self {
        let request_id = id::request();
        Self(Arc::new(Inner {
            correlation_id: request_id.clone(),
            request_id,
            trace: TraceContext::root(),
            deadline: None,
            attempt: 1,
            caller: Caller::Itself,
        }))
    }

    /// The context of the running task, or a new root when it has none.
    #[must_use]
    pub fn current() -> Self {
        Self::try_current().unwrap_or_else(Self::root)
    }

    /// The context of the running task.
    #[must_use]
    pub fn try_current() -> Option<Self> {
        CURRENT.try_with(Self::clone).ok()
    }

    /// Runs `future` with this as its current context. A task spawned within it does not inherit: scope it again.
    pub fn scope<F: Future>(self, future: F) -> impl Future<Output = F::Output> {
        CURRENT.scope(self, future)
    }

    /// Runs `f` with this as the current context.
    pub fn sync_scope<R>(self, f: impl FnOnce() -> R) -> R {
        CURRENT.sync_scope(self, f)
    }

    /// A context for work that this one causes: the same ids, deadline and principal, a new span of the same trace.
    #[must_use]
    pub fn child(&self) -> Self {
        self.with(|inner| inner.trace = inner.trace.child())
    }

    /// The context in which a message that this one sent is handled: the same ids and principal, a new span of the same
    /// trace. The deadline and the attempt count end with the sender's request, a principal with its credential.
    ///
    /// It is what [`Context::extract_trusted`] reads from the headers that [`Context::inject`] wrote, without those of the
    /// deadline and the attempt, for messages that never leave the process.
    #[must_use]
    pub fn handed_on(&self) -> Self {
        let Inner { request_id, correlation_id, trace, caller, .. } = &*self.0;
        Self(Arc::new(Inner {
            request_id: request_id.clone(),
            correlation_id: correlation_id.clone(),
            trace: trace.child(),
            deadline: None,
            attempt: 1,
            caller: caller.clone().now(),
        }))
    }

    /// Identifies the request in errors and logs.
    #[must_use]
    pub fn request_id(&self) -> &str {
        self.0.request_id.as_str()
    }

    /// Ties everything that one cause set off together.
    #[must_use]
    pub fn correlation_id(&self) -> &str {
        self.0.correlation_id.as_str()
    }

    /// The W3C trace context.
    #[must_use]
    pub fn trace(&self) -> &TraceContext {
        &self.0.trace
    }

    /// When the caller stops waiting.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.0.deadline
    }

    /// How long the caller still waits; zero once the deadline has passed.
    #[must_use]
    pub fn remaining(&self) -> Option<Duration> {
        self.0.deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()))
    }

    /// Which attempt this is, from 1; a retry upstream of us raises it.
    #[must_use]
    pub fn attempt(&self) -> u32 {
        self.0.attempt
    }

    /// Who asks, once verified.
    #[must_use]
    pub fn principal(&self) -> Option<&Arc<Principal>> {
        match &self.0.caller {
            Caller::Known(principal) => Some(principal),
            Caller::Itself | Caller::Unknown(_) => None,
        }
    }

    /// With another request id; ids that are empty, over 128 bytes or not visible ASCII are refused and the own one kept.
    #[must_use]
    pub fn with_request_id(&self, id: &str) -> Self {
        if id != self.request_id() && header::is_id(id) {
            self.with(|inner| inner.request_id = id.into())
        } else {
            self.clone()
        }
    }

    /// With another correlation id, under the same rule as [`Context::with_request_id`].
    #[must_use]
    pub fn with_correlation_id(&self, id: &str) -> Self {
        if id != self.correlation_id() && header::is_id(id) {
            self.with(|inner| inner.correlation_id = id.into())
        } else {
            self.clone()
        }
    }

    /// With another trace context.
    #[must_use]
    pub fn with_trace(&self, trace: TraceContext) -> Self {
        self.with(|inner| inner.trace = trace)
    }

    /// With a deadline `after` from now, unless an earlier one stands.
    #[must_use]
    pub fn with_timeout(&self, after: Duration) -> Self {
        match Instant::now().checked_add(after) {
            Some(deadline) => self.with_deadline(deadline),
            None => self.clone(),
        }
    }

    /// With a deadline, unless an earlier one stands.
    #[must_use]
    pub fn with_deadline(&self, deadline: Instant) -> Self {
        self.with(|inner| inner.deadline = Some(inner.deadline.map_or(deadline, |own| own.min(deadline))))
    }

    /// With another attempt count.
    #[must_use]
    pub fn with_attempt(&self, attempt: u32) -> Self {
        if attempt == self.attempt() {
            return self.clone();
        }
        self.with(|inner| inner.attempt = attempt)
    }

    /// With another principal. With `None` whoever sends a request asks for itself.
    #[must_use]
    pub fn with_principal(&self, principal: impl Into<Option<Principal>>) -> Self {
        self.with(|inner| inner.caller = principal.into().map_or(Caller::Itself, |it| Caller::Known(Arc::new(it))))
    }

    /// With another principal, which is shared and not copied.
    #[must_use]
    pub fn with_shared_principal(&self, principal: Arc<Principal>) -> Self {
        self.with(|inner| inner.caller = Caller::Known(principal))
    }

    /// On behalf of somebody who is not known, until it gets another principal: whoever sends a request within it does not ask
    /// for itself, and says [`header::NOBODY`].
    #[must_use]
    pub fn for_nobody(&self) -> Self {
        self.with(|inner| inner.caller = Caller::Unknown(header::NOBODY))
    }

    fn with(&self, change: impl FnOnce(&mut Inner)) -> Self {
        let mut context = self.clone();
        change(Arc::make_mut(&mut context.0));
        context
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_current_context_follows_the_scope() {
        assert_eq!(Context::try_current(), None);
        let context = Context::root();
        context.clone().scope(async { assert_eq!(Context::current(), context) }).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_deadline_only_shrinks() {
        let context = Context::root().with_timeout(Duration::from_secs(3)).with_timeout(Duration::from_secs(30));
        assert_eq!(context.remaining(), Some(Duration::from_secs(3)));
        tokio::time::advance(Duration::from_secs(5)).await;
        assert_eq!(context.remaining(), Some(Duration::ZERO));
        assert_eq!(Context::root().with_timeout(Duration::MAX).deadline(), None);
    }

    #[test]
    fn a_hostile_request_id_is_not_taken_over() {
        let context = Context::root();
        for id in ["", "a b", "x\r\ny", &"x".repeat(129)] {
            assert_eq!(context.with_request_id(id).request_id(), context.request_id());
        }
        assert_eq!(context.with_request_id("abc-1").request_id(), "abc-1");
    }
}
