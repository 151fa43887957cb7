use std::{future::Future, pin::Pin};

use super::{library::Library, programs, verdict::Walk};

/// A program that tells whether a library falls into a trap.
pub(super) type Program = fn(Library) -> Pin<Box<dyn Future<Output = Walk> + Send>>;

macro_rules! traps {
    ($($variant:ident $name:literal $program:path,)*) => {
        /// One trap, by its number and name.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(super) enum Trap {
            $($variant,)*
        }

        impl Trap {
            pub(super) const ALL: [Self; 24] = [$(Self::$variant,)*];

            pub(super) fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }

            pub(super) fn program(self) -> Program {
                match self {
                    $(Self::$variant => |library| Box::pin($program(library)),)*
                }
            }
        }
    };
}

traps! {
    HalfOpenStampede "01-half-open-stampede" programs::half_open::stampede,
    StaleResult "02-stale-result" programs::half_open::stale_result,
    DroppedProbe "03-dropped-probe" programs::half_open::dropped_probe,
    EndlessProbe "04-endless-probe" programs::half_open::endless_probe,
    IgnoredProbe "05-ignored-probe" programs::half_open::ignored_probe,
    SimultaneousFailures "06-simultaneous-failures" programs::transitions::simultaneous_failures,
    SaturatingClock "07-saturating-clock" programs::transitions::saturating_clock,
    WindowRollover "08-window-rollover" programs::window::rollover,
    BurstWithinAMillisecond "09-burst-within-1ms" programs::window::burst,
    LongHealthyHistory "10-long-healthy-history" programs::window::long_history,
    RetryOutsideBreaker "11-retry-outside-breaker" programs::retry::outside_breaker,
    BreakerOutsideRetry "12-breaker-outside-retry" programs::retry::inside_breaker,
    ReplayableOnly "13-replayable-only" programs::retry::replayable_only,
    RetryAfter "14-retry-after" programs::retry::retry_after,
    JitterAndRamp "15-jitter-and-ramp" programs::transitions::jitter_and_ramp,
    ClassifiedResults "16-classified-results" programs::results::classified,
    OwnRejections "17-own-rejections" programs::results::own_rejections,
    TimeoutCountsOnce "18-timeout-counts-once" programs::layers::timeout_counts_once,
    PanicInTheCall "19-panic-in-the-call" programs::results::panic,
    TowerContract "20-tower-contract" programs::layers::contract,
    IdleReadyClone "21-idle-ready-clone" programs::layers::idle_ready_clone,
    Listener "22-listener" programs::transitions::listener,
    BudgetOverdraft "23-budget-overdraft" programs::budget::overdraft,
    HedgeAgainstPrimary "24-hedge-against-primary" programs::hedge::against_primary,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_traps_are_numbered() {
        for (index, trap) in Trap::ALL.into_iter().enumerate() {
            assert!(trap.name().starts_with(&format!("{:02}-", index + 1)), "{}", trap.name());
        }
    }
}
