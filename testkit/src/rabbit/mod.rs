//! A private RabbitMQ node.
//!
//! A node has its own name, ports, data, logs and home. It knows the other nodes of the same test process only,
//! through an epmd of that process, and is up after 3 to 11 seconds on two cores: share one with
//! [`RabbitNode::shared`] and a [`new_vhost`](RabbitNode::new_vhost) for each test, and keep breaking to nodes of
//! one's own.

mod builder;
mod cluster;
mod control;
mod erlang;
mod node;
mod probe;

pub use builder::RabbitNodeBuilder;
pub use cluster::RabbitCluster;
pub use node::RabbitNode;
