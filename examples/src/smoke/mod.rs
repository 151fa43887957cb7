//! One story through every pattern, played from outside.

mod expect;
pub mod http;
mod observer;
mod socket;
mod story;

use std::time::Instant;

use sap_comm::events::Broker;
use tokio_util::sync::CancellationToken;

use self::{observer::Observer, story::Story};
use crate::{
    cluster::{Cluster, ClusterConfig, Log},
    deps::StartError,
};

/// Starts the topology, plays the story, and stops the topology.
///
/// # Errors
/// The first step that fails, with what was expected and what came; or a stop.
pub async fn play(config: ClusterConfig, broker: Broker, log: Log, stop: CancellationToken) -> Result<(), StartError> {
    let begun = Instant::now();
    let observer = Observer::subscribe(&broker).await?;
    let cluster = tokio::select! {
        cluster = Cluster::launch(config, broker, log.clone()) => cluster?,
        () = stop.cancelled() => return Err("stopped while starting".into()),
    };
    println!("{:>6} ms  the topology is up", begun.elapsed().as_millis());
    let mut story = Story::new(cluster, observer, log.clone());
    let result = tokio::select! {
        result = story.tell() => result,
        () = stop.cancelled() => Err("stopped in the middle of the story".into()),
    };
    if result.is_err() {
        eprintln!("the last lines of the log:\n{}", log.tail(20).join("\n"));
    }
    let drained = story.end().await;
    result.and(drained)?;
    println!("{:>6} ms  passed and drained", begun.elapsed().as_millis());
    Ok(())
}
