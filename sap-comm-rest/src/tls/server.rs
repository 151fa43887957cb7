use std::{collections::BTreeMap, fmt, io, path::PathBuf, sync::Arc, time::Duration};

use http::HeaderValue;
use parking_lot::Mutex;
use rustls::server::{ServerConnection, WebPkiClientVerifier};
use sap_comm_core::config::{ConfigError, duration};
use serde::{Deserialize, Serialize};
use tokio::{net::TcpStream, sync::oneshot, time::timeout};
use tokio_rustls::TlsAcceptor;

use super::{
    NamedCertificate, PeerCertificate, TlsConnection, Transport,
    files::{PemFile, certified},
    live::{Live, Source},
    named::ByName,
    provider,
};
use crate::options::{check, check_duration};

/// What a server shows, and what it demands of its clients.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct ServerTlsConfig {
    /// The PEM file of the server's certificate, followed by those between it and the authority.
    pub cert: PathBuf,
    /// The PEM file of its private key.
    pub key: PathBuf,
    /// Further certificates, shown to the clients that ask for a host name in them; everybody else sees the one above.
    /// Default none.
    #[serde(default)]
    pub certificates: Vec<NamedCertificate>,
    /// The PEM file of the authorities whose clients may connect: mutual TLS. Default none: every client may.
    #[serde(default)]
    pub client_ca: Option<PathBuf>,
    /// Whether a client may show no certificate at all, where `client_ca` is given. Default no.
    #[serde(default)]
    pub client_cert_optional: bool,
    /// How long a handshake may take. Default 10 s, as long as a request's headers.
    #[serde(default = "default_handshake_timeout", with = "duration")]
    pub handshake_timeout: Duration,
    /// Handshakes at once; one more ends the oldest, which is the likeliest to lead nowhere. Default 1,000.
    #[serde(default = "default_max_handshakes")]
    pub max_handshakes: usize,
    /// How long browsers are to insist on `https` for this host, `Strict-Transport-Security`; zero leaves it out. Default 180
    /// days.
    #[serde(default = "default_hsts", with = "duration")]
    pub hsts: Duration,
    /// How old the last look at the files may be when a connection is made. Default 30 s; after a look that saw a change, 1 s at most, since
    /// of files that were written within the last second only what two looks have seen is taken.
    #[serde(default = "default_reload_interval", with = "duration")]
    pub reload_interval: Duration,
}

fn default_handshake_timeout() -> Duration {
    Duration::from_secs(10)
}

fn default_max_handshakes() -> usize {
    1_000
}

fn default_hsts() -> Duration {
    Duration::from_secs(180 * 86_400)
}

pub(super) fn default_reload_interval() -> Duration {
    Duration::from_secs(30)
}

impl ServerTlsConfig {
    /// A certificate and its key, and the defaults.
    pub fn new(cert: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Self {
        Self {
            cert: cert.into(),
            key: key.into(),
            certificates: Vec::new(),
            client_ca: None,
            client_cert_optional: false,
            handshake_timeout: default_handshake_timeout(),
            max_handshakes: default_max_handshakes(),
            hsts: default_hsts(),
            reload_interval: default_reload_interval(),
        }
    }

    /// Adds a certificate for the clients that ask for one of its host names.
    #[must_use]
    pub fn certificate(mut self, cert: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Self {
        self.certificates.push(NamedCertificate::new(cert, key));
        self
    }

    /// Demands a certificate of these authorities of every client.
    #[must_use]
    pub fn client_ca(mut self, path: impl Into<PathBuf>) -> Self {
        self.client_ca = Some(path.into());
        self
    }

    /// Checks what needs no file.
    ///
    /// # Errors
    /// Names the first field that cannot be used, and its value.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let holds = self.client_ca.is_some() || !self.client_cert_optional;
        check(holds, "client_cert_optional", self.client_cert_optional, "needs `client_ca`")?;
        check_duration("handshake_timeout", self.handshake_timeout)?;
        let within = (1..=1_000_000).contains(&self.max_handshakes);
        check(within, "max_handshakes", self.max_handshakes, "must lie within 1..=1000000")?;
        check_duration("reload_interval", self.reload_interval)
    }
}

/// The TLS of a server, in use. Cheap to clone; clones share the certificates and the limit of handshakes.
#[derive(Clone)]
pub struct ServerTls(Arc<Inner>);

struct Inner {
    live: Arc<Live<Files>>,
    further: Arc<[Arc<Live<NamedCertificate>>]>,
    handshakes: Handshakes,
    handshake_timeout: Duration,
    hsts: Option<HeaderValue>,
}

/// Where the certificates are.
#[derive(Debug)]
struct Files {
    cert: PathBuf,
    key: PathBuf,
    further: Arc<[Arc<Live<NamedCertificate>>]>,
    client_ca: Option<PathBuf>,
    optional: bool,
}

impl Source for Files {
    type Made = rustls::ServerConfig;

