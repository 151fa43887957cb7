//! A thread a connection: tokio's timers tick in milliseconds, and would send requests in bursts.

use std::{
    io::{Read, Write},
    net::TcpStream,
    sync::atomic::{AtomicU32, Ordering},
    thread,
    time::{Duration, Instant},
};

use super::{Load, wire};
use crate::{BenchError, Figures};

const BUFFER: usize = 16 * 1024;

pub(super) fn run(load: &Load, rate: f64, warm_up: Duration, measured: Duration) -> Result<Figures, BenchError> {
    let count = |time: Duration| (time.as_secs_f64() * rate) as u32;
    let (first, requests) = (count(warm_up), count(measured));
    let schedule = Schedule { begun: Instant::now(), interval: 1.0 / rate, next: AtomicU32::new(0), first, requests };
    thread::scope(|scope| {
        let connections: Vec<_> = (0..load.connections)
            .map(|number| {
                let (schedule, request) = (&schedule, load.request(number));
                scope.spawn(move || ask(load, schedule, &request))
            })
            .collect();
        wait_until(schedule.due(first));
        let (begun, spent) = (Instant::now(), load.proxy().cpu()?);
        let mut latencies = Vec::new();
        for connection in connections {
            let panicked = |_| BenchError::refused("load the proxy")("a connection's thread panicked");
            latencies.extend(connection.join().map_err(panicked)??);
        }
        let (elapsed, cpu) = (begun.elapsed(), load.proxy().cpu()?.saturating_sub(spent));
        Ok(Figures::new(requests, elapsed, cpu, latencies))
    })
}

/// When which request is due.
struct Schedule {
    begun: Instant,
    /// Seconds between two.
    interval: f64,
    next: AtomicU32,
    /// The first that is measured.
    first: u32,
    /// How many are measured.
    requests: u32,
}

impl Schedule {
    fn due(&self, number: u32) -> Instant {
        self.begun + Duration::from_secs_f64(self.interval * f64::from(number))
    }
}

/// Takes whichever request is due next, on this connection.
fn ask(load: &Load, schedule: &Schedule, request: &[u8]) -> Result<Vec<Duration>, BenchError> {
    let mut stream = TcpStream::connect(load.address()).map_err(BenchError::refused("connect"))?;
    stream.set_nodelay(true).map_err(BenchError::refused("connect"))?;
    let mut buffer = vec![0; BUFFER];
    let mut latencies = Vec::new();
    loop {
        let number = schedule.next.fetch_add(1, Ordering::Relaxed);
        if number >= schedule.first + schedule.requests {
            return Ok(latencies);
        }
        let due = schedule.due(number);
        wait_until(due);
        stream.write_all(request).map_err(BenchError::refused("send a request"))?;
        let mut read = 0;
        while wire::whole(&buffer[..read], load.refusals)?.is_none() {
            match stream.read(&mut buffer[read..]).map_err(BenchError::refused("read an answer"))? {
                0 => return Err(BenchError::refused("read an answer")("the connection ended")),
                more => read += more,
            }
        }
        if number >= schedule.first {
            latencies.push(due.elapsed());
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "a thread of its own, without a runtime")]
fn wait_until(due: Instant) {
    thread::sleep(due.saturating_duration_since(Instant::now()));
}
