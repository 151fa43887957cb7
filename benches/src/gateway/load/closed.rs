use std::{cell::Cell, rc::Rc, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::{JoinSet, LocalSet},
    time::{Instant, sleep},
};

use super::{Load, wire};
use crate::{BenchError, Figures};

const BUFFER: usize = 16 * 1024;
const MOST_EXTENSIONS: u32 = 20;

/// One thread for all connections: the load must not outweigh the proxy.
pub(super) fn run(load: &Load, warm_up: Duration, measured: Duration) -> Result<Figures, BenchError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(BenchError::refused("start a runtime"))?;
    LocalSet::new().block_on(&runtime, drive(load, warm_up, measured))
}

async fn drive(load: &Load, warm_up: Duration, measured: Duration) -> Result<Figures, BenchError> {
    let answered = Rc::new(Cell::new(0_u32));
    let mut connections = JoinSet::new();
    for number in 0..load.connections {
        let stream = TcpStream::connect(load.address()).await.map_err(BenchError::refused("connect"))?;
        stream.set_nodelay(true).map_err(BenchError::refused("connect"))?;
        connections.spawn_local(ask(stream, load.request(number), Rc::clone(&answered)));
    }
    let mut during = async |time: Duration| {
        tokio::select! {
            () = sleep(time) => Ok(()),
            // It only ever ends with an error.
            Some(ended) = connections.join_next() => ended.map_err(BenchError::refused("load the proxy"))?,
        }
    };
    during(warm_up).await?;
    let (begun, spent, before) = (Instant::now(), load.proxy().cpu()?, answered.get());
    during(measured).await?;
    // A run that is too short for this machine goes on until it has something to say.
    for _ in 0..MOST_EXTENSIONS {
        if answered.get() - before >= load.connections as u32 {
            break;
        }
        during(measured).await?;
    }
    let (elapsed, cpu) = (begun.elapsed(), load.proxy().cpu()?.saturating_sub(spent));
    Ok(Figures::new(answered.get() - before, elapsed, cpu, Vec::new()))
}

async fn ask(mut stream: TcpStream, request: Vec<u8>, answered: Rc<Cell<u32>>) -> Result<(), BenchError> {
    let mut buffer = vec![0; BUFFER];
    loop {
        stream.write_all(&request).await.map_err(BenchError::refused("send a request"))?;
        let mut read = 0;
        while wire::whole(&buffer[..read], false)?.is_none() {
            match stream.read(&mut buffer[read..]).await.map_err(BenchError::refused("read an answer"))? {
                0 => return Err(BenchError::refused("read an answer")("the connection ended")),
                more => read += more,
            }
        }
        answered.set(answered.get() + 1);
    }
}
