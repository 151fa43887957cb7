use sap_comm_core::Context;

/// Numbers what one call sends, retries and hedges included, so that the tiers below do not multiply it.
#[derive(Debug, Default)]
pub(crate) struct Numbering {
    sent: u32,
    /// Of a call made outside any context, from its second request on.
    root: Option<Context>,
}

impl Numbering {
    /// The context of the request that is about to be sent: the first one has its caller's.
    #[inline]
    pub(crate) fn next(&mut self) -> Option<Context> {
        self.sent = self.sent.saturating_add(1);
        (self.sent > 1).then(|| self.numbered())
    }

    #[cold]
    fn numbered(&mut self) -> Context {
        let context = Context::try_current().unwrap_or_else(|| self.root.get_or_insert_with(Context::root).clone());
        context.with_attempt(context.attempt().saturating_add(self.sent - 1))
    }
}
