use std::time::Duration;

use nix::sys::{
    resource::{UsageWho, getrusage},
    time::TimeVal,
};

use crate::BenchError;

/// The user and system time of this process so far, its ended threads included.
#[derive(Clone, Copy, Debug)]
pub struct CpuTime(Duration);

impl CpuTime {
    /// Asks the system.
    ///
    /// # Errors
    /// When it does not say.
    pub fn now() -> Result<Self, BenchError> {
        let usage = getrusage(UsageWho::RUSAGE_SELF).map_err(BenchError::refused("read the CPU time"))?;
        Ok(Self(duration(usage.user_time()) + duration(usage.system_time())))
    }

    /// What was spent since `earlier`.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

fn duration(time: TimeVal) -> Duration {
    let seconds = u64::try_from(time.tv_sec()).unwrap_or(0);
    let micros = u64::try_from(time.tv_usec()).unwrap_or(0);
    Duration::from_secs(seconds) + Duration::from_micros(micros)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_costs_cpu_time() {
        let before = CpuTime::now().unwrap();
        let mut sum = 0_u64;
        while CpuTime::now().unwrap().since(before) < Duration::from_millis(5) {
            sum = std::hint::black_box(sum.wrapping_add(1));
        }
        assert!(sum > 0);
    }

    #[test]
    fn seconds_and_microseconds_are_added() {
        assert_eq!(duration(TimeVal::new(2, 500_000)), Duration::from_millis(2_500));
    }
}
