//! Variables for serde: read as the `config` crate reads them, and split at commas where a list is asked for.

use config::{ConfigError, Value, ValueKind};
use serde::{
    Deserializer,
    de::{
        DeserializeSeed, IntoDeserializer, MapAccess, Visitor,
        value::{SeqDeserializer, StringDeserializer},
    },
    forward_to_deserialize_any,
};

/// The value of a variable, or all variables below a name.
pub(super) struct Variable(pub(super) Value);

/// Hands what needs no list over to the value's own deserializer.
macro_rules! as_the_value {
    ($($method:ident)*) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ConfigError> {
            self.0.$method(visitor)
        })*
    };
}

impl<'de> Deserializer<'de> for Variable {
    type Error = ConfigError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ConfigError> {
        match self.0.kind {
            ValueKind::Table(table) => {
                visitor.visit_map(Variables { rest: table.into_iter().collect::<Vec<_>>().into_iter(), value: None })
            }
            _ => self.0.deserialize_any(visitor),
        }
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ConfigError> {
        match self.0.kind {
            ValueKind::String(text) => {
                let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
                visitor.visit_seq(SeqDeserializer::new(items.map(|item| Self(Value::new(None, item)))))
            }
            _ => self.0.deserialize_seq(visitor),
        }
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, _len: usize, visitor: V) -> Result<V::Value, ConfigError> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _len: usize,
        visitor: V,
    ) -> Result<V::Value, ConfigError> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ConfigError> {
        match self.0.kind {
            ValueKind::Nil => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, ConfigError> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ConfigError> {
        self.0.deserialize_enum(name, variants, visitor)
    }

    as_the_value! {
        deserialize_bool deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64
        deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64 deserialize_f32 deserialize_f64
        deserialize_str deserialize_string
    }

    forward_to_deserialize_any! {
        i128 u128 char bytes byte_buf unit unit_struct map struct identifier ignored_any
    }
}

impl IntoDeserializer<'_, ConfigError> for Variable {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

/// The variables below a name, whose errors tell which of them they are about.
struct Variables {
    rest: std::vec::IntoIter<(String, Value)>,
    /// The one whose key was read.
    value: Option<(String, Value)>,
}

impl<'de> MapAccess<'de> for Variables {
    type Error = ConfigError;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, ConfigError> {
        self.value = self.rest.next();
        let Some((key, _)) = &self.value else { return Ok(None) };
        let read = seed.deserialize(StringDeserializer::new(key.clone()));
        read.map(Some).map_err(|error| below(key, error))
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, ConfigError> {
        let Some((key, value)) = self.value.take() else {
            return Err(ConfigError::Message("a value was asked for before its key".to_owned()));
        };
        seed.deserialize(Variable(value)).map_err(|error| below(&key, error))
    }
}

/// The same error, about a key below `parent`.
fn below(parent: &str, error: ConfigError) -> ConfigError {
    let join = |key: Option<String>| Some(key.map_or_else(|| parent.to_owned(), |key| format!("{parent}.{key}")));
    match error {
        ConfigError::Type { origin, unexpected, expected, key } => {
            ConfigError::Type { origin, unexpected, expected, key: join(key) }
        }
        ConfigError::At { error, origin, key } => ConfigError::At { error, origin, key: join(key) },
        ConfigError::NotFound(key) => ConfigError::NotFound(format!("{parent}.{key}")),
        other => ConfigError::At { error: Box::new(other), origin: None, key: join(None) },
    }
}
