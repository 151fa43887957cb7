//! The topology from outside: its program started, used, stopped and killed.

mod api_keys;
mod bad_input;
mod browser;
mod contract;
mod database;
mod gateway_options;
mod openapi;
mod program;
mod restart;
mod schemas;
mod schemathesis;
mod stop;
mod story;
mod tls;
mod users;
