//! Making a connection: who is who, how large frames may be, and which virtual host is meant.

use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::{
    connection::Connection,
    decode::Decoder,
    encode::Encoder,
    error::Error,
    frame::{self, Payload},
    method::{Method, connection},
    value::Value,
};

/// The protocol, and its version 0-9-1.
const PROTOCOL: &[u8] = b"AMQP\x00\x00\x09\x01";
/// A broker that says more before it knows us says it to somebody else.
const MAX_FIRST: usize = 128 << 10;
/// Every broker takes frames of this size.
const MIN_FRAME: usize = 4 << 10;
/// Frames are no larger, whatever the broker would take.
const MAX_FRAME: u32 = 128 << 10;

/// Who we are and what we want.
#[derive(Clone)]
pub(crate) struct Login {
    pub(crate) mechanism: Mechanism,
    pub(crate) user: String,
    pub(crate) password: String,
    pub(crate) vhost: String,
    /// What the connection is called in the broker's lists.
    pub(crate) name: String,
    /// In seconds; 0 means none.
    pub(crate) heartbeat: u16,
}

/// How the broker knows us.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Mechanism {
    /// By user and password.
    #[default]
    Plain,
    /// By the certificate of the TLS connection.
    External,
}

impl Mechanism {
    const fn name(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::External => "EXTERNAL",
        }
    }
}

/// What both sides agreed on.
#[derive(Debug)]
pub(super) struct Agreed {
    pub(super) max_channels: u16,
    pub(super) max_frame: usize,
    pub(super) heartbeat: Duration,
    /// The broker's.
    pub(super) version: Option<String>,
}

/// Makes a connection over a socket. Dropping the future drops the socket.
pub(crate) async fn connect<R, W>(mut reader: R, mut writer: W, login: &Login) -> Result<Connection, Error>
where
    R: AsyncRead + Send + Unpin + 'static,
    W: AsyncWrite + Send + Unpin + 'static,
{
    writer.write_all(PROTOCOL).await?;
    writer.flush().await?;
    let start = expect(&mut reader, connection::START).await.map_err(|error| match error {
        Error::Protocol(_) => Error::Protocol("it speaks another protocol, or another version of AMQP"),
        error => error,
    })?;
    let version = introduction(&start, login.mechanism)?;
    say(&mut writer, connection::START_OK, |out| start_ok(out, login)).await?;
    let tune = expect(&mut reader, connection::TUNE).await?;
    let mut agreed = agree(&tune, login).ok_or(Error::Protocol("its proposal cannot be read"))?;
    agreed.version = version;
    say(&mut writer, connection::TUNE_OK, |out| {
        out.u16(agreed.max_channels);
        out.u32(u32::try_from(agreed.max_frame).unwrap_or(MAX_FRAME));
        out.u16(u16::try_from(agreed.heartbeat.as_secs()).unwrap_or(u16::MAX));
        Ok(())
    })
    .await?;
    say(&mut writer, connection::OPEN, |out| {
        out.short(&login.vhost)?;
        out.short("")?;
        out.bits([false]);
        Ok(())
    })
    .await?;
    expect(&mut reader, connection::OPEN.answer()).await?;
    Ok(Connection::start(reader, writer, agreed))
}

/// The broker's version, if it takes the way that we log in.
fn introduction(start: &[u8], mechanism: Mechanism) -> Result<Option<String>, Error> {
    let mut start = Decoder(start);
    let (version, properties, mechanisms) = (start.u16(), start.table(), start.long());
    let (Some(0x0009), Some(properties), Some(mechanisms)) = (version, properties, mechanisms) else {
        return Err(Error::Protocol("its introduction cannot be read"));
    };
    let offered = String::from_utf8_lossy(mechanisms);
    if !offered.split(' ').any(|offered| offered == mechanism.name()) {
        return Err(Error::Mechanism { wanted: mechanism.name(), offered: offered.into_owned() });
    }
    Ok(match properties.get("version") {
        Some(Value::Text(version)) => Some(String::from_utf8_lossy(version).into_owned()),
        _ => None,
    })
}

fn start_ok(out: &mut Encoder<'_>, login: &Login) -> Result<(), Error> {
    const CAPABILITIES: [&str; 6] = [
        "publisher_confirms",
        "exchange_exchange_bindings",
        "basic.nack",
        "consumer_cancel_notify",
        "connection.blocked",
        "authentication_failure_close",
    ];
    out.measured(|out| {
        out.pair("product", Value::text("sap-comm"))?;
        out.pair("version", Value::text(env!("CARGO_PKG_VERSION")))?;
        out.pair("platform", Value::text("Rust"))?;
        out.pair("connection_name", Value::text(&login.name))?;
        out.short("capabilities")?;
        out.u8(b'F');
        out.table(&CAPABILITIES.map(|name| (name, Value::Bool(true))))
    })?;
    out.short(login.mechanism.name())?;
    match login.mechanism {
        Mechanism::Plain => out.long(format!("\0{}\0{}", login.user, login.password).as_bytes()),
        Mechanism::External => out.long(b""),
    }
    out.short("en_US")
}

/// What the broker proposes, and less where we want less.
fn agree(tune: &[u8], login: &Login) -> Option<Agreed> {
    let mut tune = Decoder(tune);
    let (channels, frame, heartbeat) = (tune.u16()?, tune.u32()?, tune.u16()?);
    let max_channels = if channels == 0 { u16::MAX } else { channels };
    let max_frame = if frame == 0 { MAX_FRAME } else { frame.min(MAX_FRAME) };
    // Who does not want any is not made to.
    let heartbeat = if heartbeat == 0 { login.heartbeat } else { heartbeat.min(login.heartbeat) };
    let max_frame = usize::try_from(max_frame).ok()?.max(MIN_FRAME);
    Some(Agreed { max_channels, max_frame, heartbeat: Duration::from_secs(heartbeat.into()), version: None })
}

async fn say<W: AsyncWrite + Unpin>(
    writer: &mut W,
    method: Method,
    arguments: impl FnOnce(&mut Encoder<'_>) -> Result<(), Error>,
) -> Result<(), Error> {
    let mut bytes = Vec::new();
    frame::method(&mut bytes, 0, method, arguments)?;
    writer.write_all(&bytes).await?;
    Ok(writer.flush().await?)
}

/// The arguments of the method that must come now, unless the broker refuses.
async fn expect<R: AsyncRead + Unpin>(reader: &mut R, expected: Method) -> Result<Vec<u8>, Error> {
    loop {
        let mut bytes = vec![0; frame::HEAD];
        reader.read_exact(&mut bytes).await?;
        let length = frame::length(&bytes, MAX_FIRST)?.unwrap_or_default();
        bytes.resize(length + frame::AROUND, 0);
        reader.read_exact(bytes.get_mut(frame::HEAD..).unwrap_or_default()).await?;
        match frame::read(&bytes, MAX_FIRST)? {
            Some((0, Payload::Heartbeat, _)) => {}
            Some((0, Payload::Method(method, arguments), _)) if method == expected => {
                return Ok(arguments.0.to_owned());
            }
            Some((0, Payload::Method(connection::CLOSE, mut arguments), _)) => {
                let (code, text) = arguments.reason();
                return Err(Error::Connection { code, text });
            }
            Some((0, Payload::Method(connection::SECURE, _), _)) => {
                return Err(Error::Protocol("it asks for more than PLAIN and EXTERNAL tell"));
            }
            _ => return Err(Error::Protocol("it says something else than it should")),
        }
    }
}
