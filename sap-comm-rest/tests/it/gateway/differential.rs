//! The same bytes to our gateway, to nginx and to HAProxy, each before an upstream of its own that remembers what it got.
//!
//! We are laxer than a peer where our upstream got a request, or a body, that the peer's did not get from the same bytes.
//! The other way round is allowed, and printed. The probe behind the bytes is the client's own next request, and counts on
//! neither side. Targets are compared as what they name, for the peers pass them on as they come.

use futures_util::future::join_all;
use percent_encoding::percent_decode_str;
use sap_comm_testkit::ReverseProxy;

use super::{
    corpus::{Attack, Expect, corpus},
    support::{serve, to},
    witness::{Outcome, Seen, Witness},
};

#[tokio::test]
async fn we_are_never_laxer_than_nginx_or_haproxy() {
    let witnesses = [Witness::start().await, Witness::start().await, Witness::start().await];
    let gateway = serve(to(&witnesses[0].running).build().unwrap()).await;
    let nginx = ReverseProxy::nginx(witnesses[1].running.address).await.unwrap();
    let haproxy = ReverseProxy::haproxy(witnesses[2].running.address).await.unwrap();
    let addresses = [gateway.address, nginx.address(), haproxy.address()];
    let mut laxer = Vec::new();
    for attack in corpus() {
        let played = witnesses.iter().zip(addresses).map(|(witness, address)| witness.play(address, &attack.bytes));
        let outcomes: [Outcome; 3] = join_all(played).await.try_into().unwrap();
        let [ours, peers @ ..] = &outcomes;
        for (peer, theirs) in ["nginx", "haproxy"].into_iter().zip(peers) {
            let beyond = missing(&ours.seen, &theirs.seen);
            if !beyond.is_empty() {
                laxer.push(format!("{}: we passed on {beyond:?}, {peer} did not: {theirs:?}", attack.name));
            }
            println!("{}", difference(&attack, ours, peer, theirs));
        }
    }
    assert!(laxer.is_empty(), "laxer:\n{}", laxer.join("\n"));
}

/// Those of `ours` that are not among `theirs`, each counted.
fn missing(ours: &[Seen], theirs: &[Seen]) -> Vec<Seen> {
    let (ours, mut left) = (attacks(ours), attacks(theirs));
    let found = |request: &&Seen| match left.iter().position(|other| other == *request) {
        Some(at) => {
            left.swap_remove(at);
            false
        }
        None => true,
    };
    ours.iter().filter(found).cloned().collect()
}

fn attacks(seen: &[Seen]) -> Vec<Seen> {
    let named = seen.iter().map(|(target, body)| {
        let path = target.strip_prefix("http://a").unwrap_or(target);
        (percent_decode_str(path).decode_utf8_lossy().into_owned(), body.clone())
    });
    named.filter(|(target, _)| target != "/api/probe").collect()
}

fn difference(attack: &Attack, ours: &Outcome, peer: &str, theirs: &Outcome) -> String {
    let targets = |outcome: &Outcome| outcome.seen.iter().map(|(target, _)| target.clone()).collect::<Vec<_>>();
    let same = attacks(&ours.seen) == attacks(&theirs.seen);
    let verdict = match (same, attack.expect) {
        (true, _) => "same",
        (false, Expect::Closes(_) | Expect::Refuses(_)) => "we are stricter",
        (false, Expect::Serves(_)) => "differs",
    };
    let (our, their) = (targets(ours), targets(theirs));
    format!("{:<48} {peer:<8} {verdict:<16} {:?} {our:?} | {:?} {their:?}", attack.name, ours.statuses, theirs.statuses)
}
