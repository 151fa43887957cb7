//! Putting messages together: a method, the header, and as many frames as the body takes.

use super::{
    content::{Content, Ends},
    decode::Decoder,
    error::Error,
    method::{Method, basic},
};

/// A body is believed to be so long before it is there.
const BELIEVED: usize = 1 << 20;

/// What a message is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Purpose {
    Delivery { consumer: u32, tag: u64, redelivered: bool },
    Return,
    Got { tag: u64, messages: u32 },
}

/// The message that is arriving on one channel.
#[derive(Debug, Default)]
pub(super) struct Assembly {
    stage: Stage,
    /// Exchange and routing key until the header says how much follows.
    route: Vec<u8>,
    bytes: Vec<u8>,
    ends: Ends,
}

#[derive(Debug, Default, Clone, Copy, PartialEq)]
enum Stage {
    #[default]
    Idle,
    Header(Purpose),
    /// How much of the body is yet to come.
    Body(Purpose, usize),
}

impl Assembly {
    /// Begins with a method that a message follows; whether it is one.
    pub(super) fn begin(&mut self, method: Method, mut arguments: Decoder<'_>) -> Result<bool, Error> {
        if self.stage != Stage::Idle {
            return Err(Error::Protocol("a message is interrupted"));
        }
        let unreadable = Error::Protocol("a delivery cannot be read");
        let purpose = match method {
            basic::DELIVER => delivery(&mut arguments),
            basic::RETURN => arguments.take(2).and_then(|_code| arguments.short()).map(|_text| Purpose::Return),
            basic::GET_OK => arguments.u64().zip(arguments.u8()).map(|(tag, _)| Purpose::Got { tag, messages: 0 }),
            _ => return Ok(false),
        };
        let mut purpose = purpose.ok_or(unreadable.clone())?;
        let (exchange, key) = arguments.short().zip(arguments.short()).ok_or(unreadable.clone())?;
        if let Purpose::Got { messages, .. } = &mut purpose {
            *messages = arguments.u32().ok_or(unreadable)?;
        }
        self.route.clear();
        self.route.extend_from_slice(exchange);
        self.route.extend_from_slice(key);
        self.ends = Ends { exchange: exchange.len(), routing_key: self.route.len(), properties: 0 };
        self.stage = Stage::Header(purpose);
        Ok(true)
    }

    /// Takes the header; the message if it has no body.
    pub(super) fn header(&mut self, size: u64, properties: &[u8]) -> Result<Option<(Purpose, Content)>, Error> {
        let Stage::Header(purpose) = self.stage else { return Err(Error::Protocol("a header comes unexpected")) };
        let size = usize::try_from(size).map_err(|_| Error::Protocol("a body is larger than memory"))?;
        let head = self.route.len() + properties.len();
        self.bytes = Vec::with_capacity(head + size.min(BELIEVED));
        self.bytes.extend_from_slice(&self.route);
        self.bytes.extend_from_slice(properties);
        self.ends.properties = head;
        self.stage = Stage::Body(purpose, size);
        Ok(self.whole())
    }

    /// Takes a part of the body; the message if it is the last.
    pub(super) fn body(&mut self, part: &[u8]) -> Result<Option<(Purpose, Content)>, Error> {
        let Stage::Body(purpose, left) = self.stage else { return Err(Error::Protocol("a body comes unexpected")) };
        let left = left.checked_sub(part.len()).ok_or(Error::Protocol("a body is longer than was said"))?;
        self.bytes.extend_from_slice(part);
        self.stage = Stage::Body(purpose, left);
        Ok(self.whole())
    }

    fn whole(&mut self) -> Option<(Purpose, Content)> {
        let Stage::Body(purpose, 0) = self.stage else { return None };
        self.stage = Stage::Idle;
        Some((purpose, Content { bytes: std::mem::take(&mut self.bytes).into(), ends: self.ends }))
    }
}

fn delivery(arguments: &mut Decoder<'_>) -> Option<Purpose> {
    let consumer = consumer(arguments.short()?)?;
    let (tag, redelivered) = (arguments.u64()?, arguments.u8()? != 0);
    Some(Purpose::Delivery { consumer, tag, redelivered })
}

/// What a consumer's tag begins with; its number follows.
const CONSUMER: &str = "sap-comm-";

/// The tag of the consumer of this number.
pub(super) fn consumer_tag(number: u32) -> String {
    format!("{CONSUMER}{number}")
}

/// The number in a consumer's tag, if it is one of ours.
pub(super) fn consumer(tag: &[u8]) -> Option<u32> {
    str::from_utf8(tag.strip_prefix(CONSUMER.as_bytes())?).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const DELIVERY: &[u8] = b"\x0asap-comm-3\0\0\0\0\0\0\0\x09\x01\x01x\x02ke";

    #[test]
    fn a_message_comes_in_pieces() {
        let mut assembly = Assembly::default();
        assert!(assembly.begin(basic::DELIVER, Decoder(DELIVERY)).unwrap());
        assert!(assembly.header(5, b"\0\0").unwrap().is_none());
        assert!(assembly.body(b"he").unwrap().is_none());
        let (purpose, content) = assembly.body(b"llo").unwrap().unwrap();
        assert_eq!(purpose, Purpose::Delivery { consumer: 3, tag: 9, redelivered: true });
        assert_eq!((content.exchange().as_ref(), content.routing_key().as_ref()), ("x", "ke"));
        assert_eq!(content.body(), "hello");
        assert!(assembly.begin(basic::RETURN, Decoder(b"\x01\x38\x08NO_ROUTE\x01x\x01k")).unwrap());
        let (purpose, content) = assembly.header(0, b"\0\0").unwrap().unwrap();
        assert_eq!((purpose, content.body().len()), (Purpose::Return, 0));
    }

    #[test]
    fn what_is_out_of_order_is_an_error() {
        let mut assembly = Assembly::default();
        assert!(assembly.header(1, b"\0\0").is_err() && assembly.body(b"x").is_err());
        assert!(assembly.begin(basic::DELIVER, Decoder(b"\x0bsomebody's")).is_err());
        assert!(assembly.begin(basic::DELIVER, Decoder(DELIVERY)).unwrap());
        assert!(assembly.begin(basic::DELIVER, Decoder(DELIVERY)).is_err());
        assert!(assembly.header(1, b"\0\0").unwrap().is_none());
        assert!(assembly.body(b"xy").is_err());
        let mut assembly = Assembly::default();
        assert!(assembly.begin(basic::DELIVER, Decoder(DELIVERY)).unwrap());
        assert!(assembly.header(u64::MAX, b"\0\0").unwrap().is_none(), "it is not allocated before it is there");
    }
}
