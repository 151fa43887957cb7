//! Behaviour of the vocabulary, seen from outside.

mod event_json;
mod node;
mod tokens;
