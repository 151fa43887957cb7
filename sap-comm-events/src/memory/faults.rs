//! What goes wrong on purpose, and when nothing is under way.

use std::{
    fmt::Write,
    sync::{Arc, atomic::Ordering},
};

use tokio::time::Instant;

use super::{MemoryBackend, Shared};
use crate::{
    PublishError,
    message::Message,
    test_util::{Dice, Failure, FaultCounts, Faults},
    topology::Target,
};

impl MemoryBackend {
    /// The same broker, which fails as told. To be called before anybody uses it.
    pub(crate) fn with_faults(mut self, faults: Option<Faults>) -> Self {
        if let Some(faults) = faults
            && let Some(shared) = Arc::get_mut(&mut self.shared)
        {
            shared.state.get_mut().lend_on_record();
            shared.dice = Some(Dice::new(faults));
        }
        self
    }

    pub(crate) fn fault_counts(&self) -> FaultCounts {
        self.shared.dice.as_ref().map(Dice::counts).unwrap_or_default()
    }

    /// Publishes a message as the dice fall.
    pub(super) async fn deliver_or_fail(
        &self,
        dice: &Dice,
        target: &Target,
        message: &Arc<Message>,
        deadline: Instant,
    ) -> Result<(), PublishError> {
        const REASON: &str = "a fault on purpose";
        let fate = dice.publish();
        if let Some(delay) = fate.delay {
            let until = Instant::now() + delay;
            tokio::time::sleep_until(until.min(deadline)).await;
            if until >= deadline {
                return Err(PublishError::Unknown { id: message.id.clone() });
            }
        }
        match fate.failure {
            None => {}
            Some(Failure::Unavailable) => return Err(PublishError::Unavailable { reason: REASON.to_owned() }),
            Some(Failure::Nacked) => {
                return Err(PublishError::Nacked { id: message.id.clone(), reason: REASON.to_owned() });
            }
            Some(Failure::Blocked { taken }) => {
                self.deliver_if(taken, target, message, deadline).await?;
                return Err(PublishError::Blocked { reason: REASON.to_owned() });
            }
            Some(Failure::Unknown { taken }) => {
                self.deliver_if(taken, target, message, deadline).await?;
                return Err(PublishError::Unknown { id: message.id.clone() });
            }
        }
        self.deliver(target, Arc::clone(message), deadline).await?;
        if fate.twice {
            // The second copy of a full queue is no fault of the publisher.
            let _ = self.take(target, Arc::clone(message));
        }
        Ok(())
    }

    async fn deliver_if(
        &self,
        taken: bool,
        target: &Target,
        message: &Arc<Message>,
        deadline: Instant,
    ) -> Result<(), PublishError> {
        if taken { self.deliver(target, Arc::clone(message), deadline).await } else { Ok(()) }
    }

    /// Returns once nothing is under way.
    pub(crate) async fn idle(&self) {
        self.shared.room.until(|| self.busy().is_none().then_some(())).await;
    }

    /// What is under way, for people; `None` if nothing is.
    pub(crate) fn busy(&self) -> Option<String> {
        let mut text = self.shared.state.lock().busy();
        let pending = self.pending.load(Ordering::SeqCst);
        if pending > 0 {
            let _ = write!(text, "{pending} being published; ");
        }
        let text = text.trim_end_matches("; ");
        (!text.is_empty()).then(|| text.to_owned())
    }
}

impl Shared {
    /// Loses the connection if the dice say so with this delivery: everything in hand goes back to its place.
    pub(super) fn may_lose_connection(&self) {
        if self.dice.as_ref().is_some_and(Dice::delivery) {
            tracing::warn!("the connection is lost on purpose");
            self.state.lock().take_back_all();
        }
    }
}
