use std::{fmt, time::Duration};

use serde::Serialize;

use crate::config::duration;

/// Something about a pipeline that can be built but hardly be meant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Lint {
    /// The retry schedule is longer than the time around it, so that some attempts can never be made.
    ScheduleExceeds {
        /// What bounds all attempts together.
        bound: Bound,
        /// How long it is.
        #[serde(with = "duration")]
        limit: Duration,
        /// Attempts that the retry would make.
        attempts: usize,
        /// Attempts that start before the bound, even if each fails at once.
        reachable: usize,
    },
}

/// What bounds all attempts of a call together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Bound {
    /// A timeout above the retry.
    Timeout,
    /// The deadline.
    Deadline,
}

impl Lint {
    pub(super) fn schedule(bound: Bound, limit: Duration, starts: &[Duration]) -> Option<Self> {
        let reachable = starts.iter().filter(|start| **start < limit).count();
        let attempts = starts.len();
        (reachable < attempts).then_some(Self::ScheduleExceeds { bound, limit, attempts, reachable })
    }
}

impl fmt::Display for Lint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ScheduleExceeds { bound, limit, attempts, reachable } => {
                let bound = match bound {
                    Bound::Timeout => "timeout",
                    Bound::Deadline => "deadline",
                };
                write!(
                    f,
                    "the retry schedule does not fit the {bound} of {} around it: at most {reachable} of {attempts} \
                     attempts can start; bound each attempt with a timeout below the retry, and the whole call with a \
                     longer deadline (`Pipeline::per_attempt`)",
                    humantime::format_duration(*limit),
                )
            }
        }
    }
}
