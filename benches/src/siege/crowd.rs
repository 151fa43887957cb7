use std::{
    net::Ipv4Addr,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinSet,
    time::sleep,
};

use crate::BenchError;

const ONE: &[u8] = b"GET /api/item HTTP/1.1\r\nHost: gateway.test\r\n\r\n";
const BEGIN: &[u8] = b"GET /api/item HTTP/1.1\r\nHost: gateway.test\r\nX-Drip: ";
/// How many connect at once: no more than a backlog holds.
const AT_ONCE: usize = 256;

/// Connections that ask nothing, or never end their question. Dropping it ends them.
pub(super) struct Crowd {
    _tasks: JoinSet<()>,
    open: Arc<AtomicU32>,
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
        Ok(Self { _tasks: tasks, open })
    }

    /// Connections that send a header a byte at a time, and come back when they are cut off. They gather within a second.
    pub(super) fn dripping(port: u16, count: u32, seed: u64) -> Self {
        let open = Arc::new(AtomicU32::new(0));
        let mut tasks = JoinSet::new();
        for number in 0..count {
            let (open, mut random) = (Arc::clone(&open), fastrand::Rng::with_seed(seed ^ u64::from(number)));
            tasks.spawn(async move {
                sleep(Duration::from_millis(random.u64(..1_000))).await;
                drip(port, random, &open).await;
            });
        }
        Self { _tasks: tasks, open }
    }

    /// How many of `all` are connected now: half of them at least, or it was no siege.
    pub(super) fn stands(&self, all: u32) -> Result<u32, BenchError> {
        let open = self.open.load(Ordering::Relaxed);
        if open < all / 2 {
            return Err(BenchError::refused("besiege")(format!("{open} of {all} are connected")));
        }
        Ok(open)
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

async fn drip(port: u16, mut random: fastrand::Rng, open: &AtomicU32) {
    loop {
        if let Ok(mut stream) = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await
            && stream.write_all(BEGIN).await.is_ok()
        {
            open.fetch_add(1, Ordering::Relaxed);
            while stream.write_all(&[random.u8(b'a'..=b'z')]).await.is_ok() {
                sleep(Duration::from_millis(random.u64(200..2_000))).await;
            }
            open.fetch_sub(1, Ordering::Relaxed);
        }
        sleep(Duration::from_millis(random.u64(100..1_000))).await;
    }
}
