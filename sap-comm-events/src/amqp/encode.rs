//! Writing what is sent to the broker.

use super::{error::Error, value::Value};

/// Writes values one after the other.
#[derive(Debug)]
pub(super) struct Encoder<'a>(pub(super) &'a mut Vec<u8>);

impl Encoder<'_> {
    pub(super) fn u8(&mut self, value: u8) {
        self.0.push(value);
    }

    pub(super) fn u16(&mut self, value: u16) {
        self.0.extend_from_slice(&value.to_be_bytes());
    }

    pub(super) fn u32(&mut self, value: u32) {
        self.0.extend_from_slice(&value.to_be_bytes());
    }

    pub(super) fn u64(&mut self, value: u64) {
        self.0.extend_from_slice(&value.to_be_bytes());
    }

    /// A short string.
    pub(super) fn short(&mut self, text: &str) -> Result<(), Error> {
        let length = u8::try_from(text.len()).map_err(|_| Error::TooLong(text.to_owned()))?;
        self.u8(length);
        self.0.extend_from_slice(text.as_bytes());
        Ok(())
    }

    pub(super) fn long(&mut self, bytes: &[u8]) {
        self.measured(|out| out.0.extend_from_slice(bytes));
    }

    /// Bits, the first the lowest.
    pub(super) fn bits<const N: usize>(&mut self, bits: [bool; N]) {
        self.u8(bits.iter().rev().fold(0, |byte, bit| byte << 1 | u8::from(*bit)));
    }

    pub(super) fn table(&mut self, values: &[(&str, Value<'_>)]) -> Result<(), Error> {
        self.measured(|out| values.iter().try_for_each(|(name, value)| out.pair(name, *value)))
    }

    /// A name and a value of a table.
    pub(super) fn pair(&mut self, name: &str, value: Value<'_>) -> Result<(), Error> {
        self.short(name)?;
        self.value(value);
        Ok(())
    }

    pub(super) fn value(&mut self, value: Value<'_>) {
        match value {
            Value::Text(bytes) => {
                self.u8(b'S');
                self.long(bytes);
            }
            Value::Bool(value) => {
                self.u8(b't');
                self.u8(value.into());
            }
            Value::Int(number) => {
                self.u8(b'l');
                self.0.extend_from_slice(&number.to_be_bytes());
            }
            Value::Float(number) => {
                self.u8(b'd');
                self.0.extend_from_slice(&number.to_be_bytes());
            }
            Value::Timestamp(seconds) => {
                self.u8(b'T');
                self.u64(seconds);
            }
            Value::Other(bytes) => self.0.extend_from_slice(bytes),
        }
    }

    /// What `write` writes, after its length.
    pub(super) fn measured<T>(&mut self, write: impl FnOnce(&mut Encoder<'_>) -> T) -> T {
        let at = self.0.len();
        self.u32(0);
        let written = write(&mut Encoder(&mut *self.0));
        // No caller comes near 4 GiB: bodies are cut into frames.
        let length = u32::try_from(self.0.len() - at - 4).unwrap_or(u32::MAX);
        if let Some(place) = self.0.get_mut(at..at + 4) {
            place.copy_from_slice(&length.to_be_bytes());
        }
        written
    }
}
