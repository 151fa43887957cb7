//! What the processes under load do.

mod consumer;
mod desk;
mod lane;
mod ledger;
mod outbox;
mod publisher;

use std::{path::PathBuf, time::Duration};

use sap_comm::{
    events::{Broker, BrokerConfig},
    logging::{self, Format},
};
use serde::{Deserialize, Serialize};

use self::desk::Desk;
pub(super) use self::{consumer::effects, ledger::read as read_ledger, outbox::written};
pub(super) use self::{
    desk::{Orders, Progress},
    ledger::Fate,
};
use crate::BenchError;

/// What a process does, and where it leaves its traces.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Role {
    pub(super) name: String,
    pub(super) url: String,
    pub(super) directory: PathBuf,
    pub(super) work: Work,
}

/// The kinds of work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Work {
    /// Publishes straight to the broker, to so many partitions.
    Publish { partitions: u32 },
    /// Publishes through an outbox.
    Outbox { partitions: u32 },
    /// Consumes one partition, in the order of each key.
    Consume { partition: u32, quorum: bool },
    /// Consumes so many partitions in no order, and fails often.
    Audit { partitions: u32, quorum: bool },
}

/// Longer than any fault.
const CONNECT_LIMIT: Duration = Duration::from_secs(300);
const CLOSE_LIMIT: Duration = Duration::from_secs(20);

impl Role {
    /// Does the work until the run says stop.
    ///
    /// # Errors
    /// When the broker cannot be entered for long, or a file or the database refuses.
    pub async fn run(&self) -> Result<(), BenchError> {
        logging::init(Format::Text, "warn").map_err(BenchError::refused("log"))?;
        let desk = Desk::open(&self.directory, &self.name)?;
        match self.work {
            Work::Publish { partitions } => publisher::run(self, partitions, &desk).await?,
            Work::Outbox { partitions } => outbox::run(self, partitions, &desk).await?,
            Work::Consume { partition, quorum } => consumer::in_order(self, partition, quorum, &desk).await?,
            Work::Audit { partitions, quorum } => consumer::retried(self, partitions, quorum, &desk).await?,
        }
        desk.end().await
    }

    async fn connect(&self, config: BrokerConfig) -> Result<Broker, BenchError> {
        let config = config.connect_timeout(CONNECT_LIMIT);
        Broker::connect(&self.url, config).await.map_err(BenchError::refused("connect"))
    }

    /// A file that is there once a consumer has subscribed.
    pub(super) fn subscribed(&self) -> PathBuf {
        self.file("subscribed")
    }

    pub(super) fn file(&self, extension: &str) -> PathBuf {
        self.directory.join(format!("{}.{extension}", self.name))
    }
}
