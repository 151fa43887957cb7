use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use async_trait::async_trait;
use futures_util::{StreamExt, stream::BoxStream};
use tokio::sync::watch;
use tokio_stream::wrappers::WatchStream;

use super::{
    Endpoint, EndpointSet, Registrar, Registration, RegistrationError, RegistrationGuard, Resolution, Resolver,
};

/// Endpoints that are set by hand, or registered within this process; watchers see each change.
#[derive(Debug, Clone, Default)]
pub struct StaticResolver(Arc<Mutex<HashMap<String, Entry>>>);

#[derive(Debug)]
struct Entry {
    instances: HashMap<String, Vec<Endpoint>>,
    sender: watch::Sender<Arc<EndpointSet>>,
}

impl Default for Entry {
    fn default() -> Self {
        Self { instances: HashMap::new(), sender: watch::Sender::new(Arc::default()) }
    }
}

/// The instance name of endpoints that were set by hand.
const BY_HAND: &str = "";

impl StaticResolver {
    /// A resolver that knows no service yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the endpoints of `service`, replacing those that were set before.
    pub fn set(&self, service: &str, endpoints: impl IntoIterator<Item = Endpoint>) {
        self.update(service, BY_HAND, endpoints.into_iter().collect());
    }

    fn update(&self, service: &str, instance: &str, endpoints: Vec<Endpoint>) {
        let mut services = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = services.entry(service.to_owned()).or_default();
        if endpoints.is_empty() {
            entry.instances.remove(instance);
        } else {
            entry.instances.insert(instance.to_owned(), endpoints);
        }
        let set: EndpointSet = entry.instances.values().flatten().cloned().collect();
        entry.sender.send_if_modified(|current| {
            let changed = **current != set;
            *current = Arc::new(set);
            changed
        });
    }
}

impl Resolver for StaticResolver {
    fn watch(&self, service: &str) -> BoxStream<'static, Resolution> {
        let mut services = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = services.entry(service.to_owned()).or_default();
        WatchStream::new(entry.sender.subscribe()).map(Resolution::Snapshot).boxed()
    }

    fn is_configured(&self) -> bool {
        true
    }
}

#[async_trait]
impl Registrar for StaticResolver {
    async fn register(&self, registration: Registration) -> Result<RegistrationGuard, RegistrationError> {
        let Registration { service, instance, endpoint } = registration;
        self.update(&service, &instance, vec![endpoint]);
        let resolver = self.clone();
        Ok(RegistrationGuard::new(move || resolver.update(&service, &instance, Vec::new())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn snapshot(endpoints: &[&str]) -> Resolution {
        Resolution::Snapshot(Arc::new(endpoints.iter().map(|text| Endpoint::parse(text).unwrap()).collect()))
    }

    #[tokio::test]
    async fn watchers_see_registrations_come_and_go() {
        let resolver = StaticResolver::new();
        let mut watch = resolver.watch("user-service");
        assert_eq!(watch.next().await, Some(snapshot(&[])));
        let registration = Registration {
            service: "user-service".into(),
            instance: "a".into(),
            endpoint: Endpoint::parse("http://127.0.0.1:1").unwrap(),
        };
        let guard = resolver.register(registration).await.unwrap();
        assert_eq!(watch.next().await, Some(snapshot(&["http://127.0.0.1:1"])));
        drop(guard);
        assert_eq!(watch.next().await, Some(snapshot(&[])));
    }
}
