use sap_comm_core::{Context, EventKind};

use super::{HeaderValue, header};

/// What caused a message: written as headers only where somebody looks, such as a wire.
#[derive(Debug, Clone)]
pub(super) struct Cause {
    pub(super) context: Context,
    pub(super) kind: EventKind,
}

impl Cause {
    pub(super) fn write(&self, mut set: impl FnMut(&'static str, HeaderValue)) {
        set(header::KIND, HeaderValue::Text(self.kind.as_str().to_owned()));
        self.context.inject(|name, value| {
            if !header::NOT_CARRIED.contains(&name) {
                set(name, HeaderValue::Text(value));
            }
        });
    }
}
