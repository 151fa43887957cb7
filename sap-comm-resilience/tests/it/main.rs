//! Behaviour of the strategies, one module each.

mod adapters;
mod adaptive_concurrency;
mod adaptive_throttle;
mod allocation;
mod bulkhead;
mod classification;
mod configuration;
mod containment;
mod deadline;
mod fallback;
mod half_open;
mod hedge;
mod layers;
mod model;
mod pipeline;
mod rate_limit;
mod recovery;
mod registry;
mod reload;
mod replay;
mod replay_body;
mod retry;
mod specification;
mod support;
mod transitions;
mod window;
