use std::{
    fmt, io,
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
/// How many begin at once: no more than a backlog holds.
const AT_ONCE: usize = 256;
/// How long a crowd may take to gather.
const GATHERING: Duration = Duration::from_secs(60);
/// How often it is counted.
const COUNTED_EVERY: Duration = Duration::from_millis(20);

/// How a crowd besieges.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// They have asked once, and ask no more.
    Resting,
    /// They send a header a byte at a time.
    DrippingHeaders,
    /// They send a body a byte at a time.
    DrippingBodies,
}

/// Connections that come back when they are cut off. Dropping it ends them.
pub(super) struct Crowd {
    _tasks: JoinSet<()>,
    muster: Arc<Muster>,
    all: u32,
    /// The least of them that must be connected on average, of a hundred.
    least: u32,
}

/// What the members of a crowd share.
struct Muster {
    port: u16,
    way: Way,
    connecting: Semaphore,
    /// One for each that has begun.
    begun: Semaphore,
    open: AtomicU32,
}

/// How many of a crowd were there, on average over the time that it was counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stood {
    pub(super) count: u32,
    pub(super) all: u32,
}

impl Crowd {
    /// Returns when all have begun.
    pub(super) async fn gather(port: u16, way: Way, count: u32, seed: u64) -> Result<Self, BenchError> {
        let muster = Arc::new(Muster {
            port,
            way,
            connecting: Semaphore::new(AT_ONCE),
            begun: Semaphore::new(0),
            open: AtomicU32::new(0),
        });
        let mut tasks = JoinSet::new();
        for number in 0..count {
            let muster = Arc::clone(&muster);
            let random = fastrand::Rng::with_seed(seed ^ u64::from(number));
            tasks.spawn(async move { muster.besiege(random).await });
        }
        let here = || format!("{} of {count} are connected", muster.open.load(Ordering::Relaxed));
        let gathered = timeout(GATHERING, muster.begun.acquire_many(count)).await;
        gathered.map_err(|_| BenchError::refused("besiege")(here()))?.map_err(BenchError::refused("besiege"))?.forget();
        // Who drips a header is cut off every ten seconds, of those who drip a body most every second, and each takes half a second to
        // come back.
        let least = match way {
            Way::Resting => 99,
            Way::DrippingHeaders => 90,
            Way::DrippingBodies => 60,
        };
        Ok(Self { _tasks: tasks, muster, all: count, least })
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
                    sum += u64::from(self.muster.open.load(Ordering::Relaxed));
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

impl Muster {
    async fn besiege(&self, mut random: fastrand::Rng) {
        sleep(Duration::from_millis(random.u64(..1_000))).await;
        let mut first = true;
        loop {
            if let Ok(stream) = self.begin().await {
                self.open.fetch_add(1, Ordering::Relaxed);
                self.begun.add_permits(usize::from(std::mem::take(&mut first)));
                self.stay(stream, &mut random).await;
                self.open.fetch_sub(1, Ordering::Relaxed);
            }
            sleep(Duration::from_millis(random.u64(100..1_000))).await;
        }
    }

    async fn begin(&self) -> io::Result<TcpStream> {
        let _place = self.connecting.acquire().await.map_err(io::Error::other)?;
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).await?;
        stream.write_all(self.way.beginning()).await?;
        if self.way == Way::Resting {
            let mut answer = Vec::new();
            // The origin's answer is JSON of a hundred bytes, which ends with these.
            while !answer.ends_with(b"}  ") {
                if stream.read_buf(&mut answer).await? == 0 {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
            }
        }
        Ok(stream)
    }

    /// Until the gateway has enough of it, and answers or closes.
    async fn stay(&self, stream: TcpStream, random: &mut fastrand::Rng) {
        let (mut reader, mut writer) = stream.into_split();
        let drip = async {
            while self.way != Way::Resting && writer.write_all(&[random.u8(b'a'..=b'z')]).await.is_ok() {
                sleep(Duration::from_millis(random.u64(200..2_000))).await;
            }
            std::future::pending::<()>().await;
        };
        tokio::select! {
            _ = reader.read_u8() => {}
            () = drip => {}
        }
    }
}

impl Way {
    fn beginning(self) -> &'static [u8] {
        match self {
            Self::Resting => ONE,
            Self::DrippingHeaders => b"GET /api/item HTTP/1.1\r\nHost: gateway.test\r\nX-Drip: ",
            Self::DrippingBodies => b"POST /api/item HTTP/1.1\r\nHost: gateway.test\r\nContent-Length: 1000\r\n\r\n",
        }
    }
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Resting => "idle connections",
            Self::DrippingHeaders => "dripping connections",
            Self::DrippingBodies => "dripping bodies",
        })
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
