//! What the services agree on: the payloads of events and the bodies of REST calls.

pub mod api;
pub mod events;
pub mod rest;
