//! What a broker says, as a fuzzer makes it up.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{
    connection::Shared,
    method::{basic, channel, queue},
    outbound::Outbound,
    reading,
    registry::{Event, News, Registry, Sink},
};

/// Listens to `input` as to a broker, on a connection with two channels that have asked it things; how many bytes were frames.
pub(crate) fn frames(input: &[u8]) -> usize {
    let (blocked, _heard) = watch::channel(None);
    let shared = Shared {
        outbound: Outbound::default(),
        registry: Mutex::new(Registry::new(u16::MAX)),
        lost: CancellationToken::new(),
        blocked,
        max_frame: 4_096,
    };
    let mut answers = Vec::new();
    for _ in 0..2 {
        let mut registry = shared.registry.lock();
        let core = registry.add(Arc::new(Reader)).expect("it is open");
        answers.extend([channel::OPEN, basic::GET, queue::DECLARE].map(|method| registry.ask(&core, method, None)));
    }
    let (mut taken, mut news) = (0, Vec::new());
    let ended = reading::take(&shared, input, &mut taken, &mut news);
    news.drain(..).for_each(News::tell);
    if let Err(error) = ended {
        shared.end(&error);
        assert!(answers.into_iter().all(|answer| answer.is_ok_and(|mut answer| answer.try_recv().is_ok())));
    }
    assert!(taken <= input.len());
    taken
}

/// Looks at every part of what is brought to it.
struct Reader;

impl Sink for Reader {
    fn happen(&self, event: Event) {
        if let Event::Delivery(super::Delivery { content, .. }) | Event::Returned(content) = event {
            let _ = (content.exchange(), content.routing_key(), content.properties(), content.body());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::iter::repeat_with;

    use super::*;
    use crate::{
        amqp::{
            frame::{content, heartbeat, method},
            method::{Method, connection},
        },
        fuzzing::tests::{changed, is_seed},
    };

    /// The opening of the first channel, then a method on it, and a message if one follows.
    fn says(said: Method, arguments: &[u8], message: Option<&[u8]>) -> Vec<u8> {
        let mut out = Vec::new();
        method(&mut out, 1, channel::OPEN.answer(), |out| {
            out.long(b"");
            Ok(())
        })
        .unwrap();
        let id = u16::from(said.0 != connection::CLOSE.0);
        method(&mut out, id, said, |out| {
            out.0.extend_from_slice(arguments);
            Ok(())
        })
        .unwrap();
        if let Some(body) = message {
            content(&mut out, 1, body, 64, |out| out.u16(0));
        }
        heartbeat(&mut out);
        out
    }

    fn seeds() -> Vec<(&'static str, Vec<u8>)> {
        let body = Some(&[b'x'; 100][..]);
        vec![
            ("deliver", says(basic::DELIVER, b"\x0asap-comm-3\0\0\0\0\0\0\0\x09\x01\x01x\x02ke", body)),
            ("return", says(basic::RETURN, b"\x01\x38\x08NO_ROUTE\x01x\x01k", body)),
            ("get-ok", says(basic::GET_OK, b"\0\0\0\0\0\0\0\x01\0\x01x\x01k\0\0\0\x02", Some(b""))),
            ("get-empty", says(basic::GET_EMPTY, b"\0", None)),
            ("ack", says(basic::ACK, b"\0\0\0\0\0\0\0\x02\x01", None)),
            ("cancel", says(basic::CANCEL, b"\x0asap-comm-3\0", None)),
            ("flow", says(channel::FLOW, b"\0", None)),
            ("channel-close", says(channel::CLOSE, b"\x01\x96\x02no\0\x3c\0\x28", None)),
            ("close", says(connection::CLOSE, b"\x01\x40\x02no\0\0\0\0", None)),
            ("blocked", says(connection::BLOCKED, b"\x03low", None)),
        ]
    }

    #[test]
    fn what_a_broker_says_is_taken_whole() {
        for (name, seed) in seeds() {
            // Nothing is heard after a connection is closed.
            let rest = if name == "close" { 8 } else { 0 };
            assert_eq!(frames(&seed), seed.len() - rest, "{name}");
            is_seed("frames", name, &seed);
        }
    }

    /// The bounded run of the fuzzer's target.
    #[test]
    fn whatever_a_broker_says_is_taken_or_refused() {
        let mut rng = fastrand::Rng::with_seed(0x5eed);
        let seeds: Vec<_> = seeds().into_iter().map(|(_, seed)| seed).collect();
        let mut whole = 0;
        for _ in 0..30_000 {
            let count = rng.usize(1..4);
            let said = repeat_with(|| seeds[rng.usize(..seeds.len())].clone()).take(count).collect::<Vec<_>>().concat();
            let input = changed(&mut rng, said, &seeds, 0);
            whole += usize::from(frames(&input) == input.len());
        }
        assert!((100..29_000).contains(&whole), "{whole} of 30000 were whole: the changes are not worth much");
    }
}
