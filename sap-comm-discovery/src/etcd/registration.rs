use std::{sync::Arc, time::Duration};

use sap_comm_core::{Registration, RegistrationError, RegistrationGuard};
use tokio::{
    sync::oneshot,
    time::{Instant, sleep, timeout},
};

use super::{
    api::Api,
    keys::{self, Keys},
};
use crate::pace::{backoff, jitter};

/// How long a process that ends waits for its lease to be revoked; the lease ends by itself anyway.
const REVOKE: Duration = Duration::from_secs(2);

struct Holder {
    api: Arc<Api>,
    service: String,
    key: String,
    value: Vec<u8>,
    ttl: Duration,
}

pub(super) async fn register(
    api: Arc<Api>,
    keys: &Keys,
    ttl: Duration,
    registration: Registration,
) -> Result<RegistrationGuard, RegistrationError> {
    let Registration { service, instance, endpoint } = registration;
    let fail = |reason| RegistrationError { service: service.clone(), reason };
    let value = keys::write(&endpoint).map_err(fail)?;
    let holder = Holder { api, key: keys.of_instance(&service, &instance), value, ttl, service: service.clone() };
    let lease = holder.announce().await.map_err(fail)?;
    let (end, ended) = oneshot::channel::<()>();
    tokio::spawn(holder.hold(lease, ended));
    // The task ends when the sender goes, with the guard or with its closure.
    Ok(RegistrationGuard::new(move || drop(end)))
}

impl Holder {
    /// A new lease, and the key under it.
    async fn announce(&self) -> Result<i64, String> {
        let lease = self.api.grant(self.ttl).await?;
        self.api.put(&self.key, &self.value, lease).await?;
        Ok(lease)
    }

    /// Keeps the key alive until told to end, then revokes its lease.
    async fn hold(self, lease: i64, mut ended: oneshot::Receiver<()>) {
        let mut lease = Some(lease);
        tokio::select! {
            _ = &mut ended => {}
            () = self.renew(&mut lease) => {}
        }
        let Some(lease) = lease else { return };
        match timeout(REVOKE, self.api.revoke(lease)).await {
            Ok(Ok(())) => {}
            Ok(Err(reason)) => tracing::warn!(service = self.service, reason, "the lease was not revoked"),
            Err(_) => tracing::warn!(service = self.service, "the lease was not revoked in time"),
        }
    }

    /// Renews, and announces anew whenever lease or key are lost. Never returns.
    async fn renew(&self, lease: &mut Option<i64>) {
        let (mut failures, mut renewed_at) = (0, Instant::now());
        loop {
            let pause = if failures == 0 { jitter(self.ttl / 3) } else { backoff(failures - 1).min(self.ttl / 3) };
            sleep(pause).await;
            match self.renew_once(lease).await {
                Ok(()) => (failures, renewed_at) = (0, Instant::now()),
                Err(reason) => {
                    failures += 1;
                    let lost = renewed_at.elapsed() >= self.ttl;
                    tracing::warn!(service = self.service, reason, lost, "the registration was not renewed");
                }
            }
        }
    }

    async fn renew_once(&self, lease: &mut Option<i64>) -> Result<(), String> {
        if let Some(held) = *lease {
            if self.api.keep_alive(held).await? {
                if !self.api.exists(&self.key).await? {
                    self.api.put(&self.key, &self.value, held).await?;
                }
                return Ok(());
            }
            *lease = None;
            tracing::warn!(service = self.service, "the lease was lost; registering anew");
        }
        *lease = Some(self.announce().await?);
        Ok(())
    }
}
