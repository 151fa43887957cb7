use super::row::Better;
use crate::Figures;

/// What is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Metric {
    Rate,
    Cpu,
    P50,
    P99,
}

impl Metric {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Rate => "msgs_per_s",
            Self::Cpu => "client_cpu_us_per_msg",
            Self::P50 => "p50_ms",
            Self::P99 => "p99_ms",
        }
    }

    pub(super) fn unit(self) -> &'static str {
        match self {
            Self::Rate => "msg/s",
            Self::Cpu => "µs/msg",
            Self::P50 | Self::P99 => "ms",
        }
    }

    pub(super) fn better(self) -> Better {
        match self {
            Self::Rate => Better::Higher,
            Self::Cpu | Self::P50 | Self::P99 => Better::Lower,
        }
    }

    /// The metric of one run; none when the run did not measure it.
    pub(super) fn of(self, figures: &Figures) -> Option<f64> {
        match self {
            Self::Rate => Some(figures.rate()),
            Self::Cpu => Some(figures.cpu_us_per_message()),
            Self::P50 => figures.p50_ms,
            Self::P99 => figures.p99_ms,
        }
    }
}
