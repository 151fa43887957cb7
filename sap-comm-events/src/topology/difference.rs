//! Where a broker is not as a service expects it.

use std::{collections::BTreeSet, fmt};

use serde::Serialize;

use super::{Argument, ExchangeSpec, QueueSpec, TopologyError, TopologySpec};

/// One difference between what a service declares and what its broker has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "difference", rename_all = "camelCase")]
#[non_exhaustive]
pub enum TopologyDifference {
    /// It is not there; a service that starts declares it.
    Missing {
        /// Such as `queue "user.events.audit"`.
        object: String,
    },
    /// It is there with another property; a service that starts fails on it, until it is deleted or the service changed.
    Argument {
        /// Such as `queue "user.events.audit"`.
        object: String,
        /// The argument, such as `x-message-ttl`, `durable` or `type`.
        argument: String,
        /// Its value as declared; `none` if it is not.
        expected: String,
        /// Its value on the broker; `none` if it has none.
        found: String,
    },
    /// A binding that nobody declares, left by another version or made by hand: its queue gets more than it asks for.
    Unexpected {
        /// The binding.
        object: String,
    },
}

impl fmt::Display for TopologyDifference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing { object } => write!(f, "{object} is missing"),
            Self::Argument { object, argument, expected, found } => {
                write!(f, "{object} differs in {argument}: expected {expected}, found {found}")
            }
            Self::Unexpected { object } => write!(f, "{object} is not declared"),
        }
    }
}

impl From<TopologyError> for TopologyDifference {
    fn from(error: TopologyError) -> Self {
        let unknown = || "what the broker does not say".to_owned();
        Self::Argument {
            object: error.object,
            argument: error.argument.unwrap_or_else(|| "an argument".to_owned()),
            expected: error.expected.unwrap_or_else(unknown),
            found: error.found.unwrap_or(error.detail),
        }
    }
}

impl TopologySpec {
    /// Where `found` is not as this is. What `found` has besides is of no interest, except for bindings of these queues.
    #[must_use]
    pub fn differences(&self, found: &Self) -> Vec<TopologyDifference> {
        let mut differences = Vec::new();
        for exchange in &self.exchanges {
            match found.exchanges.iter().find(|other| other.name == exchange.name) {
                None => differences.push(TopologyDifference::Missing { object: exchange.object() }),
                Some(other) => exchange.compare(other, &mut differences),
            }
        }
        for queue in &self.queues {
            match found.queues.iter().find(|other| other.name == queue.name) {
                None => differences.push(TopologyDifference::Missing { object: queue.object() }),
                Some(other) => queue.compare(other, &mut differences),
            }
        }
        for binding in &self.bindings {
            if !found.bindings.contains(binding) {
                differences.push(TopologyDifference::Missing { object: binding.object() });
            }
        }
        let ours = |name: &str| self.queues.iter().any(|queue| queue.name == name);
        for binding in found.bindings.iter().filter(|binding| !binding.exchange.is_empty() && ours(&binding.queue)) {
            if !self.bindings.contains(binding) {
                differences.push(TopologyDifference::Unexpected { object: binding.object() });
            }
        }
        differences
    }
}

impl ExchangeSpec {
    pub(crate) fn object(&self) -> String {
        format!("exchange {:?}", self.name)
    }

    fn compare(&self, found: &Self, differences: &mut Vec<TopologyDifference>) {
        differences.extend(differ(self.object(), "type", &self.kind, &found.kind));
        differences.extend(differ(self.object(), "durable", &self.durable, &found.durable));
    }
}

impl QueueSpec {
    pub(crate) fn object(&self) -> String {
        format!("queue {:?}", self.name)
    }

    fn compare(&self, found: &Self, differences: &mut Vec<TopologyDifference>) {
        differences.extend(differ(self.object(), "durable", &self.durable, &found.durable));
        differences.extend(differ(self.object(), "exclusive", &self.exclusive, &found.exclusive));
        differences.extend(differ(self.object(), "auto_delete", &self.auto_delete, &found.auto_delete));
        let names: BTreeSet<_> = self.arguments.keys().chain(found.arguments.keys()).collect();
        for name in names {
            let value = |queue: &Self| match queue.arguments.get(name) {
                Some(value) => value.to_string(),
                // A queue that does not say is a classic one.
                None if name == "x-queue-type" => Argument::Text("classic".to_owned()).to_string(),
                None => "none".to_owned(),
            };
            differences.extend(differ(self.object(), name, &value(self), &value(found)));
        }
    }
}

impl super::BindingSpec {
    fn object(&self) -> String {
        format!("binding of queue {:?} to exchange {:?} for {:?}", self.queue, self.exchange, self.key)
    }
}

fn differ<T: PartialEq + ToString>(
    object: String,
    argument: &str,
    expected: &T,
    found: &T,
) -> Option<TopologyDifference> {
    let argument = argument.to_owned();
    let (expected, found) = (expected != found).then(|| (expected.to_string(), found.to_string()))?;
    Some(TopologyDifference::Argument { object, argument, expected, found })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topology::BindingSpec;

    #[test]
    fn every_difference_is_named() {
        let spec = |json: &str| serde_json::from_str::<TopologySpec>(json).unwrap();
        let declared = spec(
            r#"{"exchanges": [{"name": "a", "type": "topic"}, {"name": "b", "type": "direct"}],
                "queues": [{"name": "q", "arguments": {"x-message-ttl": 5, "x-queue-type": "quorum"}}, {"name": "r"}],
                "bindings": [{"exchange": "a", "queue": "q", "key": "x"}]}"#,
        );
        let found = spec(
            r##"{"exchanges": [{"name": "a", "type": "fanout"}, {"name": "other", "type": "topic"}],
                "queues": [{"name": "q", "durable": false, "arguments": {"x-message-ttl": 6, "x-max-length": 7}}],
                "bindings": [{"exchange": "a", "queue": "q", "key": "#"}, {"exchange": "a", "queue": "z", "key": "#"},
                             {"exchange": "", "queue": "q", "key": "q"}]}"##,
        );
        let differences: Vec<_> = declared.differences(&found).iter().map(ToString::to_string).collect();
        assert_eq!(
            differences,
            [
                r#"exchange "a" differs in type: expected topic, found fanout"#,
                r#"exchange "b" is missing"#,
                r#"queue "q" differs in durable: expected true, found false"#,
                r#"queue "q" differs in x-max-length: expected none, found 7"#,
                r#"queue "q" differs in x-message-ttl: expected 5, found 6"#,
                r#"queue "q" differs in x-queue-type: expected "quorum", found "classic""#,
                r#"queue "r" is missing"#,
                r#"binding of queue "q" to exchange "a" for "x" is missing"#,
                r##"binding of queue "q" to exchange "a" for "#" is not declared"##,
            ]
        );
        assert!(declared.differences(&declared).is_empty());
        let mut tidy = declared.clone();
        tidy.bindings.push(BindingSpec { exchange: "a".into(), queue: "elsewhere".into(), key: "x".into() });
        assert!(declared.differences(&tidy).is_empty(), "what others have is theirs");
    }
}
