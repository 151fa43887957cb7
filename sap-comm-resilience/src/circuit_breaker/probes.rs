/// The probe slots of a half-open breaker, each held on a lease.
#[derive(Debug, Default)]
pub(crate) struct Probes {
    held: Vec<Probe>,
    taken: u64,
    successes: u32,
}

#[derive(Debug)]
struct Probe {
    lease: Lease,
    started: u64,
    expires: u64,
}

/// A probe's hold on its slot. No two of a breaker are equal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Lease(pub(super) u64);

impl Probes {
    /// Begins anew, with no probe in flight and none succeeded.
    pub(crate) fn reset(&mut self) {
        self.held.clear();
        self.successes = 0;
    }

    /// Takes a slot, or tells when the first one in use expires.
    pub(crate) fn take(&mut self, now: u64, slots: u32, lease: u64) -> Result<Lease, u64> {
        self.held.retain(|probe| probe.expires > now);
        if let Some(until) = self.taken_until(slots) {
            return Err(until);
        }
        self.taken += 1;
        let taken = Lease(self.taken);
        self.held.push(Probe { lease: taken, started: now, expires: now.saturating_add(lease) });
        Ok(taken)
    }

    /// When the first slot in use expires, while none is free.
    pub(crate) fn taken_until(&self, slots: u32) -> Option<u64> {
        let earliest = self.held.iter().map(|probe| probe.expires).min();
        earliest.filter(|_| self.held.len() >= slots as usize)
    }

    /// Gives a slot back; returns when its probe began. `None` if it was lost to another probe: the result counts for
    /// nothing.
    pub(crate) fn give_back(&mut self, lease: Lease) -> Option<u64> {
        let position = self.held.iter().position(|probe| probe.lease == lease)?;
        Some(self.held.swap_remove(position).started)
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
        assert_eq!(probes.give_back(first), None);
        assert_eq!(probes.give_back(second), Some(10));
        assert_eq!(probes.give_back(second), None);
    }

    #[test]
    fn the_first_slot_to_expire_is_waited_for() {
        let mut probes = Probes::default();
        let (_, second) = (probes.take(3, 2, 10).unwrap(), probes.take(5, 2, 10).unwrap());
        assert_eq!((probes.in_flight(), probes.take(6, 2, 10)), (2, Err(13)));
        assert_eq!(probes.give_back(second), Some(5));
        assert!(probes.take(6, 2, 10).is_ok());
    }

    #[test]
    fn a_reset_forgets_probes_and_successes() {
        let mut probes = Probes::default();
        let old = probes.take(0, 1, 10).unwrap();
        assert_eq!((probes.succeeded(), probes.succeeded()), (1, 2));
        probes.reset();
        assert_eq!((probes.in_flight(), probes.succeeded()), (0, 1));
        assert_ne!(probes.take(0, 1, 10).unwrap(), old);
    }
}
