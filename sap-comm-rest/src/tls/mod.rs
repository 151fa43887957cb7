//! TLS on both sides of a connection: certificates from files, replaced while they are in use.
//!
//! | side | options | in use |
//! | --- | --- | --- |
//! | [`Server`](crate::server::Server) | [`ServerTlsConfig`] | [`ServerTls`]: the server's certificates, by the name asked for, and whose clients' it demands |
//! | [`Client`](crate::client::Client), [`Gateway`](crate::gateway::Gateway) | [`ClientTlsConfig`] | [`ClientTls`]: whom to trust, and the certificate for mutual TLS |
//!
//! Files are looked at when a connection is made and that was not done for a while, or by `reload`. New ones serve the next
//! connection; those that cannot be used are refused with the file and the reason, and the old ones stay. TLS 1.2 and 1.3,
//! by aws-lc-rs.
//!
//! Handlers find [`TlsConnection`] in the extensions of a request that came over TLS.

mod client;
mod files;
mod identity;
mod live;
mod named;
mod server;
mod transport;
mod unverified;

use std::sync::Arc;

use rustls::crypto::{CryptoProvider, aws_lc_rs};

pub use client::{ClientTls, ClientTlsConfig};
pub use identity::{CertificateName, PeerCertificate, TlsConnection};
pub use named::NamedCertificate;
pub use server::{ServerTls, ServerTlsConfig};

#[cfg(feature = "redis")]
pub(crate) use files::read_authorities;
pub(crate) use server::{HandshakeFailed, Handshaken};
pub(crate) use transport::Transport;

/// One provider everywhere, whatever else in the process installs as its default.
fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}
