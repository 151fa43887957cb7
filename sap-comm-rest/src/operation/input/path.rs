use axum::{RequestExt, extract::Request};
use garde::Validate;
use sap_comm_core::ApiError;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::{Argument, InputPart, RequestParts};
use crate::{
    operation::{Description, ResourceId, schema},
    server::{Path, ValidPath},
};

/// A type that stands in one segment of a path.
pub trait PathParameter: DeserializeOwned + Send + 'static {
    /// Its schema.
    fn schema() -> Value;

    /// It as text, which the client encodes.
    fn segment(&self) -> String;

    /// What is wrong with a text that a client wants to send.
    ///
    /// # Errors
    /// When no such parameter can be read from it.
    fn check(text: &str) -> Result<(), String>;
}

/// All parameters of a path: one [`PathParameter`], or a tuple of them in the order of the path.
pub trait PathParameters: DeserializeOwned + Send + 'static {
    /// Their schemas.
    fn schemas() -> Vec<Value>;

    /// They as texts.
    fn segments(&self) -> Vec<String>;
}

impl PathParameter for ResourceId {
    fn schema() -> Value {
        schema::to_value(&<Self as utoipa::PartialSchema>::schema())
    }

    fn segment(&self) -> String {
        self.as_str().to_owned()
    }

    fn check(text: &str) -> Result<(), String> {
        text.parse::<Self>().map(drop).map_err(|error| error.to_string())
    }
}

impl PathParameter for String {
    fn schema() -> Value {
        json!({"type": "string", "minLength": 1})
    }

    fn segment(&self) -> String {
        self.clone()
    }

    fn check(_: &str) -> Result<(), String> {
        Ok(())
    }
}

macro_rules! integers {
    ($($integer:ty, $format:literal;)*) => {$(
        impl PathParameter for $integer {
            fn schema() -> Value {
                json!({"type": "integer", "format": $format, "minimum": <$integer>::MIN, "maximum": <$integer>::MAX})
            }

            fn segment(&self) -> String {
                self.to_string()
            }

            fn check(text: &str) -> Result<(), String> {
                text.parse::<Self>().map(drop).map_err(|error| error.to_string())
            }
        }
    )*};
}

integers! { u32, "int64"; i32, "int32"; u64, "int64"; i64, "int64"; }

impl<P: PathParameter> PathParameters for P {
    fn schemas() -> Vec<Value> {
        vec![P::schema()]
    }

    fn segments(&self) -> Vec<String> {
        vec![self.segment()]
    }
}

impl<P1: PathParameter, P2: PathParameter> PathParameters for (P1, P2) {
    fn schemas() -> Vec<Value> {
        vec![P1::schema(), P2::schema()]
    }

    fn segments(&self) -> Vec<String> {
        vec![self.0.segment(), self.1.segment()]
    }
}

impl<P1: PathParameter, P2: PathParameter, P3: PathParameter> PathParameters for (P1, P2, P3) {
    fn schemas() -> Vec<Value> {
        vec![P1::schema(), P2::schema(), P3::schema()]
    }

    fn segments(&self) -> Vec<String> {
        vec![self.0.segment(), self.1.segment(), self.2.segment()]
    }
}

impl<P: PathParameters> InputPart for Path<P> {
    async fn take(request: &mut Request) -> Result<Self, ApiError> {
        request.extract_parts().await
    }

    fn describe(description: &mut Description) {
        let names: Vec<_> = description.path_parameters().collect();
        for (name, schema) in names.into_iter().zip(P::schemas()) {
            description.path_parameter(name, schema);
        }
    }
}

impl<P: PathParameters + Validate<Context: Default>> InputPart for ValidPath<P> {
    async fn take(request: &mut Request) -> Result<Self, ApiError> {
        request.extract_parts().await
    }

    fn describe(description: &mut Description) {
        Path::<P>::describe(description);
    }
}

impl<P: PathParameters> Argument<ValidPath<P>> for Path<P> {
    fn fill(self, request: &mut RequestParts) {
        Argument::<Self>::fill(self, request);
    }
}

impl<P: PathParameters> Argument<Self> for Path<P> {
    fn fill(self, request: &mut RequestParts) {
        for segment in self.0.segments() {
            request.path_parameter(segment);
        }
    }
}

impl<P: PathParameter> Argument<Path<P>> for &str {
    fn fill(self, request: &mut RequestParts) {
        match P::check(self) {
            Ok(()) => request.path_parameter(self.to_owned()),
            Err(reason) => request.refuse(format!("{self:?} cannot stand in the path: {reason}")),
        }
    }
}
