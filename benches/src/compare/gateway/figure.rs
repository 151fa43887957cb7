use super::{
    super::row::{Better, Measure},
    SUBJECT,
};
use crate::gateway::load::{Held, Measured};

/// What is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Figure {
    Cpu,
    Rate,
    P99,
    Peak,
    Growth,
}

impl Figure {
    pub(super) fn of(self, measured: &Measured) -> Option<f64> {
        match self {
            Self::Cpu => Some(measured.figures.cpu_us_per_message()),
            Self::Rate => Some(measured.figures.rate()),
            Self::P99 => measured.figures.p99_ms,
            Self::Peak => Some(measured.peak_kib as f64 / 1_024.0),
            Self::Growth => measured.held.and_then(Held::growth_mib),
        }
    }

    pub(super) fn unit(self) -> &'static str {
        match self {
            Self::Cpu => "µs",
            Self::Rate => "req/s",
            Self::P99 => "ms",
            Self::Peak | Self::Growth => "MiB",
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Cpu => "cpu_us_per_request",
            Self::Rate => "requests_per_s",
            Self::P99 => "p99_ms",
            Self::Peak => "peak_rss_mib",
            Self::Growth => "rss_growth_mib",
        }
    }

    pub(super) fn measure(self, case: &'static str) -> Measure {
        let better = if self == Self::Rate { Better::Higher } else { Better::Lower };
        Measure { subject: SUBJECT, case, metric: self.name(), unit: self.unit(), better }
    }
}
