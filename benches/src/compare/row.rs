use serde::Serialize;

use super::{SUBJECT, metric::Metric};
use crate::{BenchError, client::Client};

/// Which of two values is the better one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Better {
    Higher,
    Lower,
}

/// What the figures of a row are.
#[derive(Clone, Copy, Debug)]
pub(super) struct Measure {
    pub(super) subject: &'static str,
    pub(super) case: &'static str,
    pub(super) metric: &'static str,
    pub(super) unit: &'static str,
    pub(super) better: Better,
}

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
    /// What the figures do not say.
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<String>,
}

impl Row {
    /// A row about events. Fails when a figure is too small to divide by.
    pub(super) fn new(
        case: &'static str,
        metric: Metric,
        ours: f64,
        peer: Client,
        theirs: f64,
    ) -> Result<Self, BenchError> {
        let (unit, better) = (metric.unit(), metric.better());
        let measure = Measure { subject: SUBJECT, case, metric: metric.name(), unit, better };
        Self::of(measure, ours, peer.name(), theirs)
    }

    /// Whether ours and a peer passed a test. Where only we did, the ratio is the greatest number.
    pub(super) fn passed(
        subject: &'static str,
        case: &'static str,
        ours: bool,
        peer: &'static str,
        theirs: bool,
        note: Option<&'static str>,
    ) -> Self {
        Self::is(subject, case, "passed", ours, peer, theirs).noting(note.map(str::to_owned))
    }

    /// Whether something can be said of ours and of a peer; the ratio as in [`Row::passed`].
    pub(super) fn is(
        subject: &'static str,
        case: &'static str,
        metric: &'static str,
        ours: bool,
        peer: &'static str,
        theirs: bool,
    ) -> Self {
        let ratio = match (ours, theirs) {
            (true, false) => f64::MAX,
            (false, true) => 0.0,
            _ => 1.0,
        };
        let (unit, better) = ("bool", Better::Higher);
        let (ours, theirs) = (f64::from(u8::from(ours)), f64::from(u8::from(theirs)));
        Self { subject, case, metric, unit, ours, peer, theirs, ratio, better, note: None }
    }

    /// With what the figures do not say.
    pub(super) fn noting(self, note: Option<String>) -> Self {
        Self { note, ..self }
    }

    /// Fails when a figure is too small to divide by.
    pub(super) fn of(measure: Measure, ours: f64, peer: &'static str, theirs: f64) -> Result<Self, BenchError> {
        let Measure { subject, case, metric, unit, better } = measure;
        let ratio = ours / theirs;
        if !ratio.is_finite() {
            return Err(BenchError::refused("compare")(format!("{ours} {unit} with {theirs}")));
        }
        let (ours, theirs, ratio) = (rounded(ours), rounded(theirs), rounded(ratio));
        Ok(Self { subject, case, metric, unit, ours, peer, theirs, ratio, better, note: None })
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
