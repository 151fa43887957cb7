use serde::Deserialize;

/// What became of one trap with one library.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Verdict {
    Passed,
    Failed(String),
    /// The library lacks what the trap is about.
    NotOffered(String),
}

/// How a program ends: well, or with the reason why it did not.
pub(super) type Walk = Result<(), Verdict>;

/// What a library was asked to build.
pub(super) type Built<T> = Result<T, Verdict>;

impl Verdict {
    pub(super) fn passed(&self) -> bool {
        *self == Self::Passed
    }

    pub(super) fn note(&self) -> Option<&'static str> {
        matches!(self, Self::NotOffered(_)).then_some("not offered")
    }

    pub(super) fn failed(why: impl Into<String>) -> Self {
        Self::Failed(why.into())
    }

    pub(super) fn not_offered<T>(what: &str) -> Built<T> {
        Err(Self::NotOffered(what.to_owned()))
    }
}

/// Fails the trap unless this holds.
pub(super) fn ensure(holds: bool, why: impl Into<String>) -> Walk {
    if holds { Ok(()) } else { Err(Verdict::Failed(why.into())) }
}
