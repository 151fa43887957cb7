//! One relayed connection.

use std::io;

use tokio::{net::TcpStream, sync::watch};

use super::{
    faults::{Faults, Way},
    pump::pump,
};

/// Relays until both ways have ended, one fails, or a reset is ordered. A failure resets both sides.
///
/// Orders that were given after `before` are this connection's, those up to it were for others.
pub(super) async fn relay(mut client: TcpStream, target: &str, mut faults: watch::Receiver<Faults>, before: Faults) {
    let (to_target, to_client) = (faults.clone(), faults.clone());
    let mut upstream = None;
    let relayed = async {
        let upstream = upstream.insert(TcpStream::connect(target).await?);
        client.set_nodelay(true)?;
        upstream.set_nodelay(true)?;
        let (client_reads, client_writes) = client.split();
        let (upstream_reads, upstream_writes) = upstream.split();
        tokio::try_join!(
            pump(client_reads, upstream_writes, Way::ToTarget, to_target, before),
            pump(upstream_reads, client_writes, Way::ToClient, to_client, before),
        )
    };
    let healthy = tokio::select! {
        outcome = relayed => outcome.is_ok(),
        _ = faults.wait_for(|faults| faults.resets != before.resets) => false,
    };
    if !healthy {
        // A side that has gone already cannot be reset again.
        let _: io::Result<()> = client.set_zero_linger();
        let _ = upstream.map(|upstream| upstream.set_zero_linger());
    }
}
