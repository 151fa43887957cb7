//! Repetitions of requests with a key, and the stores that keep the answers.

mod requests;
mod stores;
