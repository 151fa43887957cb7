//! Behaviour of the vocabulary, seen from outside.

mod crafted;
mod event_json;
mod forged_tokens;
mod node;
mod remembered_tokens;
mod tokens;
