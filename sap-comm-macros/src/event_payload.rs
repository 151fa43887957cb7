use proc_macro_crate::{FoundCrate, crate_name};
use proc_macro2::TokenStream;
use quote::quote;
use syn::{DeriveInput, Error, Ident, LitStr, Result};

#[derive(Default)]
struct Attributes {
    event_type: Option<LitStr>,
    version: Option<LitStr>,
    kind: Option<LitStr>,
    krate: Option<syn::Path>,
}

pub(crate) fn expand(input: &DeriveInput) -> Result<TokenStream> {
    let attributes = read(input)?;
    let event_type = attributes
        .event_type
        .ok_or_else(|| Error::new(input.ident.span(), "missing #[event(type = \"…\")], such as \"user.created\""))?;
    check_type(&event_type)?;
    let version = match attributes.version {
        Some(version) => check_version(version)?,
        None => LitStr::new("1.0", input.ident.span()),
    };
    let kind = kind(attributes.kind.as_ref())?;
    let krate = match attributes.krate {
        Some(path) => quote!(#path),
        None => vocabulary(),
    };
    let name = &input.ident;
    let (impl_generics, type_generics, where_clause) = input.generics.split_for_impl();
    Ok(quote! {
        impl #impl_generics #krate::EventPayload for #name #type_generics #where_clause {
            const TYPE: &'static str = #event_type;
            const VERSION: &'static str = #version;
            const KIND: #krate::EventKind = #krate::EventKind::#kind;
        }
    })
}

/// Where the vocabulary is found: `sap-comm-core` itself, or the facade that re-exports it; under its name here.
fn vocabulary() -> TokenStream {
    for package in ["sap-comm-core", "sap-comm"] {
        if let Ok(FoundCrate::Name(name)) = crate_name(package) {
            let name = Ident::new(&name, proc_macro2::Span::call_site());
            return quote!(::#name);
        }
    }
    quote!(::sap_comm_core)
}

fn read(input: &DeriveInput) -> Result<Attributes> {
    let mut attributes = Attributes::default();
    for attribute in input.attrs.iter().filter(|attribute| attribute.path().is_ident("event")) {
        attribute.parse_nested_meta(|meta| {
            let slot = if meta.path.is_ident("type") {
                &mut attributes.event_type
            } else if meta.path.is_ident("version") {
                &mut attributes.version
            } else if meta.path.is_ident("kind") {
                &mut attributes.kind
            } else if meta.path.is_ident("crate") {
                attributes.krate = Some(meta.value()?.parse::<LitStr>()?.parse()?);
                return Ok(());
            } else {
                return Err(meta.error("expected one of `type`, `version`, `kind`, `crate`"));
            };
            if slot.replace(meta.value()?.parse()?).is_some() {
                return Err(meta.error("given twice"));
            }
            Ok(())
        })?;
    }
    Ok(attributes)
}

/// A type is a routing key too: words of `a-z0-9_-` between dots, 255 bytes at most.
fn check_type(event_type: &LitStr) -> Result<()> {
    let value = event_type.value();
    let word = |word: &str| {
        !word.is_empty() && word.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_' || b == b'-')
    };
    if value.len() <= 255 && value.split('.').all(word) {
        return Ok(());
    }
    Err(Error::new(event_type.span(), "an event type is dotted lower-case words, such as \"user.created\""))
}

fn check_version(version: LitStr) -> Result<LitStr> {
    let value = version.value();
    let number = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    match value.split_once('.') {
        Some((major, minor)) if number(major) && number(minor) => Ok(version),
        _ => Err(Error::new(version.span(), "a version is major.minor, such as \"1.0\"")),
    }
}

fn kind(kind: Option<&LitStr>) -> Result<Ident> {
    let Some(kind) = kind else {
        return Ok(Ident::new("Domain", proc_macro2::Span::call_site()));
    };
    let variant = match kind.value().as_str() {
        "domain" => "Domain",
        "integration" => "Integration",
        "command" => "Command",
        "system" => "System",
        _ => return Err(Error::new(kind.span(), "expected \"domain\", \"integration\", \"command\" or \"system\"")),
    };
    Ok(Ident::new(variant, kind.span()))
}
