//! The checker of loss, duplicates and order.

use std::{collections::BTreeSet, time::Duration};

use proptest::prelude::*;
use sap_comm_events::test_util::{FindingKind, Ledger, LedgerFull, Report};

/// A ledger of one key, of which so many numbers were sent and confirmed.
fn confirmed(numbers: u64) -> Ledger {
    let ledger = Ledger::new().seed(7);
    for number in 0..numbers {
        ledger.sent("a", number).unwrap();
        ledger.confirmed("a", number);
    }
    ledger
}

#[test]
fn what_comes_once_and_in_order_is_clean() {
    let ledger = confirmed(100);
    (0..100).for_each(|number| ledger.received("a", number));
    let report = ledger.report();
    assert!(report.is_clean(), "{report}");
    assert_eq!((report.sent, report.confirmed, report.received, report.keys), (100, 100, 100, 1));
}

#[test]
fn each_fault_is_found_and_named() {
    let ledger = confirmed(6);
    for number in [0, 0, 2, 1, 9] {
        ledger.received("a", number);
    }
    ledger.received("b", 0);
    ledger.sent("a", 6).unwrap();
    ledger.refused("a", 6);
    ledger.received("a", 6);
    let report = ledger.report();
    assert_eq!((report.lost, report.duplicated, report.unexpected), (3, 1, 3));
    assert_eq!(report.reordered, 2, "1 after 2, and 6 after 9");
    assert!(!report.is_lossless());
    let text = report.to_string();
    for part in ["seed 7", "lost a 3", "duplicated a 0", "reordered a 1", "unexpected a 9", "unexpected b 0"] {
        assert!(text.contains(part), "{part} is not in {text}");
    }
    let json = serde_json::to_string(&report).unwrap();
    assert_eq!(serde_json::from_str::<Report>(&json).unwrap(), report);
}

#[test]
fn an_unknown_outcome_is_recovered_or_nothing() {
    let ledger = Ledger::new();
    for number in 0..4 {
        ledger.sent("a", number).unwrap();
    }
    ledger.refused("a", 2);
    ledger.confirmed("a", 2);
    ledger.refused("a", 3);
    [1, 2].into_iter().for_each(|number| ledger.received("a", number));
    let report = ledger.report();
    assert!(report.is_clean(), "{report}");
    assert_eq!((report.unknown, report.recovered, report.refused, report.confirmed), (2, 1, 1, 1));
}

#[test]
fn other_processes_may_be_heard_in_any_order() {
    let ledger = Ledger::new();
    ledger.received("a", 1);
    ledger.received("a", 1);
    assert_eq!(ledger.report().unexpected, 1);
    ledger.sent("a", 1).unwrap();
    ledger.confirmed("a", 1);
    let report = ledger.report();
    assert_eq!((report.unexpected, report.lost, report.duplicated), (0, 0, 1), "{report}");
}

#[test]
fn what_is_done_with_takes_no_memory_and_the_rest_is_bounded() {
    let ledger = Ledger::new().capacity(3);
    for number in 0..1_000 {
        ledger.sent("a", number).unwrap();
        ledger.received("a", number);
        ledger.confirmed("a", number);
    }
    assert_eq!(ledger.sent("a", 3_000), Err(LedgerFull { capacity: 3 }));
    ledger.sent("a", 1_000).unwrap();
    assert_eq!(ledger.sent("a", 1_001), Err(LedgerFull { capacity: 3 }));
    assert_eq!(ledger.sent("b", 0), Err(LedgerFull { capacity: 3 }));
    ledger.received("b", 0);
    ledger.received("a", u64::MAX);
    let report = ledger.report();
    assert_eq!((report.unexpected, report.sent, report.keys), (2, 1_001, 1), "{report}");
}

#[test]
fn findings_are_bounded() {
    let report = confirmed(1_000).report();
    assert_eq!((report.lost, report.findings.len()), (1_000, 20));
    assert_eq!((report.findings[0].kind, report.findings[0].number), (FindingKind::Lost, 0));
}

#[tokio::test(start_paused = true)]
async fn draining_waits_for_the_last_and_no_longer_than_its_limit() {
    let ledger = confirmed(2);
    let draining = tokio::spawn({
        let ledger = ledger.clone();
        async move { ledger.drained(Duration::from_secs(3_600)).await }
    });
    for number in 0..2 {
        tokio::time::sleep(Duration::from_secs(60)).await;
        ledger.received("a", number);
    }
    assert!(draining.await.unwrap().is_clean());
    assert_eq!(confirmed(1).drained(Duration::from_secs(1)).await.lost, 1);
}

proptest! {
    #[test]
    fn loss_and_duplicates_are_counted_whatever_the_order(
        lost in prop::collection::btree_set(0_u64..50, 0..20),
        twice in prop::collection::btree_set(0_u64..50, 0..20),
        shuffled in Just((0_u64..50).collect::<Vec<_>>()).prop_shuffle(),
    ) {
        let ledger = confirmed(50);
        let came: Vec<u64> = shuffled.into_iter().filter(|number| !lost.contains(number)).collect();
        let again: BTreeSet<u64> = twice.difference(&lost).copied().collect();
        came.iter().chain(&again).for_each(|number| ledger.received("a", *number));
        let late = came.iter().enumerate().filter(|(at, number)| came[..*at].iter().any(|other| other > *number));
        let report = ledger.report();
        prop_assert_eq!(report.lost, lost.len() as u64);
        prop_assert_eq!(report.duplicated, again.len() as u64);
        prop_assert_eq!(report.reordered, late.count() as u64);
    }
}
