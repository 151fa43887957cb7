//! SPDX licence expressions, as far as manifests use them.

/// Whether `allowed` grants what the expression asks for.
///
/// `AND` needs both sides, `OR` and the old `/` one; `A WITH B` is one licence. Anything unreadable is refused.
pub(super) fn permits(expression: &str, allowed: &dyn Fn(&str) -> bool) -> bool {
    let spaced = expression.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
    let tokens: Vec<&str> = spaced.split_whitespace().collect();
    let mut parser = Parser { tokens: &tokens, allowed };
    let granted = parser.any();
    parser.tokens.is_empty() && granted == Some(true)
}

struct Parser<'a> {
    tokens: &'a [&'a str],
    allowed: &'a dyn Fn(&str) -> bool,
}

impl<'a> Parser<'a> {
    fn any(&mut self) -> Option<bool> {
        let mut granted = self.all()?;
        while self.take("OR") {
            granted |= self.all()?;
        }
        Some(granted)
    }

    fn all(&mut self) -> Option<bool> {
        let mut granted = self.one()?;
        while self.take("AND") {
            granted &= self.one()?;
        }
        Some(granted)
    }

    fn one(&mut self) -> Option<bool> {
        if self.take("(") {
            let granted = self.any()?;
            return self.take(")").then_some(granted);
        }
        let licence = self.word()?;
        if !self.take("WITH") {
            return Some((self.allowed)(licence));
        }
        let exception = self.word()?;
        Some((self.allowed)(&format!("{licence} WITH {exception}")))
    }

    fn word(&mut self) -> Option<&'a str> {
        let (word, rest) = self.tokens.split_first()?;
        let is_word = !matches!(*word, "(" | ")" | "AND" | "OR" | "WITH");
        is_word.then(|| {
            self.tokens = rest;
            *word
        })
    }

    fn take(&mut self, token: &str) -> bool {
        match self.tokens.split_first() {
            Some((first, rest)) if *first == token => {
                self.tokens = rest;
                true
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn permitted(expression: &str) -> bool {
        permits(expression, &|licence| ["MIT", "Unicode-3.0", "Apache-2.0 WITH LLVM-exception"].contains(&licence))
    }

    #[test]
    fn one_side_of_or_suffices_and_both_of_and_are_needed() {
        assert!(permitted("MIT"));
        assert!(permitted("GPL-3.0 OR MIT"));
        assert!(permitted("MIT/Apache-2.0"));
        assert!(permitted("(MIT OR GPL-3.0) AND Unicode-3.0"));
        assert!(!permitted("MIT AND GPL-3.0"));
        assert!(!permitted("GPL-3.0"));
    }

    #[test]
    fn and_binds_closer_than_or() {
        assert!(permitted("MIT OR GPL-3.0 AND BSL-1.0"));
        assert!(!permitted("GPL-3.0 OR MIT AND BSL-1.0"));
    }

    #[test]
    fn an_exception_belongs_to_its_licence() {
        assert!(permitted("Apache-2.0 WITH LLVM-exception"));
        assert!(!permitted("Apache-2.0"));
    }

    #[test]
    fn what_cannot_be_read_is_refused() {
        for expression in ["", "MIT OR", "(MIT", "MIT)", "MIT MIT", "AND", "MIT WITH"] {
            assert!(!permitted(expression), "{expression}");
        }
    }
}
