//! Several nodes that are one broker.

use futures_util::future::try_join_all;

use super::{
    RabbitNode,
    control::{binary, vhost_name},
};
use crate::TestkitError;

/// A cluster of RabbitMQ nodes; dropping it kills them.
#[derive(Debug)]
pub struct RabbitCluster {
    nodes: Vec<RabbitNode>,
}

impl RabbitCluster {
    /// Starts so many nodes, one at least, and joins them. Three take about half a minute on two cores.
    ///
    /// # Errors
    /// When a node cannot be started or does not join.
    pub async fn start(size: usize) -> Result<Self, TestkitError> {
        let nodes = try_join_all((0..size.max(1)).map(|_| RabbitNode::start())).await?;
        for node in &nodes[1..] {
            node.join(&nodes[0]).await?;
        }
        Ok(Self { nodes })
    }

    /// The nodes, each to be broken by itself.
    pub fn nodes(&self) -> &[RabbitNode] {
        &self.nodes
    }

    /// Makes a vhost that only the caller knows and returns its URI on each node.
    ///
    /// # Errors
    /// When the first node does not answer.
    pub async fn new_vhost(&self) -> Result<Vec<String>, TestkitError> {
        let uri = self.nodes[0].new_vhost().await?;
        Ok(self.nodes.iter().map(|node| node.uri_of(vhost_name(&uri))).collect())
    }

    /// Which node leads a queue, as the node `asked` knows; `None` when there is no such queue or no leader here.
    ///
    /// # Errors
    /// When the node that is asked does not answer.
    pub async fn leader_of(&self, asked: usize, vhost: &str, queue: &str) -> Result<Option<usize>, TestkitError> {
        let (vhost, queue) = (binary(vhost_name(vhost)), binary(queue));
        let name = self.nodes[asked]
            .eval(&format!(
                "case rabbit_amqqueue:lookup(rabbit_misc:r({vhost}, queue, {queue})) of \
                 {{ok, Q}} -> case amqqueue:get_pid(Q) of {{_, N}} -> N; P when is_pid(P) -> node(P); _ -> none end; \
                 {{error, not_found}} -> none end"
            ))
            .await?;
        let name = name.trim_matches('\'');
        Ok(self.nodes.iter().position(|node| node.name() == name))
    }

    /// How many nodes run their member of a quorum queue, as the node `asked` knows; 0 when there is no such queue.
    ///
    /// # Errors
    /// When the node that is asked does not answer.
    pub async fn members_of(&self, asked: usize, vhost: &str, queue: &str) -> Result<usize, TestkitError> {
        let (vhost, queue) = (binary(vhost_name(vhost)), binary(queue));
        let members = self.nodes[asked]
            .eval(&format!(
                "case rabbit_amqqueue:lookup(rabbit_misc:r({vhost}, queue, {queue})) of \
                 {{ok, Q}} -> [{{online, L}}] = rabbit_quorum_queue:info(Q, [online]), length(L); \
                 {{error, not_found}} -> 0 end"
            ))
            .await?;
        Ok(members.parse().unwrap_or(0))
    }
}
