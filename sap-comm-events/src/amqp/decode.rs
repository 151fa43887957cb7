//! Reading what the broker sends; nothing that it could send makes this panic.

use std::borrow::Cow;

use super::value::Value;

/// Reads values one after the other; `None` from where they end too early.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Decoder<'a>(pub(super) &'a [u8]);

impl<'a> Decoder<'a> {
    pub(super) fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*taken)
    }

    pub(super) fn u8(&mut self) -> Option<u8> {
        self.array().map(u8::from_be_bytes)
    }

    pub(super) fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_be_bytes)
    }

    pub(super) fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_be_bytes)
    }

    pub(super) fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_be_bytes)
    }

    /// A short string's bytes.
    pub(super) fn short(&mut self) -> Option<&'a [u8]> {
        let length = self.u8()?;
        self.take(length.into())
    }

    /// A short string; what is not UTF-8 in it is replaced.
    pub(super) fn text(&mut self) -> Option<Cow<'a, str>> {
        self.short().map(String::from_utf8_lossy)
    }

    /// The code and the text with which the broker closes something.
    pub(super) fn reason(&mut self) -> (u16, String) {
        let reason = self.u16().zip(self.text());
        reason.map_or_else(|| (0, "no reason given".to_owned()), |(code, text)| (code, text.into_owned()))
    }

    /// A long string's bytes, or a table's.
    pub(super) fn long(&mut self) -> Option<&'a [u8]> {
        let length = self.u32()?;
        self.take(usize::try_from(length).ok()?)
    }

    pub(super) fn table(&mut self) -> Option<Table<'a>> {
        self.long().map(Table)
    }

    /// A value of a table. The types are those that RabbitMQ sends, which differ from the specification's.
    fn value(&mut self) -> Option<Value<'a>> {
        let whole = self.0;
        Some(match self.u8()? {
            b't' => Value::Bool(self.u8()? != 0),
            b'b' => Value::Int(self.array().map(i8::from_be_bytes)?.into()),
            b'B' => Value::Int(self.u8()?.into()),
            b's' | b'U' => Value::Int(self.array().map(i16::from_be_bytes)?.into()),
            b'u' => Value::Int(self.u16()?.into()),
            b'I' => Value::Int(self.array().map(i32::from_be_bytes)?.into()),
            b'i' => Value::Int(self.u32()?.into()),
            b'l' | b'L' => Value::Int(self.array().map(i64::from_be_bytes)?),
            b'f' => Value::Float(self.array().map(f32::from_be_bytes)?.into()),
            b'd' => Value::Float(self.array().map(f64::from_be_bytes)?),
            b'T' => Value::Timestamp(self.u64()?),
            b'S' => Value::Text(self.long()?),
            other => {
                match other {
                    b'D' => self.take(5)?,
                    b'x' | b'F' | b'A' => self.long()?,
                    b'V' => &[],
                    _ => return None,
                };
                Value::Other(whole.get(..whole.len() - self.0.len())?)
            }
        })
    }
}

/// Names and values as they stand in a frame.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Table<'a>(&'a [u8]);

impl<'a> Table<'a> {
    /// Names and values up to the first that cannot be read, without those whose names are not UTF-8.
    pub(crate) fn iter(self) -> impl Iterator<Item = (&'a str, Value<'a>)> {
        let mut decoder = Decoder(self.0);
        let pairs = std::iter::from_fn(move || Some((decoder.short()?, decoder.value()?)));
        pairs.filter_map(|(name, value)| Some((str::from_utf8(name).ok()?, value)))
    }

    pub(crate) fn get(self, name: &str) -> Option<Value<'a>> {
        self.iter().find_map(|(found, value)| (found == name).then_some(value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_of_value_is_read_and_the_next_one_found() {
        let bytes = [
            b"\x01at\x01\x01bb\xff\x01cB\xff\x01ds\xff\xfe\x01eU\xff\xfe\x01fu\xff\xfe\x01gI\xff\xff\xff\xff".as_slice(),
            b"\x01hi\xff\xff\xff\xff\x01il\xff\xff\xff\xff\xff\xff\xff\xff\x01jf\x3f\x80\0\0\x01kd\x3f\xf0\0\0\0\0\0\0",
            b"\x01lT\0\0\0\0\0\0\0\x07\x01mS\0\0\0\x02hi\x01nD\x01\0\0\0\x07\x01ox\0\0\0\x01\0\x01pF\0\0\0\x04\x01at\x01",
            b"\x01qA\0\0\0\x01V\x01rV\x01zt\0",
        ]
        .concat();
        let length = u32::try_from(bytes.len()).unwrap().to_be_bytes();
        let table = [&length[..], &bytes].concat();
        let table = Decoder(&table).table().unwrap();
        let values: Vec<_> = table.iter().map(|(_, value)| value).collect();
        let int = Value::Int;
        let one = Value::Float(1.0);
        let texts = [Value::Timestamp(7), Value::Text(b"hi")];
        let first =
            [Value::Bool(true), int(-1), int(255), int(-2), int(-2), int(0xfffe), int(-1), int(0xffff_ffff), int(-1)];
        let others: [&[u8]; 5] =
            [b"D\x01\0\0\0\x07", b"x\0\0\0\x01\0", b"F\0\0\0\x04\x01at\x01", b"A\0\0\0\x01V", b"V"];
        let others = others.map(Value::Other);
        assert_eq!(values, [&first[..], &[one, one], &texts, &others, &[Value::Bool(false)]].concat());
        assert_eq!(table.get("z"), Some(Value::Bool(false)));
    }

    #[test]
    fn a_table_that_is_cut_ends_where_it_was_whole() {
        let table = Table(b"\x01at\x01\x01bS\0\0\0\x09hi");
        assert_eq!(table.iter().collect::<Vec<_>>(), [("a", Value::Bool(true))]);
        assert_eq!(Table(b"\x02\xff\xfft\x01\x01at\x00").iter().collect::<Vec<_>>(), [("a", Value::Bool(false))]);
        assert_eq!(Table(b"\x01a?\x01").iter().count(), 0);
    }
}
