//! Classes and methods, by number.

/// A class, and a method of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Method(pub(super) u16, pub(super) u16);

impl Method {
    /// The answer that the broker gives to a question, which is the next number for all that this crate asks.
    pub(super) const fn answer(self) -> Self {
        Self(self.0, self.1 + 1)
    }
}

pub(super) mod connection {
    use super::Method;

    pub(in super::super) const START: Method = Method(10, 10);
    pub(in super::super) const START_OK: Method = Method(10, 11);
    pub(in super::super) const SECURE: Method = Method(10, 20);
    pub(in super::super) const TUNE: Method = Method(10, 30);
    pub(in super::super) const TUNE_OK: Method = Method(10, 31);
    pub(in super::super) const OPEN: Method = Method(10, 40);
    pub(in super::super) const CLOSE: Method = Method(10, 50);
    pub(in super::super) const CLOSE_OK: Method = Method(10, 51);
    pub(in super::super) const BLOCKED: Method = Method(10, 60);
    pub(in super::super) const UNBLOCKED: Method = Method(10, 61);
}

pub(super) mod channel {
    use super::Method;

    pub(in super::super) const OPEN: Method = Method(20, 10);
    pub(in super::super) const FLOW: Method = Method(20, 20);
    pub(in super::super) const FLOW_OK: Method = Method(20, 21);
    pub(in super::super) const CLOSE: Method = Method(20, 40);
    pub(in super::super) const CLOSE_OK: Method = Method(20, 41);
}

pub(super) mod exchange {
    use super::Method;

    pub(in super::super) const DECLARE: Method = Method(40, 10);
    pub(in super::super) const BIND: Method = Method(40, 30);
}

pub(super) mod queue {
    use super::Method;

    pub(in super::super) const DECLARE: Method = Method(50, 10);
    pub(in super::super) const BIND: Method = Method(50, 20);
}

pub(super) mod basic {
    use super::Method;

    pub(in super::super) const QOS: Method = Method(60, 10);
    pub(in super::super) const CONSUME: Method = Method(60, 20);
    pub(in super::super) const CANCEL: Method = Method(60, 30);
    pub(in super::super) const CANCEL_OK: Method = Method(60, 31);
    pub(in super::super) const PUBLISH: Method = Method(60, 40);
    pub(in super::super) const RETURN: Method = Method(60, 50);
    pub(in super::super) const DELIVER: Method = Method(60, 60);
    pub(in super::super) const GET: Method = Method(60, 70);
    pub(in super::super) const GET_OK: Method = Method(60, 71);
    pub(in super::super) const GET_EMPTY: Method = Method(60, 72);
    pub(in super::super) const ACK: Method = Method(60, 80);
    pub(in super::super) const NACK: Method = Method(60, 120);
}

pub(super) mod confirm {
    use super::Method;

    pub(in super::super) const SELECT: Method = Method(85, 10);
}
