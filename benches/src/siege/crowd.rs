use std::{
    net::Ipv4Addr,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::Semaphore,
    task::JoinSet,
    time::{interval, sleep, timeout},
};

use crate::BenchError;

const ONE: &[u8] = b"GET /api/item HTTP/1.1\r\nHost: gateway.test\r\n\r\n";
const BEGIN: &[u8] = b"GET /api/item HTTP/1.1\r\nHost: gateway.test\r\nX-Drip: ";
/// How many connect at once: no more than a backlog holds.
const AT_ONCE: usize = 256;

/// How long a crowd may take to gather.
const GATHERING: Duration = Duration::from_secs(60);
/// How often it is counted.
const COUNTED_EVERY: Duration = Duration::from_millis(20);

/// Connections that ask nothing, or never end their question. Dropping it ends them.
pub(super) struct Crowd {
    _tasks: JoinSet<()>,
    open: Arc<AtomicU32>,
    all: u32,
    /// The least of them that must be connected on average, of a hundred.
    least: u32,
}

/// How many of a crowd were there, on average over the time that it was counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stood {
    pub(super) count: u32,
    pub(super) all: u32,
}

impl Crowd {
    /// Connections that have asked once and rest now; returns when all do.
    pub(super) async fn resting(port: u16, count: u32) -> Result<Self, BenchError> {
        let open = Arc::new(AtomicU32::new(0));
        let mut tasks = JoinSet::new();
        let mut begun = JoinSet::new();
        for _ in 0..count {
            if begun.len() == AT_ONCE {
                hold(&mut begun, &mut tasks, &open).await?;
            }
            begun.spawn(ask_once(port));
        }
        while !begun.is_empty() {
            hold(&mut begun, &mut tasks, &open).await?;
        }
        // Whoever rests is not cut off.
        Ok(Self { _tasks: tasks, open, all: count, least: 99 })
    }

    /// Connections that send a header a byte at a time, and come back when they are cut off; returns when all have begun.
    pub(super) async fn dripping(port: u16, count: u32, seed: u64) -> Result<Self, BenchError> {
        let begun = Arc::new(Semaphore::new(0));
        let open = Arc::new(AtomicU32::new(0));
        let mut tasks = JoinSet::new();
        for number in 0..count {
            let (open, begun) = (Arc::clone(&open), Arc::clone(&begun));
            let mut random = fastrand::Rng::with_seed(seed ^ u64::from(number));
            tasks.spawn(async move {
                sleep(Duration::from_millis(random.u64(..1_000))).await;
                drip(port, random, &open, &begun).await;
            });
        }
        let here = || format!("{} of {count} are connected", open.load(Ordering::Relaxed));
        let gathered = timeout(GATHERING, begun.acquire_many(count)).await;
        gathered.map_err(|_| BenchError::refused("besiege")(here()))?.map_err(BenchError::refused("besiege"))?.forget();
        // The gateway cuts each off every ten seconds, and it takes half a second to come back.
        Ok(Self { _tasks: tasks, open, all: count, least: 90 })
    }

    /// Waits for what happens under siege, and how many stood there meanwhile.
    ///
    /// # Errors
    /// When too few did: then it was no siege.
    pub(super) async fn during<T>(
        &self,
        happens: impl Future<Output = Result<T, BenchError>>,
    ) -> Result<(T, Stood), BenchError> {
        let mut happens = pin!(happens);
        let mut count = interval(COUNTED_EVERY);
        let (mut sum, mut times) = (0_u64, 0_u64);
        let happened = loop {
            tokio::select! {
                happened = &mut happens => break happened?,
                _ = count.tick() => {
                    sum += u64::from(self.open.load(Ordering::Relaxed));
                    times += 1;
                }
            }
        };
        let count = u32::try_from(sum / times.max(1)).unwrap_or(u32::MAX);
        Ok((happened, Stood { count, all: self.all }.judged(self.least)?))
    }
}

impl Stood {
    fn judged(self, least: u32) -> Result<Self, BenchError> {
        let Self { count, all } = self;
        if u64::from(count) * 100 < u64::from(all) * u64::from(least) {
            let reason = format!("{count} of {all} were connected on average, fewer than {least} %");
            return Err(BenchError::refused("besiege")(reason));
        }
        Ok(self)
    }
}

async fn hold(
    begun: &mut JoinSet<std::io::Result<TcpStream>>,
    tasks: &mut JoinSet<()>,
    open: &Arc<AtomicU32>,
) -> Result<(), BenchError> {
    let Some(asked) = begun.join_next().await else { return Ok(()) };
    let stream = asked.map_err(BenchError::refused("connect"))?.map_err(BenchError::refused("connect"))?;
    open.fetch_add(1, Ordering::Relaxed);
    let open = Arc::clone(open);
    tasks.spawn(async move {
        let mut stream = stream;
        // Until the gateway has enough of it.
        let _ = stream.read(&mut [0; 1]).await;
        open.fetch_sub(1, Ordering::Relaxed);
    });
    Ok(())
}

async fn ask_once(port: u16) -> std::io::Result<TcpStream> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await?;
    stream.write_all(ONE).await?;
    let mut answer = Vec::new();
    // The origin's answer is JSON of a hundred bytes, which ends with these.
    while !answer.ends_with(b"}  ") {
        if stream.read_buf(&mut answer).await? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(stream)
}

async fn drip(port: u16, mut random: fastrand::Rng, open: &AtomicU32, begun: &Semaphore) {
    let mut first = true;
    loop {
        if let Ok(mut stream) = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await
            && stream.write_all(BEGIN).await.is_ok()
        {
            open.fetch_add(1, Ordering::Relaxed);
            begun.add_permits(usize::from(std::mem::take(&mut first)));
            while stream.write_all(&[random.u8(b'a'..=b'z')]).await.is_ok() {
                sleep(Duration::from_millis(random.u64(200..2_000))).await;
            }
            open.fetch_sub(1, Ordering::Relaxed);
        }
        sleep(Duration::from_millis(random.u64(100..1_000))).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crowd_that_is_not_there_is_no_siege() {
        assert!(Stood { count: 9_899, all: 10_000 }.judged(99).unwrap_err().to_string().contains("9899 of 10000"));
        assert!(Stood { count: 9_900, all: 10_000 }.judged(99).is_ok());
    }
}
