//! Reading a watch.

use std::time::Duration;

use futures_util::{Stream, StreamExt};
use sap_comm_core::Resolution;
use tokio::time::timeout;

const LIMIT: Duration = Duration::from_secs(40);

/// The next answer, as texts; an error for a source that cannot be asked.
pub(crate) async fn next(watch: &mut (impl Stream<Item = Resolution> + Unpin)) -> Result<Vec<String>, String> {
    match timeout(LIMIT, watch.next()).await.expect("an answer in time").expect("a watch never ends") {
        Resolution::Snapshot(set) => Ok(set.as_slice().iter().map(|endpoint| format!("{endpoint:?}")).collect()),
        Resolution::Unavailable { error, .. } => Err(error.to_string()),
    }
}
