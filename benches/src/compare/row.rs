use serde::Serialize;

use super::{
    SUBJECT,
    metric::{Better, Metric},
};
use crate::{BenchError, client::Client};

/// One figure of ours beside a peer's, as `cargo xtask compare` reads it.
#[derive(Debug, PartialEq, Serialize)]
pub(super) struct Row {
    subject: &'static str,
    case: &'static str,
    metric: &'static str,
    unit: &'static str,
    ours: f64,
    peer: &'static str,
    theirs: f64,
    /// Ours / theirs.
    ratio: f64,
    better: Better,
}

impl Row {
    /// Fails when a figure is too small to divide by.
    pub(super) fn new(
        case: &'static str,
        metric: Metric,
        ours: f64,
        peer: Client,
        theirs: f64,
    ) -> Result<Self, BenchError> {
        let ratio = ours / theirs;
        if !ratio.is_finite() {
            return Err(BenchError::refused("compare")(format!("{ours} {} with {theirs}", metric.unit())));
        }
        Ok(Self {
            subject: SUBJECT,
            case,
            metric: metric.name(),
            unit: metric.unit(),
            ours: rounded(ours),
            peer: peer.name(),
            theirs: rounded(theirs),
            ratio: rounded(ratio),
            better: metric.better(),
        })
    }
}

/// Three digits after the point: more would be noise.
fn rounded(value: f64) -> f64 {
    (value * 1_000.0).round() / 1_000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_has_the_form_that_is_agreed_upon() {
        let row = Row::new("e2e-classic", Metric::Cpu, 20.0, Client::LapinPipelined, 30.0).unwrap();
        let expected = r#"{"subject":"events","case":"e2e-classic","metric":"client_cpu_us_per_msg","unit":"µs/msg","ours":20.0,"peer":"lapin-pipelined","theirs":30.0,"ratio":0.667,"better":"lower"}"#;
        assert_eq!(serde_json::to_string(&row).unwrap(), expected);
    }

    #[test]
    fn nothing_is_compared_with_zero() {
        let error = Row::new("memory-bus", Metric::Cpu, 1.0, Client::TokioChannel, 0.0).unwrap_err();
        assert!(error.to_string().contains("with 0"), "{error}");
    }
}
