use std::{fmt, sync::Arc};

use http::{HeaderValue, Request, Response};
use hyper::{body::Incoming, client::conn::TrySendError};

use super::{Sender, destination::Destination};
use crate::gateway::body::UploadBody;

/// A connection in use. It is closed when this is dropped, unless it is [given back](Self::give_back).
pub(in crate::gateway) struct Lease {
    sender: Sender,
    destination: Arc<Destination>,
    /// Whether it served before, and may have been closed by the endpoint meanwhile.
    pub(in crate::gateway) reused: bool,
}

impl Lease {
    pub(super) fn new(sender: Sender, destination: Arc<Destination>, reused: bool) -> Self {
        Self { sender, destination, reused }
    }

    /// What the endpoint is called in `Host`.
    pub(in crate::gateway) fn host(&self) -> &HeaderValue {
        self.destination.host()
    }

    /// Sends a request; one that was not written at all comes back with the error.
    pub(in crate::gateway) fn send(
        &mut self,
        request: Request<UploadBody>,
    ) -> impl Future<Output = Result<Response<Incoming>, TrySendError<Request<UploadBody>>>> {
        self.sender.try_send_request(request)
    }

    /// Keeps the connection for the next request.
    pub(in crate::gateway) fn give_back(self) {
        let Self { sender, destination, .. } = self;
        destination.give(sender);
    }
}

impl fmt::Debug for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lease").field("host", self.host()).field("reused", &self.reused).finish_non_exhaustive()
    }
}
