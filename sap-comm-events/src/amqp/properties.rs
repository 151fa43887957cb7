//! The properties of a message.

use super::{
    decode::{Decoder, Table},
    encode::Encoder,
    value::Value,
};

/// Properties by their bit, in the order in which they stand.
const CONTENT_TYPE: u16 = 15;
const CONTENT_ENCODING: u16 = 14;
const HEADERS: u16 = 13;
const DELIVERY_MODE: u16 = 12;
const PRIORITY: u16 = 11;
const CORRELATION_ID: u16 = 10;
const REPLY_TO: u16 = 9;
const EXPIRATION: u16 = 8;
const MESSAGE_ID: u16 = 7;
const TIMESTAMP: u16 = 6;
const TYPE: u16 = 5;
const USER_ID: u16 = 4;
const APP_ID: u16 = 3;
/// Another word of bits follows.
const MORE: u16 = 0;

const PERSISTENT: u8 = 2;

/// The properties that mean something to this crate, borrowed from where they stand. A text that is not UTF-8 is none.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Properties<'a> {
    pub(crate) content_type: Option<&'a str>,
    pub(crate) content_encoding: Option<&'a str>,
    pub(crate) headers: Table<'a>,
    pub(crate) correlation_id: Option<&'a str>,
    pub(crate) reply_to: Option<&'a str>,
    pub(crate) message_id: Option<&'a str>,
    /// Seconds since the Unix epoch.
    pub(crate) timestamp: Option<u64>,
    pub(crate) event_type: Option<&'a str>,
    pub(crate) app_id: Option<&'a str>,
}

impl<'a> Properties<'a> {
    /// Reads them up to the first that cannot be read.
    pub(crate) fn read(bytes: &'a [u8]) -> Self {
        let mut properties = Self::default();
        let read = properties.fill(Decoder(bytes));
        if read.is_none() {
            tracing::debug!("properties of a message cannot be read");
        }
        properties
    }

    fn fill(&mut self, mut from: Decoder<'a>) -> Option<()> {
        let bits = from.u16()?;
        let mut more = bits;
        while has(more, MORE) {
            more = from.u16()?;
        }
        let text = |from: &mut Decoder<'a>, bit| match has(bits, bit) {
            true => from.short().map(|text| str::from_utf8(text).ok()),
            false => Some(None),
        };
        self.content_type = text(&mut from, CONTENT_TYPE)?;
        self.content_encoding = text(&mut from, CONTENT_ENCODING)?;
        if has(bits, HEADERS) {
            self.headers = from.table()?;
        }
        for bit in [DELIVERY_MODE, PRIORITY] {
            if has(bits, bit) {
                from.u8()?;
            }
        }
        self.correlation_id = text(&mut from, CORRELATION_ID)?;
        self.reply_to = text(&mut from, REPLY_TO)?;
        text(&mut from, EXPIRATION)?;
        self.message_id = text(&mut from, MESSAGE_ID)?;
        if has(bits, TIMESTAMP) {
            self.timestamp = Some(from.u64()?);
        }
        self.event_type = text(&mut from, TYPE)?;
        text(&mut from, USER_ID)?;
        self.app_id = text(&mut from, APP_ID)?;
        Some(())
    }
}

fn has(bits: u16, bit: u16) -> bool {
    bits & 1 << bit != 0
}

/// Writes properties, which must be given in the order of these methods. What is empty or does not fit is left out.
#[derive(Debug)]
pub(crate) struct PropertiesWriter<'a, 'b> {
    out: &'a mut Encoder<'b>,
    at: usize,
    bits: u16,
}

impl<'a, 'b> PropertiesWriter<'a, 'b> {
    pub(super) fn new(out: &'a mut Encoder<'b>) -> Self {
        let at = out.0.len();
        out.u16(0);
        Self { out, at, bits: 0 }
    }

    pub(crate) fn content_type(&mut self, text: Option<&str>) {
        self.text(CONTENT_TYPE, text);
    }

    pub(crate) fn content_encoding(&mut self, text: Option<&str>) {
        self.text(CONTENT_ENCODING, text);
    }

