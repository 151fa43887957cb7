use sap_comm_core::Endpoint;
use serde::{Deserialize, Serialize};

/// Where the keys of services begin.
#[derive(Debug, Clone)]
pub(super) struct Keys {
    prefix: String,
}

/// What a key holds.
#[derive(Debug, Serialize, Deserialize)]
struct Instance {
    endpoint: Endpoint,
    #[serde(default = "one")]
    weight: u32,
}

fn one() -> u32 {
    1
}

impl Keys {
    pub(super) fn new(prefix: &str) -> Self {
        Self { prefix: prefix.trim_matches('/').to_owned() }
    }

    /// What all keys of a service, and no others, begin with.
    pub(super) fn of_service(&self, service: &str) -> String {
        format!("{}/{}/", self.prefix, escape(service))
    }

    pub(super) fn of_instance(&self, service: &str, instance: &str) -> String {
        format!("{}{}", self.of_service(service), escape(instance))
    }
}

/// A name holds no slash, so that one service's keys are never another's.
fn escape(name: &str) -> String {
    name.replace('%', "%25").replace('/', "%2F")
}

pub(super) fn write(endpoint: &Endpoint) -> Result<Vec<u8>, String> {
    let instance = Instance { endpoint: endpoint.clone(), weight: endpoint.weight() };
    serde_json::to_vec(&instance).map_err(|error| error.to_string())
}

pub(super) fn read(value: &[u8]) -> Result<Endpoint, String> {
    let instance: Instance = serde_json::from_slice(value).map_err(|error| error.to_string())?;
    Ok(instance.endpoint.with_weight(instance.weight))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_keys_of_one_service_are_never_anothers() {
        let keys = Keys::new("/sap/");
        assert_eq!(keys.of_instance("user-service", "a"), "sap/user-service/a");
        assert!(!keys.of_instance("user/service", "a").starts_with(&keys.of_service("user")));
        assert_ne!(keys.of_service("a/b"), keys.of_service("a%2Fb"));
    }

    #[test]
    fn an_instance_is_read_as_it_was_written() {
        let endpoint = Endpoint::parse("https://a:1").unwrap().with_weight(3);
        assert_eq!(read(&write(&endpoint).unwrap()).unwrap(), endpoint);
        assert_eq!(read(br#"{"endpoint": "http://a:1"}"#).unwrap().weight(), 1);
        assert!(read(b"http://a:1").is_err());
    }
}
