use sap_comm::ErrorEnvelope;
use utoipa::IntoResponses;

/// How every route answers when it does not do what it was asked for.
#[derive(Debug, IntoResponses)]
pub enum Refusal {
    /// Refused.
    #[response(status = "4XX")]
    Refused(ErrorEnvelope),
    /// Failed.
    #[response(status = "5XX")]
    Failed(ErrorEnvelope),
}
