//! Times in tokens, which may have fractions (RFC 7519, section 2).

use std::fmt;

use serde::{Deserialize, Deserializer, de};

/// Seconds since the Unix epoch, rounded so that a token counts for no longer than it says.
#[derive(Clone, Copy)]
struct Seconds<const UP: bool>(u64);

/// Below it a double has every whole second.
const LIMIT: f64 = (1_u64 << 53) as f64;

/// A time from which on a token counts no more.
pub(super) fn end<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    Seconds::<false>::deserialize(deserializer).map(|seconds| seconds.0)
}

/// A time before which a token does not count yet.
pub(super) fn beginning<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    Option::<Seconds<true>>::deserialize(deserializer).map(|seconds| seconds.map(|seconds| seconds.0))
}

/// A time on which nothing depends.
pub(super) fn stated<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    Option::<Seconds<false>>::deserialize(deserializer).map(|seconds| seconds.map(|seconds| seconds.0))
}

impl<'de, const UP: bool> Deserialize<'de> for Seconds<UP> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Number<const UP: bool>;

        impl<const UP: bool> de::Visitor<'_> for Number<UP> {
            type Value = Seconds<UP>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("seconds since the Unix epoch")
            }

            fn visit_u64<E: de::Error>(self, seconds: u64) -> Result<Self::Value, E> {
                Ok(Seconds(seconds))
            }

            fn visit_f64<E: de::Error>(self, seconds: f64) -> Result<Self::Value, E> {
                // What is no number is within no range.
                if !(0.0..LIMIT).contains(&seconds) {
                    return Err(E::invalid_value(de::Unexpected::Float(seconds), &self));
                }
                Ok(Seconds(if UP { seconds.ceil() } else { seconds.floor() } as u64))
            }
        }

        deserializer.deserialize_any(Number)
    }
}

#[cfg(test)]
mod tests {
    use serde::de::value::{Error, F64Deserializer};
    use serde_json::json;

    use super::*;
    use crate::auth::Claims;

    #[test]
    fn an_end_is_rounded_down_and_a_beginning_up() {
        for (written, whole, next) in
            [("0", 0, 0), ("-0.0", 0, 0), ("2000", 2_000, 2_000), ("2000.0", 2_000, 2_000), ("2000.25", 2_000, 2_001)]
        {
            let number: serde_json::Value = serde_json::from_str(written).unwrap();
            let text = json!({"iss": "a", "sub": "b", "aud": "c", "exp": number, "nbf": number, "iat": number});
            let claims: Claims = serde_json::from_str(&text.to_string()).unwrap();
            assert_eq!((claims.exp, claims.nbf, claims.iat), (whole, Some(next), Some(whole)), "{written}");
        }
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for seconds in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -1.0, -0.5, 1e308, LIMIT] {
            let read = || F64Deserializer::<Error>::new(seconds);
            assert!(end(read()).is_err() && Seconds::<true>::deserialize(read()).is_err(), "{seconds}");
        }
        let last = LIMIT - 1.0;
        assert_eq!(end(F64Deserializer::<Error>::new(last)), Ok((1 << 53) - 1));
    }
}
