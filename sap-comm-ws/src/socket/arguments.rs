use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{SeqAccess, Visitor},
};
use serde_json::Value;

/// All arguments of an event. Reads as a tuple, which is what makes the parser hand over more than the first.
#[derive(Debug)]
pub(super) struct Arguments(pub(super) Vec<Value>);

/// No honest event has more arguments.
const MAX: usize = 16;

impl<'de> Deserialize<'de> for Arguments {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_tuple(MAX, ArgumentsVisitor)
    }
}

struct ArgumentsVisitor;

impl<'de> Visitor<'de> for ArgumentsVisitor {
    type Value = Arguments;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at most {MAX} arguments")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Arguments, A::Error> {
        let mut arguments = Vec::new();
        while let Some(argument) = sequence.next_element()? {
            if arguments.len() == MAX {
                return Err(serde::de::Error::invalid_length(MAX + 1, &self));
            }
            arguments.push(argument);
        }
        Ok(Arguments(arguments))
    }
}
