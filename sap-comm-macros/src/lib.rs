//! The derive macro of `sap-comm-core`, which re-exports it.

mod event_payload;

use proc_macro::TokenStream;

/// Implements `EventPayload`: `#[event(type = "user.created", version = "1.0", kind = "domain")]`.
///
/// `type` is required: dotted lower-case words, such as `user.created`. `version` is `major.minor`, `1.0` by default.
/// `kind` is `domain` (the default), `integration`, `command` or `system`.
#[proc_macro_derive(EventPayload, attributes(event))]
pub fn derive_event_payload(input: TokenStream) -> TokenStream {
    let input = syn::parse_macro_input!(input as syn::DeriveInput);
    event_payload::expand(&input).unwrap_or_else(syn::Error::into_compile_error).into()
}
