use std::{fmt, sync::Arc, time::Duration};

use http::HeaderValue;
use sap_comm_core::telemetry;
use sap_comm_discovery::{Outcome, Picked};
use sap_comm_resilience::OwnedPermit;
use tokio::time::Instant;

use crate::gateway::upstream::Upstream;

/// A call whose answer has begun, and may still break off or fall silent.
///
/// It succeeded once the answer is over, once so much of it came, or some of it after so long. A half-open breaker's probe does not wait
/// for that, and goes by the head: as long as a client takes nothing, nothing shows.
#[derive(Debug)]
pub(in crate::gateway) struct Begun {
    /// The breaker's permit, where it waits for the end, and how long the head took; `None` once it is settled how the call ended.
    unsettled: Option<(Option<OwnedPermit>, Duration)>,
    came: u32,
    /// When the client took something last.
    taken: Instant,
    /// Whether something lay there that it did not take at once, since more was last waited for.
    lay: bool,
    request_id: HeaderValue,
    upstream: Arc<Upstream>,
}

const ENOUGH_BYTES: u32 = 1 << 20;
const LONG_ENOUGH: Duration = Duration::from_secs(5);
/// A client that takes something so soon reads on.
const AT_ONCE: Duration = Duration::from_secs(1);

impl Begun {
    pub(in crate::gateway) fn new(
        unsettled: Option<(Option<OwnedPermit>, Duration)>,
        answered: Instant,
        request_id: HeaderValue,
        upstream: Arc<Upstream>,
    ) -> Self {
        Self { unsettled, came: 0, taken: answered, lay: false, request_id, upstream }
    }

    /// So many bytes more of the answer came, and were waited for or lay there.
    pub(in crate::gateway) fn moved(&mut self, bytes: usize, was_awaited: bool, picked: &Picked) {
        let now = Instant::now();
        self.lay = !was_awaited && (self.lay || now.saturating_duration_since(self.taken) >= AT_ONCE);
        self.taken = now;
        self.came = self.came.saturating_add(u32::try_from(bytes).unwrap_or(u32::MAX));
        // What was waited for may be the last that comes.
        if self.came >= ENOUGH_BYTES || (!was_awaited && is_long_enough(now, picked)) {
            self.succeeded(picked);
        }
    }

    /// More of it is waited for since then.
    pub(in crate::gateway) fn waits(&mut self, since: Instant, picked: &Picked) {
        self.lay = false;
        if self.came > 0 && is_long_enough(since, picked) {
            self.succeeded(picked);
        }
    }

    /// The answer is over.
    pub(in crate::gateway) fn succeeded(&mut self, picked: &Picked) {
        self.settle(picked, OwnedPermit::success, Outcome::Success);
    }

    /// The answer broke off. Unless it was waited for, or is read as it comes, that is the client's doing, too: an upstream gives up
    /// one that takes nothing.
    pub(in crate::gateway) fn broke_off(&mut self, is_awaited: bool, picked: &Picked, reason: impl fmt::Display) {
        if is_awaited || !(self.lay || self.taken.elapsed() >= AT_ONCE) {
            self.failed(picked, reason);
        } else {
            tracing::debug!(
                { telemetry::REQUEST_ID } = self.request_id.to_str().unwrap_or_default(),
                upstream = %format_args!("{} {}", self.upstream.service(), picked.endpoint()),
                %reason,
                "an answer that its client did not take broke off"
            );
            self.left(picked);
        }
    }

    /// Nothing more came for too long. Of one without a length that may be all that there is to say for now.
    pub(in crate::gateway) fn fell_silent(&mut self, has_length: bool, picked: &Picked, reason: impl fmt::Display) {
        if has_length || self.came == 0 {
            self.failed(picked, reason);
        } else {
            self.warn(picked, reason);
            self.left(picked);
        }
    }

    /// The rest of the answer does not come.
    pub(in crate::gateway) fn failed(&mut self, picked: &Picked, reason: impl fmt::Display) {
        self.warn(picked, reason);
        self.settle(picked, OwnedPermit::failure, |_| Outcome::Failure);
    }

