use super::Replay;

/// What is kept of a request, for another attempt.
pub(crate) struct Kept<Req> {
    copy: Option<Req>,
    /// Only to be sent if the first one never left.
    unsent_only: bool,
}

impl<Req> Kept<Req> {
    /// Nothing.
    pub(crate) const fn nothing() -> Self {
        Self { copy: None, unsent_only: false }
    }

    /// A copy of what may be sent twice, and, if `unsent_too`, of what may be sent again if it never left.
    pub(crate) fn of(replay: &impl Replay<Req>, request: &Req, unsent_too: bool) -> Self {
        match replay.replay(request) {
            None if unsent_too => Self { copy: replay.replay_unsent(request), unsent_only: true },
            copy => Self { copy, unsent_only: false },
        }
    }

    /// Whether what was kept can still be sent after an attempt that ended; `unsent`: certainly nothing of it left.
    pub(crate) fn may_repeat(&self, replay: &impl Replay<Req>, unsent: bool) -> bool {
        (unsent || !self.unsent_only) && self.copy.as_ref().is_some_and(|copy| replay.is_intact(copy))
    }

    /// Takes out what was kept, and gives up what was sent before.
    pub(crate) fn take(&mut self, replay: &impl Replay<Req>) -> Option<Req> {
        let copy = self.copy.take()?;
        replay.reclaim(&copy);
        Some(copy)
    }

    /// Whether it may be sent beside the attempt under way.
    pub(crate) fn may_race(&self, replay: &impl Replay<Req>) -> bool {
        !self.unsent_only && self.copy.as_ref().is_some_and(|copy| replay.may_race(copy))
    }

    /// Another copy, to send beside the attempt under way.
    pub(crate) fn spare(&self, replay: &impl Replay<Req>) -> Option<Req> {
        if !self.may_race(replay) {
            return None;
        }
        replay.replay(self.copy.as_ref()?)
    }
}
