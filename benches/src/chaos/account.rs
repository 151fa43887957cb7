//! What was confirmed against what had its effect.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    path::Path,
};

use super::role::{self, Fate, Work};
use crate::BenchError;
use super::worker::Worker;

/// The numbers of one key.
#[derive(Default)]
struct Key {
    sent: HashSet<u64>,
    confirmed: HashSet<u64>,
    effects: Vec<u64>,
}

/// What came of all events.
#[derive(Clone, Debug, Default)]
pub(super) struct Account {
    pub(super) keys: usize,
    pub(super) sent: usize,
    pub(super) confirmed: usize,
    pub(super) effects: usize,
    /// Confirmed without an effect.
    pub(super) lost: Vec<String>,
    /// Deliveries that the inbox knew already.
    pub(super) again: u64,
    /// Effects that an event had more than once.
    pub(super) doubled: Vec<String>,
    /// Effects before that of an earlier event of the key.
    pub(super) reordered: Vec<String>,
    /// Effects of events that nobody published.
    pub(super) unexpected: Vec<String>,
}

impl Account {
    /// Reads what the workers left.
    pub(super) async fn of(workers: &[Worker]) -> Result<Self, BenchError> {
        let mut keys: BTreeMap<String, Key> = BTreeMap::new();
        let mut again = 0;
        for worker in workers {
            match worker.role.work {
                Work::Publish { .. } => published(&worker.role.file("ledger"), &mut keys)?,
                Work::Outbox { .. } => {
                    for (key, number) in role::written(&worker.role.file("db")).await? {
                        let key = keys.entry(key).or_default();
                        key.sent.insert(number);
                        key.confirmed.insert(number);
                    }
                }
                Work::Consume { .. } => {
                    let (effects, known) = role::effects(&worker.role.file("db")).await?;
                    again += known;
                    for (key, number) in effects {
                        keys.entry(key).or_default().effects.push(number);
                    }
                }
            }
        }
        let mut account = Self { keys: keys.len(), again, ..Self::default() };
        keys.iter().for_each(|(name, key)| account.add(name, key));
        Ok(account)
    }

    fn add(&mut self, name: &str, key: &Key) {
        self.sent += key.sent.len();
        self.confirmed += key.confirmed.len();
        self.effects += key.effects.len();
        let shown = |number: &u64| format!("{name} {number}");
        let mut times: HashMap<u64, u32> = HashMap::new();
        key.effects.iter().for_each(|number| *times.entry(*number).or_default() += 1);
        self.lost.extend(key.confirmed.iter().filter(|number| !times.contains_key(number)).map(shown));
        self.doubled.extend(times.iter().filter(|(_, times)| **times > 1).map(|(number, _)| shown(number)));
        self.unexpected.extend(times.keys().filter(|number| !key.sent.contains(number)).map(shown));
        // A retried event waits in the ladder while others pass it, as the documentation says.
        if !name.contains(".retried.") {
            let mut highest = None;
            for number in &key.effects {
                if highest.is_some_and(|highest| *number < highest) {
                    self.reordered.push(shown(number));
                }
                highest = highest.max(Some(*number));
            }
        }
    }
}

fn published(file: &Path, keys: &mut BTreeMap<String, Key>) -> Result<(), BenchError> {
    for (name, numbers) in role::read_ledger(file).map_err(BenchError::refused("read a ledger"))? {
        let key = keys.entry(name).or_default();
        for (number, fate) in numbers {
            key.sent.insert(number);
            if fate == Fate::Confirmed {
                key.confirmed.insert(number);
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_went_wrong_is_told_apart() {
        let key = Key { sent: [0, 1, 2, 3].into(), confirmed: [0, 1, 3].into(), effects: vec![1, 0, 0, 9] };
        let mut account = Account::default();
        account.add("a", &key);
        let Account { lost, doubled, reordered, unexpected, .. } = account;
        assert_eq!((lost, doubled), (vec!["a 3".to_owned()], vec!["a 0".to_owned()]));
        assert_eq!((reordered.len(), unexpected), (2, vec!["a 9".to_owned()]));
    }
}
