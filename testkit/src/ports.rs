//! Free ports on the loopback interface.

use std::{
    collections::HashSet,
    hash::{BuildHasher, RandomState},
    net::{Ipv4Addr, TcpListener},
    sync::{Mutex, PoisonError},
};

use crate::TestkitError;

/// Below the ports that the kernel gives to outgoing connections, so that nothing takes a port while its server restarts.
const FIRST: u16 = 15_000;
const DEFAULT_END: u16 = 32_768;

static GIVEN: Mutex<Option<HashSet<u16>>> = Mutex::new(None);

/// A port of 127.0.0.1 that nobody listens on, never given twice in one process.
pub fn free_port() -> Result<u16, TestkitError> {
    let end = end_of_range();
    let span = u64::from(end - FIRST);
    let mut given = GIVEN.lock().unwrap_or_else(PoisonError::into_inner);
    let given = given.get_or_insert_default();
    let start = RandomState::new().hash_one(std::process::id()) % span;
    (0..span)
        .filter_map(|step| u16::try_from(u64::from(FIRST) + (start + step) % span).ok())
        .find(|port| !given.contains(port) && TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok())
        .inspect(|port| {
            given.insert(*port);
        })
        .ok_or(TestkitError::NoFreePort { from: FIRST, to: end })
}

/// Where the ports of outgoing connections begin on this machine.
fn end_of_range() -> u16 {
    std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range")
        .ok()
        .and_then(|range| range.split_whitespace().next()?.parse().ok())
        .filter(|low| *low > FIRST + 1_000)
        .unwrap_or(DEFAULT_END)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_given_once() {
        let ports: HashSet<u16> = (0..50).map(|_| free_port().unwrap()).collect();
        assert_eq!(ports.len(), 50);
    }

    #[test]
    fn a_port_is_outside_the_range_of_outgoing_connections() {
        assert!(free_port().unwrap() < end_of_range());
    }

    #[test]
    fn a_port_in_use_is_not_given() {
        let port = free_port().unwrap();
        let held = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).unwrap();
        assert!((0..50).all(|_| free_port().unwrap() != port));
        drop(held);
    }
}
