use std::{fmt, sync::Arc, time::Duration};

use http::HeaderValue;
use sap_comm_core::telemetry;
use sap_comm_discovery::{Outcome, Picked};
use sap_comm_resilience::OwnedPermit;
use tokio::time::Instant;

use crate::gateway::upstream::Upstream;

/// A call whose answer has begun, and may still break off or fall silent.
///
/// It succeeded once the answer is over. So that an endless one holds no half-open breaker's probe, it also did once so much of the
/// answer came, or some of it after so long.
#[derive(Debug)]
pub(in crate::gateway) struct Begun {
    /// The breaker's permit, where it waits for the end, and how long the head took; `None` once it is settled how the call ended.
    unsettled: Option<(Option<OwnedPermit>, Duration)>,
    came: u64,
    request_id: HeaderValue,
    upstream: Arc<Upstream>,
}

const ENOUGH_BYTES: u64 = 1 << 20;
const LONG_ENOUGH: Duration = Duration::from_secs(5);

impl Begun {
    pub(in crate::gateway) fn new(
        unsettled: Option<(Option<OwnedPermit>, Duration)>,
        request_id: HeaderValue,
        upstream: Arc<Upstream>,
    ) -> Self {
        Self { unsettled, came: 0, request_id, upstream }
    }

    /// So many bytes more of the answer came.
    pub(in crate::gateway) fn moved(&mut self, bytes: usize, picked: &Picked) {
        self.came = self.came.saturating_add(bytes as u64);
        if self.came >= ENOUGH_BYTES {
            self.succeeded(picked);
        }
    }

    /// More of it is waited for since then.
    pub(in crate::gateway) fn waits(&mut self, since: Instant, picked: &Picked) {
        if self.came > 0 && since.saturating_duration_since(picked.since()) >= LONG_ENOUGH {
            self.succeeded(picked);
        }
    }

    /// The answer is over.
    pub(in crate::gateway) fn succeeded(&mut self, picked: &Picked) {
        if let Some((permit, latency)) = self.unsettled.take() {
            if let Some(permit) = permit {
                permit.success();
            }
            picked.report(Outcome::Success(latency));
        }
    }

    /// The rest of the answer does not come.
    pub(in crate::gateway) fn failed(&mut self, picked: &Picked, reason: impl fmt::Display) {
        tracing::warn!(
            { telemetry::REQUEST_ID } = self.request_id.to_str().unwrap_or_default(),
            upstream = %format_args!("{} {}", self.upstream.service(), picked.endpoint()),
            %reason,
            "the upstream did not finish its answer"
        );
        if let Some((permit, _)) = self.unsettled.take() {
            if let Some(permit) = permit {
                permit.failure();
            }
            picked.report(Outcome::Failure);
        }
    }

    /// Nobody reads on, which says nothing of the upstream.
    pub(in crate::gateway) fn left(self, picked: &Picked) {
        if let Some((permit, latency)) = self.unsettled {
            if let Some(permit) = permit {
                permit.ignore();
            }
            picked.report(Outcome::Begun(latency));
        }
    }
}

#[cfg(test)]
mod tests {
    use sap_comm_core::{Endpoint, StaticResolver};
    use sap_comm_discovery::EndpointSnapshot;
    use sap_comm_resilience::CircuitBreakerConfig;
    use tokio::time::advance;

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
            let begun = Begun::new(unsettled, HeaderValue::from_static("req_1"), Arc::clone(&upstream));
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
        call.begun.moved(1, &call.picked);
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
    async fn a_long_one_is_a_success_before_its_end() {
        let mut call = Call::begin().await;
        call.begun.moved(usize::try_from(ENOUGH_BYTES).unwrap() - 1, &call.picked);
        assert_eq!(call.counted(), [(0, 0); 2]);
        call.begun.moved(1, &call.picked);
        assert_eq!(call.counted(), [(1, 0); 2]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_leaves_blames_nobody_and_lengthens_no_latency() {
        let Call { upstream, begun, picked } = Call::begin().await;
        advance(Duration::from_secs(60)).await;
        begun.left(&picked);
        drop(picked);
        let (breaker, endpoint) = (upstream.breaker.snapshot(), upstream.endpoints().endpoints.remove(0));
        assert_eq!((breaker.succeeded, breaker.failed, endpoint.successes, endpoint.failures), (0, 0, 0, 0));
        assert!(endpoint.latency_ms < 100.0, "{endpoint:?}");
    }
}
