use serde::{Deserialize, Serialize};

use super::super::Tree;
use crate::BenchError;

/// How often a proxy is looked at while one body streams through it.
const LOOKS: u64 = 64;

/// What a proxy holds while a body streams through it.
#[derive(Debug)]
pub(super) struct Memory {
    proxy: Tree,
    bytes: u64,
    looks: u64,
    held: Held,
}

/// The most that was resident during the first and the last quarter of a stream, KiB.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Held {
    first_kib: u64,
    last_kib: u64,
}

impl Memory {
    pub(super) fn of(proxy: Tree, bytes: u64) -> Self {
        Self { proxy, bytes, looks: 0, held: Held::default() }
    }

    /// Looks, if it is time to, after so many bytes.
    pub(super) fn look(&mut self, streamed: u64) -> Result<(), BenchError> {
        if streamed >= self.bytes / LOOKS * self.looks {
            self.looks += 1;
            self.held.note(streamed, self.bytes, self.proxy.resident_kib()?);
        }
        Ok(())
    }

    pub(super) fn held(&self) -> Held {
        self.held
    }
}

impl Held {
    fn note(&mut self, streamed: u64, bytes: u64, kib: u64) {
        if streamed <= bytes / 4 {
            self.first_kib = self.first_kib.max(kib);
        } else if streamed >= bytes / 4 * 3 {
            self.last_kib = self.last_kib.max(kib);
        }
    }

    /// By how much more was held at the end, MiB; `None` unless it was seen at both ends.
    pub(crate) fn growth_mib(self) -> Option<f64> {
        let seen = self.first_kib > 0 && self.last_kib > 0;
        seen.then(|| (self.last_kib as f64 - self.first_kib as f64) / 1_024.0)
    }

    #[cfg(test)]
    pub(crate) fn of(first_kib: u64, last_kib: u64) -> Self {
        Self { first_kib, last_kib }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_grows_with_the_stream_is_noticed_and_what_it_began_with_is_not() {
        let (mut keeps, mut flat) = (Held::default(), Held::default());
        for part in 0..=100 {
            keeps.note(part, 100, 5_000 + 1_024 * part);
            flat.note(part, 100, 50_000);
        }
        assert_eq!((keeps.growth_mib(), flat.growth_mib()), (Some(75.0), Some(0.0)));
    }
}
