use std::{sync::Arc, time::Duration};

use futures_util::{StreamExt, stream, stream::BoxStream};
use sap_comm_core::{EndpointSet, Resolution, ResolveError};
use tokio::time::sleep;

use super::{api::Api, keys};
use crate::pace::{Doubts, backoff, jitter};

/// How often everything is read anew, whatever the watch says: a watch may die unseen, and etcd 3.4 may lose deletes.
const RESYNC: Duration = Duration::from_secs(30);
/// Changes that come together are read together.
const GATHER: Duration = Duration::from_millis(20);
/// How long to wait before a lost watch is begun anew.
const REWATCH: Duration = Duration::from_secs(1);

struct Watch {
    api: Arc<Api>,
    prefix: String,
    doubts: Doubts,
    stage: Stage,
    failures: u32,
    /// What was told last, unless it was a failure.
    told: Option<Arc<EndpointSet>>,
}

/// What the next read waits for.
enum Stage {
    Start,
    Failed(Duration),
    Read { revision: i64 },
}

/// Reads and watches for as long as the stream is held, and tells what changes.
pub(super) fn watch(api: Arc<Api>, prefix: String, doubts: Doubts) -> BoxStream<'static, Resolution> {
    let watch = Watch { api, prefix, doubts, stage: Stage::Start, failures: 0, told: None };
    stream::unfold(watch, |watch| async { Some(watch.next().await) }).boxed()
}

impl Watch {
    async fn next(mut self) -> (Resolution, Self) {
        loop {
            self.wait().await;
            match self.api.range(&self.prefix).await {
                Ok(range) => {
                    self.failures = 0;
                    self.stage = Stage::Read { revision: range.revision };
                    let set = self.endpoints(&range.values);
                    if self.told.as_deref() != Some(&set) {
                        let set = Arc::new(set);
                        self.told = Some(Arc::clone(&set));
                        return (Resolution::Snapshot(set), self);
                    }
                }
                Err(reason) => {
                    let retry_in = backoff(self.failures);
                    self.failures = self.failures.saturating_add(1);
                    self.stage = Stage::Failed(retry_in);
                    self.told = None;
                    let error = ResolveError { service: self.doubts.service().to_owned(), reason };
                    return (Resolution::Unavailable { error, retry_in }, self);
                }
            }
        }
    }

    async fn wait(&mut self) {
        match self.stage {
            Stage::Start => {}
            Stage::Failed(pause) => sleep(pause).await,
            Stage::Read { revision } => tokio::select! {
                () = sleep(jitter(RESYNC)) => {}
                () = self.doubts.next() => sleep(GATHER).await,
                changed = self.api.changed(&self.prefix, revision) => match changed {
                    Ok(()) => sleep(GATHER).await,
                    Err(reason) => {
                        tracing::debug!(service = self.doubts.service(), reason, "reading anew");
                        sleep(jitter(REWATCH)).await;
                    }
                },
            },
        }
    }

    fn endpoints(&self, values: &[Vec<u8>]) -> EndpointSet {
        let read = |value: &Vec<u8>| match keys::read(value) {
            Ok(endpoint) => Some(endpoint),
            Err(error) => {
                tracing::warn!(service = self.doubts.service(), error, "an instance in etcd cannot be read");
                None
            }
        };
        values.iter().filter_map(read).collect()
    }
}
