//! An upstream that takes connections and requests, and says nothing.

use super::workers;
use crate::BenchError;

pub(super) fn run(port: u16) -> Result<(), BenchError> {
    workers::run(1, move || serve(port))
}

async fn serve(port: u16) -> Result<(), BenchError> {
    let listener = workers::listen(port)?;
    loop {
        let (mut stream, _) = listener.accept().await.map_err(BenchError::refused("accept"))?;
        // Until the other side gives up.
        tokio::spawn(async move { tokio::io::copy(&mut stream, &mut tokio::io::sink()).await });
    }
}
