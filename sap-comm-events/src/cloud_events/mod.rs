//! Events as CloudEvents 1.0, for peers that speak those.
//!
//! | here | CloudEvents |
//! | --- | --- |
//! | `id`, `type`, `source` | `id`, `type`, `source` |
//! | `timestamp` | `time` |
//! | `correlationId` | the extension `correlationid` |
//! | `metadata.version` | the extension `dataversion` |
//! | `metadata.userId` | the extension `userid` |
//! | `data` | `data`, with `datacontenttype` `application/json` |
//! | an unknown field | an extension of that name, where CloudEvents allows the name and the value |
//! | the unknown field `ce-timestamp`, `ce-metadata` | on the way in, the extension `timestamp`, `metadata` |
//!
//! A consumer takes both modes beside the envelope of the specification: the structured one by its content type
//! `application/cloudevents+json`, the binary one by the header `cloudEvents_specversion`. A publisher chooses by
//! [`BrokerConfig::event_format`](crate::BrokerConfig::event_format) or
//! [`PublishOptions::format`](crate::PublishOptions::format). CloudEvents defines no binding for AMQP 0-9-1; the headers
//! are those of its binding for AMQP 1.0.
//!
//! ```
//! use sap_comm_events::cloud_events;
//!
//! let json = br#"{"specversion":"1.0","id":"1","source":"/billing","type":"invoice.paid","data":{"total":7}}"#;
//! let event = cloud_events::from_json(json)?;
//! assert_eq!((event.event_type.as_str(), event.data.get()), ("invoice.paid", r#"{"total":7}"#));
//! # Ok::<(), sap_comm_core::DecodeError>(())
//! ```

mod attributes;
mod binary;
mod structured;

use attributes::Attributes;
pub(crate) use attributes::check;
#[cfg(feature = "rabbitmq")]
pub(crate) use binary::is_binary;
pub(crate) use binary::{from_message, headers};
pub use structured::{from_json, to_json};

/// The content type of the structured mode.
pub const CONTENT_TYPE: &str = "application/cloudevents+json";
/// The only version there is in use.
const SPEC_VERSION: &str = "1.0";
/// The extensions that stand for fields of the envelope.
const CORRELATION_ID: &str = "correlationid";
const DATA_VERSION: &str = "dataversion";
const USER_ID: &str = "userid";
