/// The probe slots of a half-open breaker, each held on a lease.
#[derive(Debug, Default)]
pub(crate) struct Probes {
    leases: Vec<Lease>,
    next: u64,
    successes: u32,
}

/// A probe's hold on its slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Lease {
    id: u64,
    expires: u64,
}

impl Probes {
    /// Begins anew, with no probe in flight and none succeeded.
    pub(crate) fn reset(&mut self) {
        self.leases.clear();
        self.successes = 0;
    }

    /// Takes a slot, or tells when the first one in use expires.
    pub(crate) fn take(&mut self, now: u64, slots: u32, lease: u64) -> Result<Lease, u64> {
        self.leases.retain(|held| held.expires > now);
        if self.leases.len() >= slots as usize {
            let earliest = self.leases.iter().map(|held| held.expires).min();
            return Err(earliest.unwrap_or(now));
        }
        self.next += 1;
        let lease = Lease { id: self.next, expires: now.saturating_add(lease) };
        self.leases.push(lease);
        Ok(lease)
    }

    /// Gives a slot back. False if the lease had been lost to another probe: its result counts for nothing.
    pub(crate) fn give_back(&mut self, lease: Lease) -> bool {
        let position = self.leases.iter().position(|held| *held == lease);
        position.map(|position| self.leases.swap_remove(position)).is_some()
    }

    /// Counts a success; returns how many there are.
    pub(crate) fn succeeded(&mut self) -> u32 {
        self.successes = self.successes.saturating_add(1);
        self.successes
    }

    pub(crate) fn in_flight(&self) -> usize {
        self.leases.len()
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
