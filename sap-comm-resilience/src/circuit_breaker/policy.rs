use std::time::Duration;

use parking_lot::Mutex;

use crate::contain::contained;

/// A rule of your own that may open a breaker, beside the built-in ones.
///
/// It is called under a lock, for every counted call: keep it short, and do not call the breaker from it. One that
/// panics is logged and opens nothing.
pub trait TripPolicy: Send + 'static {
    /// A call succeeded.
    fn succeeded(&mut self);

    /// A call failed. `Some` opens the breaker for that long, even if the failure opens it by another rule too. Nobody
    /// else adds jitter to it.
    fn failed(&mut self) -> Option<Duration>;

    /// The breaker closed: begin anew.
    fn revived(&mut self);
}

/// The policy of a breaker, if it has one.
pub(crate) struct Policy(Option<Mutex<Box<dyn TripPolicy>>>);

impl Policy {
    pub(crate) fn new(policy: Option<Box<dyn TripPolicy>>) -> Self {
        Self(policy.map(Mutex::new))
    }

    #[inline]
    pub(crate) fn succeeded(&self) {
        if let Some(policy) = &self.0 {
            contained("a trip policy", || policy.lock().succeeded());
        }
    }

    pub(crate) fn failed(&self) -> Option<Duration> {
        let policy = self.0.as_ref()?;
        contained("a trip policy", || policy.lock().failed()).flatten()
    }

    pub(crate) fn revived(&self) {
        if let Some(policy) = &self.0 {
            contained("a trip policy", || policy.lock().revived());
        }
    }
}

impl std::fmt::Debug for Policy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Policy").field(&self.0.is_some()).finish()
    }
}