    fn read(&self) -> Result<Vec<PemFile>, ConfigError> {
        let mut files = vec![PemFile::read("cert", &self.cert)?, PemFile::read("key", &self.key)?];
        if let Some(path) = &self.client_ca {
            files.push(PemFile::read("client_ca", path)?);
        }
        Ok(files)
    }

    fn make(&self, files: &[PemFile]) -> Result<rustls::ServerConfig, ConfigError> {
        let [cert, key, authorities @ ..] = files else {
            return Err(ConfigError::new("cert", "was not read"));
        };
        let (certified, until) = certified(cert, key)?;
        tracing::debug!(cert = %self.cert.display(), valid_until = %until, "certificate loaded");
        let builder = rustls::ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(|error| cert.refused(error))?;
        let builder = match authorities.first() {
            None => builder.with_no_client_auth(),
            Some(file) => {
                let verifier = WebPkiClientVerifier::builder_with_provider(file.authorities()?, provider());
                let verifier = if self.optional { verifier.allow_unauthenticated() } else { verifier };
                builder.with_client_cert_verifier(verifier.build().map_err(|error| file.refused(error))?)
            }
        };
        // Sessions are the configuration's: after a change of the authorities nobody resumes one of before.
        let shown = ByName { default: Arc::new(certified), further: Arc::clone(&self.further) };
        let mut config = builder.with_cert_resolver(Arc::new(shown));
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(config)
    }
}

impl ServerTls {
    /// Reads the files.
    ///
    /// # Errors
    /// Names the option, the file, and why it cannot be used: missing, without a certificate or key in it, a key of another
    /// certificate, expired.
    pub fn load(config: ServerTlsConfig) -> Result<Self, ConfigError> {
        config.validate()?;
        let ServerTlsConfig { cert, key, certificates, client_ca, client_cert_optional: optional, .. } = config;
        let further = certificates.into_iter().enumerate().map(|(number, certificate)| {
            let live = Live::new(certificate, config.reload_interval);
            live.map(Arc::new).map_err(|error| within_certificate(number, error))
        });
        let further: Arc<[_]> = further.collect::<Result<_, _>>()?;
        let files = Files { cert, key, further: Arc::clone(&further), client_ca, optional };
        Ok(Self(Arc::new(Inner {
            live: Arc::new(Live::new(files, config.reload_interval)?),
            further,
            handshakes: Handshakes { max: config.max_handshakes, open: Mutex::default() },
            handshake_timeout: config.handshake_timeout,
            hsts: (!config.hsts.is_zero())
                .then(|| HeaderValue::try_from(format!("max-age={}", config.hsts.as_secs())).ok())
                .flatten(),
        })))
    }

    /// Looks at the files now; says whether they had changed. Open connections stay, further ones see the new certificates.
    ///
    /// It reads files, so that it may block for a moment.
    ///
    /// # Errors
    /// As [`ServerTls::load`], the first of several; for each certificate that is refused its old one stays, and the others
    /// are taken.
    pub fn reload(&self) -> Result<bool, ConfigError> {
        let mut changed = self.0.live.reload();
        for (number, live) in self.0.further.iter().enumerate() {
            let further = live.reload().map_err(|error| within_certificate(number, error));
            changed = changed.and_then(|before| further.map(|now| before || now));
        }
        changed
    }

    /// What every answer tells browsers.
    pub(crate) fn hsts(&self) -> Option<&HeaderValue> {
        self.0.hsts.as_ref()
    }

    /// Makes TLS of a connection, within its time and its place among the handshakes; says once the peer has `begun`.
    pub(crate) async fn handshake(
        &self,
        stream: TcpStream,
        begun: impl FnOnce(),
    ) -> Result<Handshaken, HandshakeFailed> {
        let (_place, superseded) = self.0.handshakes.begin();
        tokio::select! {
            shaken = timeout(self.0.handshake_timeout, self.shake(stream, begun)) => match shaken {
                Ok(shaken) => shaken,
                Err(_) => Err(HandshakeFailed::Broken("the handshake took too long".to_owned())),
            },
            _ = superseded => Err(HandshakeFailed::Broken("too many handshakes are going on".to_owned())),
        }
    }

