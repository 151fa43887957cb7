mod api;
mod builder;
mod keys;
mod registration;
mod watch;

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use futures_util::stream::BoxStream;
use sap_comm_core::{Registrar, Registration, RegistrationError, RegistrationGuard, Resolution, Resolver};

pub use builder::{EtcdBuilder, EtcdError};

use self::{api::Api, keys::Keys};
use crate::pace::Hints;

/// Endpoints in etcd: resolver and registrar. Cheap to clone.
///
/// An instance is a key `{prefix}/{service}/{instance}` under a lease, its value `{"endpoint": "http://…", "weight": 1}`.
/// A value that cannot be read is left out and logged.
#[derive(Debug, Clone)]
pub struct Etcd {
    api: Arc<Api>,
    keys: Keys,
    ttl: Duration,
    hints: Hints,
}

impl Etcd {
    /// Starts from the defaults: prefix `sap-comm/services`, a lease of 15 s.
    pub fn builder() -> EtcdBuilder {
        EtcdBuilder::default()
    }
}

impl Resolver for Etcd {
    fn watch(&self, service: &str) -> BoxStream<'static, Resolution> {
        watch::watch(Arc::clone(&self.api), self.keys.of_service(service), self.hints.about(service))
    }

    fn refresh(&self, service: &str) {
        self.hints.send(service);
    }
}

#[async_trait]
impl Registrar for Etcd {
    /// Registers under a lease that a task renews; dropping the guard has the task revoke it.
    async fn register(&self, registration: Registration) -> Result<RegistrationGuard, RegistrationError> {
        registration::register(Arc::clone(&self.api), &self.keys, self.ttl, registration).await
    }
}
