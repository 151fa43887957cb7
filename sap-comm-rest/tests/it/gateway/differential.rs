//! The same bytes to our gateway, to nginx and to HAProxy, each before an upstream of its own that remembers what it got.
//!
//! We are laxer than a peer where our upstream got a request, or a body, that the peer's did not get from the same bytes; where
//! it got more requests; where one of them had a header about the connection or the message's end that the peer's had not; or
//! where it could not tell for sure what it got. The other way round is allowed, and printed. The probe behind the bytes is the
//! client's own next request, and counts on neither side. Targets are compared as what they name, for the peers pass them on as
//! they come.

use futures_util::future::join_all;
use percent_encoding::percent_decode_str;
use sap_comm_rest::server::{Server, ServerConfig};
use sap_comm_testkit::ReverseProxy;
use tokio_util::sync::CancellationToken;

use super::{
    corpus::{Attack, Expect, corpus},
    support::{Running, to},
    witness::{Outcome, Seen, Witness},
};

#[tokio::test]
async fn we_are_never_laxer_than_nginx_or_haproxy() {
    let witnesses = [Witness::start().await, Witness::start().await, Witness::start().await];
    let gateway = with_workers(&witnesses[0]).await;
    let nginx = ReverseProxy::nginx(witnesses[1].running.address).await.unwrap();
    let haproxy = ReverseProxy::haproxy(witnesses[2].running.address).await.unwrap();
    let addresses = [gateway.address, nginx.address(), haproxy.address()];
    let mut laxer = Vec::new();
    for attack in corpus() {
        let played = witnesses.iter().zip(addresses).map(|(witness, address)| witness.play(address, &attack.bytes));
        let outcomes: [Outcome; 3] = join_all(played).await.try_into().unwrap();
        let [ours, peers @ ..] = &outcomes;
        for unclear in ours.seen.iter().filter(|seen| !is_clear(seen)) {
            laxer.push(format!("{}: we passed on what is unclear: {unclear:?}", attack.name));
        }
        for (peer, theirs) in ["nginx", "haproxy"].into_iter().zip(peers) {
            for beyond in beyond(&ours.seen, &theirs.seen) {
                laxer.push(format!("{}: we passed on {beyond}, {peer} did not: {theirs:?}", attack.name));
            }
            println!("{}", difference(&attack, ours, peer, theirs));
        }
    }
    assert!(laxer.is_empty(), "laxer:\n{}", laxer.join("\n"));
}

/// As it is served at an edge.
async fn with_workers(witness: &Witness) -> Running {
    let mut config = ServerConfig::default();
    config.workers = 2;
    let server = Server::bind("127.0.0.1:0", config).await.unwrap();
    let gateway = to(&witness.running).build().unwrap();
    Running::spawn(server.local_addr(), async move { gateway.serve(server, CancellationToken::new()).await.unwrap() })
}

/// Whether it has one host, and one end at most.
fn is_clear(seen: &Seen) -> bool {
    let ends = seen.values("content-length").len() + seen.values("transfer-encoding").len();
    seen.unclear.is_none() && seen.values("host").len() == 1 && ends <= 1
}

/// What is in `ours` and not in `theirs`: requests, each counted, and their headers.
fn beyond(ours: &[Seen], theirs: &[Seen]) -> Vec<String> {
    let mut left: Vec<_> = theirs.iter().filter(|seen| !is_probe(seen)).collect();
    let mut beyond = Vec::new();
    for request in ours.iter().filter(|seen| !is_probe(seen)) {
        let Some(at) = left.iter().position(|other| named(other) == named(request)) else {
            beyond.push(format!("{request:?}"));
            continue;
        };
        let other = left.swap_remove(at);
        // Either end says the same, and each proxy names the upstream's host as it likes.
        let compared = |name: &&str| !["content-length", "host", "transfer-encoding"].contains(name);
        let names = request.framing.iter().map(|(name, _)| name.as_str()).filter(compared);
        let added = names.filter(|name| request.values(name) != other.values(name));
        beyond.extend(added.map(|name| format!("{name}: {:?} of {}", request.values(name), request.target)));
    }
    beyond
}

fn is_probe(seen: &Seen) -> bool {
    named(seen).0 == "/api/probe"
}

fn named(seen: &Seen) -> (String, &str) {
    let path = seen.target.strip_prefix("http://a").unwrap_or(&seen.target);
    (percent_decode_str(path).decode_utf8_lossy().into_owned(), &seen.body)
}

fn difference(attack: &Attack, ours: &Outcome, peer: &str, theirs: &Outcome) -> String {
    let targets = |outcome: &Outcome| outcome.seen.iter().map(|seen| seen.target.clone()).collect::<Vec<_>>();
    let requests = |outcome: &Outcome| -> Vec<_> {
        let own = outcome.seen.iter().filter(|seen| !is_probe(seen)).map(named);
        own.map(|(target, body)| (target, body.to_owned())).collect()
    };
    let same = requests(ours) == requests(theirs);
    let verdict = match (same, attack.expect) {
        (true, _) => "same",
        (false, Expect::Closes(_) | Expect::Refuses(_)) => "we are stricter",
        (false, Expect::Serves(_)) => "differs",
    };
    let (our, their) = (targets(ours), targets(theirs));
    format!("{:<48} {peer:<8} {verdict:<16} {:?} {our:?} | {:?} {their:?}", attack.name, ours.statuses, theirs.statuses)
}

#[test]
fn what_a_peer_did_not_pass_on_is_noticed() {
    let seen = |framing: &[(&str, &str)]| {
        let framing = framing.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Seen { target: "/api".to_owned(), body: String::new(), framing, unclear: None }
    };
    let plain = [seen(&[("host", "a"), ("content-length", "0")])];
    let upgrading = [seen(&[("host", "b"), ("upgrade", "h2c")])];
    assert_eq!(beyond(&plain, &upgrading), Vec::<String>::new());
    assert_eq!(beyond(&upgrading, &plain), ["upgrade: [\"h2c\"] of /api"]);
    assert_eq!(beyond(&[plain.clone(), plain.clone()].concat(), &plain).len(), 1);
    assert!(is_clear(&plain[0]));
    assert!(!is_clear(&seen(&[("host", "a"), ("content-length", "1"), ("transfer-encoding", "chunked")])));
    assert!(!is_clear(&seen(&[("host", "a"), ("host", "b")])));
}
