//! One way of a connection: read, hold, write.

use std::io;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::tcp::{ReadHalf, WriteHalf},
    sync::{mpsc, watch},
    time::{Duration, Instant, sleep, sleep_until},
};

use super::faults::{Faults, Way};

const CHUNK: usize = 16 * 1024;
/// With `CHUNK` the most that a delay holds back: 1 MiB for each way of a connection.
const CHUNKS: usize = 64;

struct Chunk {
    due: Instant,
    bytes: Vec<u8>,
}

/// Forwards until the reader ends, then ends the writer.
pub(super) async fn pump(
    reader: ReadHalf<'_>,
    writer: WriteHalf<'_>,
    way: Way,
    faults: watch::Receiver<Faults>,
    before: Faults,
) -> io::Result<()> {
    let half_closes = before.of(way).half_closes;
    let (sender, receiver) = mpsc::channel(CHUNKS);
    tokio::try_join!(read(reader, sender, way, faults.clone()), write(writer, receiver, way, faults, half_closes))
        .map(drop)
}

async fn read(
    mut reader: ReadHalf<'_>,
    chunks: mpsc::Sender<Chunk>,
    way: Way,
    mut faults: watch::Receiver<Faults>,
) -> io::Result<()> {
    let mut buffer = vec![0; CHUNK];
    loop {
        thawed(&mut faults, way).await;
        let length = tokio::select! {
            length = reader.read(&mut buffer) => length?,
            // A freeze must also reach a reader that waits already.
            Ok(()) = faults.changed() => continue,
        };
        if length == 0 {
            return Ok(());
        }
        let due = Instant::now() + faults.borrow().delay;
        if chunks.send(Chunk { due, bytes: buffer[..length].to_vec() }).await.is_err() {
            return Ok(());
        }
    }
}

async fn write(
    mut writer: WriteHalf<'_>,
    mut chunks: mpsc::Receiver<Chunk>,
    way: Way,
    mut faults: watch::Receiver<Faults>,
    half_closes: u64,
) -> io::Result<()> {
    let mut open = true;
    loop {
        if open && faults.borrow_and_update().of(way).half_closes != half_closes {
            writer.shutdown().await?;
            open = false;
        }
        let chunk = tokio::select! {
            chunk = chunks.recv() => chunk,
            Ok(()) = faults.changed() => continue,
        };
        let Some(chunk) = chunk else { break };
        sleep_until(chunk.due).await;
        thawed(&mut faults, way).await;
        if open && faults.borrow().of(way).half_closes == half_closes {
            writer.write_all(&chunk.bytes).await?;
            throttle(chunk.bytes.len(), &faults).await;
        }
    }
    thawed(&mut faults, way).await;
    if open { writer.shutdown().await } else { Ok(()) }
}

/// Waits while this way is frozen. A relay that is gone freezes nothing.
async fn thawed(faults: &mut watch::Receiver<Faults>, way: Way) {
    let _ = faults.wait_for(|faults| !faults.of(way).frozen).await;
}

async fn throttle(bytes: usize, faults: &watch::Receiver<Faults>) {
    let Some(bandwidth) = faults.borrow().bandwidth else { return };
    #[expect(clippy::cast_precision_loss, reason = "a chunk is small and a pause need not be exact")]
    sleep(Duration::from_secs_f64(bytes as f64 / bandwidth.get() as f64)).await;
}
