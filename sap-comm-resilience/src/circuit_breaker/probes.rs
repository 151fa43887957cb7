use std::num::NonZeroU64;

/// The probe slots of a half-open breaker, each held on a lease.
#[derive(Debug, Default)]
pub(crate) struct Probes {
    held: Vec<(Lease, u64)>,
    taken: u64,
    successes: u32,
}

/// A probe's hold on its slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Lease(NonZeroU64);

impl Probes {
    /// Begins anew, with no probe in flight and none succeeded.
    pub(crate) fn reset(&mut self) {
        self.held.clear();
        self.successes = 0;
    }

    /// Takes a slot, or tells when the first one in use expires.
    pub(crate) fn take(&mut self, now: u64, slots: u32, lease: u64) -> Result<Lease, u64> {
        self.held.retain(|(_, expires)| *expires > now);
        if self.held.len() >= slots as usize {
            let earliest = self.held.iter().map(|(_, expires)| *expires).min();
            return Err(earliest.unwrap_or(now));
        }
        self.taken += 1;
        let id = Lease(NonZeroU64::MIN.saturating_add(self.taken));
        self.held.push((id, now.saturating_add(lease)));
        Ok(id)
    }

    /// Gives a slot back. False if the lease had been lost to another probe: its result counts for nothing.
    pub(crate) fn give_back(&mut self, lease: Lease) -> bool {
        let position = self.held.iter().position(|(held, _)| *held == lease);
        position.map(|position| self.held.swap_remove(position)).is_some()
    }

    /// Counts a success; returns how many there are.
    pub(crate) fn succeeded(&mut self) -> u32 {
        self.successes = self.successes.saturating_add(1);
        self.successes
    }

    pub(crate) fn in_flight(&self) -> usize {
        self.held.len()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn an_expired_lease_frees_its_slot() {
        let mut probes = Probes::default();
        let first = probes.take(0, 1, 10).unwrap();
        assert_eq!(probes.take(9, 1, 10), Err(10));
        let second = probes.take(10, 1, 10).unwrap();
        assert!(!probes.give_back(first));
        assert!(probes.give_back(second));
        assert!(!probes.give_back(second));
    }
}