    pub(crate) fn headers(&mut self, write: impl FnOnce(&mut dyn FnMut(&str, Value<'_>))) {
        self.mark(HEADERS);
        self.out.measured(|out| {
            write(&mut |name, value| {
                let before = out.0.len();
                if out.pair(name, value).is_err() {
                    out.0.truncate(before);
                }
            });
        });
    }

    pub(crate) fn persistent(&mut self) {
        self.mark(DELIVERY_MODE);
        self.out.u8(PERSISTENT);
    }

    pub(crate) fn correlation_id(&mut self, text: Option<&str>) {
        self.text(CORRELATION_ID, text);
    }

    pub(crate) fn reply_to(&mut self, text: Option<&str>) {
        self.text(REPLY_TO, text);
    }

    pub(crate) fn message_id(&mut self, text: Option<&str>) {
        self.text(MESSAGE_ID, text);
    }

    pub(crate) fn timestamp(&mut self, seconds: Option<u64>) {
        if let Some(seconds) = seconds {
            self.mark(TIMESTAMP);
            self.out.u64(seconds);
        }
    }

    pub(crate) fn event_type(&mut self, text: Option<&str>) {
        self.text(TYPE, text);
    }

    pub(crate) fn app_id(&mut self, text: Option<&str>) {
        self.text(APP_ID, text);
    }

    fn text(&mut self, bit: u16, text: Option<&str>) {
        if let Some(text) = text.filter(|text| !text.is_empty())
            && self.out.short(text).is_ok()
        {
            self.mark(bit);
        }
    }

    fn mark(&mut self, bit: u16) {
        debug_assert!(self.bits & ((1 << bit) | ((1 << bit) - 1)) == 0, "properties stand in the order of their bits");
        self.bits |= 1 << bit;
        if let Some(place) = self.out.0.get_mut(self.at..self.at + 2) {
            place.copy_from_slice(&self.bits.to_be_bytes());
        }
    }
}

/// Properties as they are on the wire.
#[cfg(any(test, fuzzing))]
pub(crate) fn properties_bytes(write: impl FnOnce(&mut PropertiesWriter<'_, '_>)) -> Vec<u8> {
    let mut bytes = Vec::new();
    write(&mut PropertiesWriter::new(&mut Encoder(&mut bytes)));
    bytes
}

#[cfg(test)]
mod tests {
    use super::{properties_bytes as written, *};

    #[test]
    fn properties_stand_as_the_specification_says() {
        let bytes = written(|properties| {
            properties.content_type(Some("a"));
            properties.headers(|set| set("h", Value::Int(1)));
            properties.persistent();
            properties.message_id(Some("id"));
            properties.timestamp(Some(7));
        });
        let expected = b"\xb0\xc0\x01a\0\0\0\x0b\x01hl\0\0\0\0\0\0\0\x01\x02\x02id\0\0\0\0\0\0\0\x07";
        assert_eq!(bytes, expected);
        let read = Properties::read(&bytes);
        assert_eq!((read.content_type, read.message_id), (Some("a"), Some("id")));
        assert_eq!((read.headers.get("h"), read.timestamp, read.app_id), (Some(Value::Int(1)), Some(7), None));
    }

    #[test]
    fn what_does_not_fit_is_left_out() {
        let long = "x".repeat(256);
        let bytes = written(|properties| {
            properties.headers(|set| {
                set(&long, Value::Bool(true));
                set("kept", Value::Bool(true));
            });
            properties.correlation_id(Some(""));
            properties.message_id(Some(&long));
            properties.app_id(Some("app"));
        });
        let read = Properties::read(&bytes);
        assert_eq!((read.correlation_id, read.message_id, read.app_id), (None, None, Some("app")));
        assert_eq!(read.headers.iter().collect::<Vec<_>>(), [("kept", Value::Bool(true))]);
    }

    #[test]
    fn every_property_of_another_client_is_passed_over_or_read() {
        let bytes = b"\xff\xfc\x01t\x01e\0\0\0\0\x01\x09\x01c\x01r\x0560000\x01m\0\0\0\0\0\0\0\x01\x01k\x01u\x01a\x01z";
        let read = Properties::read(bytes);
        let texts = [read.content_type, read.content_encoding, read.correlation_id, read.reply_to, read.message_id];
        assert_eq!(texts.map(|text| text.unwrap()), ["t", "e", "c", "r", "m"]);
        assert_eq!([read.event_type, read.app_id].map(|text| text.unwrap()), ["k", "a"]);
        assert_eq!(Properties::read(b"\x80\x00\x05").content_type, None);
        assert_eq!(Properties::read(b"\x80\x00\x01\xff").content_type, None);
    }
}
