//! The clients under measurement: each publishes and consumes the same events on the same kind of queue.

mod lapin_awaited;
mod lapin_pipelined;
mod sap_comm;
mod tokio_channel;
mod topology;

use std::{ops::Range, sync::Arc};

use serde::{Deserialize, Serialize};

use crate::{BenchError, Figures, Setting};

/// How many events wait in memory, ours and the channel's: few enough to stay in a core's cache.
const IN_MEMORY: usize = 1_024;

/// How many events are published together, by ours and by the peers that pipeline.
pub(crate) const BATCH: usize = 64;

/// A client that publishes numbered events.
pub(crate) trait Publisher {
    /// Starts to publish these; waits only for room in the window.
    async fn send(&mut self, numbers: Range<u32>) -> Result<(), BenchError>;

    /// Waits until all that was sent is confirmed. Cancel safe.
    async fn settle(&mut self) -> Result<(), BenchError>;
}

/// Ours and the peers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Client {
    /// `sap_comm::events::Broker`, on RabbitMQ or in memory as the URL says.
    SapComm,
    /// lapin, publishes started together in chunks, several deliveries acknowledged at once.
    LapinPipelined,
    /// lapin, each publish and each acknowledgement awaited before the next.
    LapinAwaited,
    /// amqplib on Node, at its best setting.
    Amqplib,
    /// ruststream-lapin, a program of its own: `benches/twins/ruststream`.
    RuststreamLapin,
    /// A bounded channel of tokio with boxed events.
    TokioChannel,
}

impl Client {
    /// The name in a row's `peer`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::SapComm => "sap-comm",
            Self::LapinPipelined => "lapin-pipelined",
            Self::LapinAwaited => "lapin-awaited",
            Self::Amqplib => "amqplib",
            Self::RuststreamLapin => "ruststream-lapin",
            Self::TokioChannel => "tokio-channel",
        }
    }

    /// Runs the client within this process, which should do nothing else: its CPU time is measured.
    ///
    /// # Errors
    /// When the client or the broker fails, or an event is lost or comes twice.
    pub async fn run(self, setting: &Setting) -> Result<Figures, BenchError> {
        let arrivals = Arc::new(setting.load.arrivals());
        match self {
            Self::SapComm => sap_comm::run(setting, &arrivals).await,
            Self::LapinPipelined => lapin_pipelined::run(setting, &arrivals).await,
            Self::LapinAwaited => lapin_awaited::run(setting, &arrivals).await,
            Self::TokioChannel => tokio_channel::run(setting, &arrivals).await,
            Self::Amqplib | Self::RuststreamLapin => {
                Err(BenchError::Client { client: self.name(), reason: "it is a program of its own".to_owned() })
            }
        }
    }
}
