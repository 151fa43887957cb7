use std::{fmt, time::Duration};

use serde::Serialize;

use super::Parts;
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
        /// Attempts that start before the bound, even if each fails at once; without jitter.
        reachable: usize,
    },
    /// The deadline passes before the timeout does, so that the timeout never shows and a breaker counts nothing.
    TimeoutExceedsDeadline {
        /// The timeout of the call or of each attempt.
        #[serde(with = "duration")]
        timeout: Duration,
        /// The deadline around it.
        #[serde(with = "duration")]
        deadline: Duration,
    },
    /// In this pipeline nothing but the deadline ends a call that hangs, and a breaker counts none that the deadline ends.
    BreakerWithoutTimeout {
        /// The deadline around the breaker.
        #[serde(with = "duration")]
        deadline: Duration,
    },
    /// A hedge waits as long as an attempt may take at most, so that it never makes a copy.
    HedgeTooLate {
        /// What ends the attempt.
        bound: Bound,
        /// How long it is.
        #[serde(with = "duration")]
        limit: Duration,
        /// How long the hedge waits.
        #[serde(with = "duration")]
        delay: Duration,
    },
}

/// What bounds a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Bound {
    /// The timeout.
    Timeout,
    /// The deadline.
    Deadline,
}

impl Lint {
    pub(super) fn all(parts: &Parts) -> Vec<Self> {
        let timeout = parts.timeout.map(|timeout| timeout.duration());
        let deadline = parts.deadline.map(|deadline| deadline.duration());
        let mut lints = Vec::new();
        if let Some(retry) = &parts.retry {
            let starts = retry.attempt_starts();
            let whole = timeout.filter(|_| !parts.timeout_per_attempt);
            lints.extend(whole.and_then(|limit| Self::schedule(Bound::Timeout, limit, &starts)));
            lints.extend(deadline.and_then(|limit| Self::schedule(Bound::Deadline, limit, &starts)));
        }
        match (timeout, deadline) {
            (Some(timeout), Some(deadline)) if timeout >= deadline => {
                lints.push(Self::TimeoutExceedsDeadline { timeout, deadline });
            }
            (None, Some(deadline)) if parts.breaker.is_some() => lints.push(Self::BreakerWithoutTimeout { deadline }),
            _ => {}
        }
        if let Some(hedge) = &parts.hedge {
            let bounds = [(Bound::Timeout, timeout), (Bound::Deadline, deadline)];
            let bounds = bounds.into_iter().filter_map(|(bound, limit)| limit.map(|limit| (limit, bound)));
            let delay = hedge.delay();
            if let Some((limit, bound)) = bounds.min_by_key(|(limit, _)| *limit).filter(|(limit, _)| delay >= *limit) {
                lints.push(Self::HedgeTooLate { bound, limit, delay });
            }
        }
        lints
    }

    fn schedule(bound: Bound, limit: Duration, starts: &[Duration]) -> Option<Self> {
        let reachable = starts.iter().filter(|start| **start < limit).count();
        let attempts = starts.len();
        (reachable < attempts).then_some(Self::ScheduleExceeds { bound, limit, attempts, reachable })
    }
}

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Timeout => "timeout",
            Self::Deadline => "deadline",
        })
    }
}

impl fmt::Display for Lint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ScheduleExceeds { bound, limit, attempts, reachable } => write!(
                f,
                "the retry schedule does not fit the {bound} of {} around it: without jitter, {reachable} of {attempts} \
                 attempts start at most; bound each attempt with a timeout below the retry, and the whole call with a \
                 longer deadline (`Pipeline::per_attempt`)",
                humantime::format_duration(*limit),
            ),
            Self::TimeoutExceedsDeadline { timeout, deadline } => write!(
                f,
                "the timeout of {} never shows within the deadline of {}, and a breaker counts none of the calls that \
                 hang; make the timeout shorter than the deadline",
                humantime::format_duration(*timeout),
                humantime::format_duration(*deadline),
            ),
            Self::BreakerWithoutTimeout { deadline } => write!(
                f,
                "the breaker counts no call that hangs until the deadline of {}, and the pipeline has no timeout; add one \
                 that is shorter",
                humantime::format_duration(*deadline),
            ),
            Self::HedgeTooLate { bound, limit, delay } => write!(
                f,
                "a hedge that waits {} makes no copy within the {bound} of {}",
                humantime::format_duration(*delay),
                humantime::format_duration(*limit),
            ),
        }
    }
}
