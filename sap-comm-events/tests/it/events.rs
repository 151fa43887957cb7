//! The payloads of the tests.

use sap_comm_core::EventPayload;
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, EventPayload)]
#[event(type = "user.created")]
#[serde(rename_all = "camelCase")]
pub(crate) struct UserCreated {
    pub(crate) user_id: String,
    pub(crate) number: u32,
}

impl UserCreated {
    pub(crate) fn numbered(number: u32) -> Self {
        Self { user_id: format!("usr_{number}"), number }
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, EventPayload)]
#[event(type = "user.deleted")]
#[serde(rename_all = "camelCase")]
pub(crate) struct UserDeleted {
    pub(crate) user_id: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, EventPayload)]
#[event(type = "report.requested", kind = "command")]
pub(crate) struct ReportRequested {
    pub(crate) number: u32,
}