    async fn shake(&self, stream: TcpStream, begun: impl FnOnce()) -> Result<Handshaken, HandshakeFailed> {
        let broken = |error: io::Error| HandshakeFailed::Broken(error.to_string());
        let mut first = [0];
        // All of HTTP begins with an upper case letter, and no TLS does.
        if stream.peek(&mut first).await.map_err(broken)? == 1 && first[0].is_ascii_uppercase() {
            return Err(HandshakeFailed::PlainHttp(stream));
        }
        begun();
        for live in self.0.further.iter() {
            live.look().await;
        }
        let acceptor = TlsAcceptor::from(self.0.live.current().await);
        let stream = acceptor.accept(stream).await.map_err(broken)?;
        let connection = connection(stream.get_ref().1).map_err(HandshakeFailed::Broken)?;
        Ok(Handshaken { transport: Transport::Tls(Box::new(stream.into())), connection })
    }
}

fn within_certificate(number: usize, error: ConfigError) -> ConfigError {
    error.within(&format!("certificates[{number}]"))
}

fn connection(session: &ServerConnection) -> Result<TlsConnection, String> {
    let leaf = session.peer_certificates().and_then(|chain| chain.first());
    let peer = leaf.map(PeerCertificate::parse).transpose()?;
    Ok(TlsConnection { peer: peer.map(Arc::new), server_name: session.server_name().map(Arc::from) })
}

/// A connection after its handshake.
#[derive(Debug)]
pub(crate) struct Handshaken {
    pub(crate) transport: Transport,
    pub(crate) connection: TlsConnection,
}

/// Why a connection is no TLS.
#[derive(Debug)]
pub(crate) enum HandshakeFailed {
    /// The peer speaks HTTP without it.
    PlainHttp(TcpStream),
    /// It did not come to its end.
    Broken(String),
}

/// The handshakes that go on.
#[derive(Debug)]
struct Handshakes {
    max: usize,
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    next: u64,
    /// By age; whoever's sender is dropped gives up.
    running: BTreeMap<u64, oneshot::Sender<()>>,
}

/// A handshake's place; it is free again when this is dropped.
#[derive(Debug)]
struct Place<'a> {
    handshakes: &'a Handshakes,
    id: u64,
}

impl Handshakes {
    fn begin(&self) -> (Place<'_>, oneshot::Receiver<()>) {
        let (end, superseded) = oneshot::channel();
        let mut open = self.open.lock();
        let id = open.next;
        open.next += 1;
        if open.running.len() >= self.max {
            open.running.pop_first();
        }
        open.running.insert(id, end);
        (Place { handshakes: self, id }, superseded)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.handshakes.open.lock().running.remove(&self.id);
    }
}

impl fmt::Debug for ServerTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerTls").field("cert", &self.0.live.source().cert).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_handshake_too_many_ends_the_oldest() {
        let handshakes = Handshakes { max: 2, open: Mutex::default() };
        let (first, first_ends) = handshakes.begin();
        let (second, mut second_ends) = handshakes.begin();
        drop(second);
        let (_third, mut third_ends) = handshakes.begin();
        assert!(second_ends.try_recv().is_err());
        let (_fourth, mut fourth_ends) = handshakes.begin();
        assert!(first_ends.await.is_err(), "the oldest of three");
        drop(first);
        for ends in [&mut third_ends, &mut fourth_ends] {
            assert_eq!(ends.try_recv(), Err(oneshot::error::TryRecvError::Empty));
        }
        assert_eq!(handshakes.open.lock().running.len(), 2);
    }

    #[test]
    fn options_that_contradict_each_other_are_named() {
        let mut config = ServerTlsConfig::new("cert.pem", "key.pem");
        config.client_cert_optional = true;
        assert_eq!(
            config.validate().unwrap_err().to_string(),
            "configuration: `client_cert_optional` = true: needs `client_ca`"
        );
        assert_eq!(config.client_ca("ca.pem").validate(), Ok(()));
    }

    #[test]
    fn options_are_read_strictly() {
        let config: ServerTlsConfig = serde_json::from_str(r#"{"cert": "a", "key": "b"}"#).unwrap();
        assert_eq!(config, ServerTlsConfig::new("a", "b"));
        assert!(serde_json::from_str::<ServerTlsConfig>(r#"{"cert": "a"}"#).is_err());
        assert!(serde_json::from_str::<ServerTlsConfig>(r#"{"cert": "a", "key": "b", "ca": "c"}"#).is_err());
    }
}