    fn warn(&self, picked: &Picked, reason: impl fmt::Display) {
        tracing::warn!(
            { telemetry::REQUEST_ID } = self.request_id.to_str().unwrap_or_default(),
            upstream = %format_args!("{} {}", self.upstream.service(), picked.endpoint()),
            %reason,
            "the upstream did not finish its answer"
        );
    }

    /// It ended in a way that says nothing of the upstream, such as that nobody reads on.
    pub(in crate::gateway) fn left(&mut self, picked: &Picked) {
        self.settle(picked, OwnedPermit::ignore, Outcome::Begun);
    }

    /// Tells the breaker and the endpoint how the call ended, once.
    fn settle<T>(&mut self, picked: &Picked, end: fn(OwnedPermit) -> T, outcome: fn(Duration) -> Outcome) {
        let Some((permit, latency)) = self.unsettled.take() else { return };
        permit.map(end);
        picked.report(outcome(latency));
    }
}

fn is_long_enough(now: Instant, picked: &Picked) -> bool {
    now.saturating_duration_since(picked.since()) >= LONG_ENOUGH
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use sap_comm_core::{Endpoint, StaticResolver};
    use sap_comm_discovery::EndpointSnapshot;
    use sap_comm_resilience::CircuitBreakerConfig;
    use tokio::time::advance;
    use tracing::Level;

    use super::*;
    use crate::{
        connector::Connector,
        egress::{Egress, EgressConfig},
        gateway::UpstreamConfig,
        tls::ClientTls,
    };

    async fn upstream() -> Arc<Upstream> {
        let resolver = StaticResolver::new();
        resolver.set("test", [Endpoint::parse("http://127.0.0.1:1").unwrap()]);
        let egress = Egress::new(&EgressConfig::default(), true).unwrap();
        let second = Duration::from_secs(1);
        let connector = Connector::new(second, second, ClientTls::default(), egress);
        let (breaker, config) = (CircuitBreakerConfig::default(), UpstreamConfig::default());
        Arc::new(Upstream::new("test", Arc::new(resolver), breaker, &config, connector).unwrap())
    }

    struct Call {
        upstream: Arc<Upstream>,
        begun: Begun,
        picked: Picked,
    }

    impl Call {
        async fn begin() -> Self {
            let upstream = upstream().await;
            let permit = upstream.breaker.try_acquire_owned().unwrap();
            let picked = upstream.pick().await.unwrap();
            let unsettled = Some((Some(permit), Duration::from_millis(20)));
            let begun = Begun::new(unsettled, Instant::now(), HeaderValue::from_static("req_1"), Arc::clone(&upstream));
            Self { upstream, begun, picked }
        }

        /// How many calls succeeded and failed, as the breaker has it and as the endpoint.
        fn counted(&self) -> [(u64, u64); 2] {
            let breaker = self.upstream.breaker.snapshot();
            let EndpointSnapshot { successes, failures, .. } = self.upstream.endpoints().endpoints.remove(0);
            [(breaker.succeeded, breaker.failed), (successes, failures)]
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_still_moves_after_a_while_is_a_success() {
        let mut call = Call::begin().await;
        call.begun.waits(Instant::now(), &call.picked);
        advance(LONG_ENOUGH - Duration::from_millis(1)).await;
        call.begun.moved(1, false, &call.picked);
        call.begun.waits(Instant::now(), &call.picked);
        assert_eq!(call.counted(), [(0, 0); 2]);
        advance(Duration::from_millis(1)).await;
        call.begun.waits(Instant::now(), &call.picked);
        assert_eq!(call.counted(), [(1, 0); 2]);
        call.begun.failed(&call.picked, "too late");
        assert_eq!(call.counted(), [(1, 0); 2]);
    }

    #[tokio::test(start_paused = true)]
    async fn one_of_which_nothing_came_is_not() {
        let mut call = Call::begin().await;
        advance(LONG_ENOUGH * 2).await;
        call.begun.waits(Instant::now(), &call.picked);
        assert_eq!(call.counted(), [(0, 0); 2]);
        call.begun.failed(&call.picked, "silent");
        assert_eq!(call.counted(), [(0, 1); 2]);
    }

    #[tokio::test(start_paused = true)]
    async fn silence_blames_the_upstream_where_more_was_to_come() {
        let warnings = Arc::new(AtomicU32::new(0));
        let counted = Arc::clone(&warnings);
        let log = tracing_subscriber::fmt().with_max_level(Level::WARN).with_writer(move || {
            counted.fetch_add(1, Ordering::Relaxed);
            std::io::sink()
        });
        // Where there is one alone, threads that have none decide for all what is logged.
        let _second = tracing::Dispatch::new(tracing_subscriber::registry());
        let _log = tracing::subscriber::set_default(log.finish());
        for (has_length, came, failed) in [(false, 1, 0), (true, 1, 1), (false, 0, 1), (true, 0, 1)] {
            let mut call = Call::begin().await;
            if came > 0 {
                call.begun.moved(came, true, &call.picked);
            }
            call.begun.fell_silent(has_length, &call.picked, "silent");
            assert_eq!(call.counted(), [(0, failed); 2], "{has_length} {came}");
            assert_eq!(warnings.swap(0, Ordering::Relaxed), 1, "it is told whomever it blames");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_long_one_is_a_success_before_its_end() {
        let mut call = Call::begin().await;
        call.begun.moved(usize::try_from(ENOUGH_BYTES).unwrap() - 1, false, &call.picked);
        assert_eq!(call.counted(), [(0, 0); 2]);
        call.begun.moved(1, false, &call.picked);
        assert_eq!(call.counted(), [(1, 0); 2]);
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_is_read_late_and_without_a_pause_is_a_success_too() {
        let mut call = Call::begin().await;
        call.begun.moved(1, false, &call.picked);
        advance(LONG_ENOUGH).await;
        call.begun.moved(1, false, &call.picked);
        assert_eq!(call.counted(), [(1, 0); 2]);
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_breaks_off_is_a_failure_only_of_an_upstream_whose_client_reads() {
        let late = AT_ONCE;
        for (name, before, waits, after, is_awaited, failed) in [
            ("at once", Duration::ZERO, false, Duration::ZERO, false, 1),
            ("while it was waited for", late, false, late, true, 1),
            ("when nobody read on", Duration::ZERO, false, late, false, 0),
            ("when what had lain there was read", late, false, Duration::ZERO, false, 0),
            ("after the client caught up", late, true, Duration::ZERO, false, 1),
        ] {
            let mut call = Call::begin().await;
            advance(before).await;
            call.begun.moved(1, false, &call.picked);
            if waits {
                call.begun.waits(Instant::now(), &call.picked);
            }
            advance(after).await;
            call.begun.broke_off(is_awaited, &call.picked, "broken");
            assert_eq!(call.counted(), [(0, failed); 2], "{name}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_pause_of_the_upstream_is_none_of_its_client() {
        for pause in [AT_ONCE, LONG_ENOUGH] {
            let mut call = Call::begin().await;
            call.begun.waits(Instant::now(), &call.picked);
            advance(pause).await;
            call.begun.moved(1, true, &call.picked);
            call.begun.broke_off(false, &call.picked, "died");
            assert_eq!(call.counted(), [(0, 1); 2], "{pause:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_leaves_blames_nobody_and_lengthens_no_latency() {
        let Call { upstream, mut begun, picked } = Call::begin().await;
        advance(Duration::from_secs(60)).await;
        begun.left(&picked);
        drop(picked);
        let (breaker, endpoint) = (upstream.breaker.snapshot(), upstream.endpoints().endpoints.remove(0));
        assert_eq!((breaker.succeeded, breaker.failed, endpoint.successes, endpoint.failures), (0, 0, 0, 0));
        assert!(endpoint.latency_ms < 100.0, "{endpoint:?}");
    }
}
