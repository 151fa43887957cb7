//! The Super Admin Panel's topology, assembled from public API of sap-comm.
//!
//! `api_gateway` stands in front of `auth_service`, `user_service`, `content_service` and `notification_service`;
//! `cluster` runs them in one process or in one each, `smoke` plays a story against them as outside clients would.

pub mod api_gateway;
pub mod auth_service;
pub mod cluster;
pub mod command;
pub mod content_service;
pub mod contract;
pub mod database;
pub mod demo;
pub mod deps;
pub mod graphql;
pub mod notification_service;
pub mod smoke;
pub mod trusted_keys;
pub mod user_service;

#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;
