//! Where in a definition something is wrong: the line that a complaint is about.
//!
//! What makes no sense is found once a definition is compiled, when its text is gone. A fault keeps
//! the way to the table it was found in, and the line is looked up in the text when there is a
//! fault to report: loading a sound definition pays nothing for it.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// What is wrong with a definition, and where.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Fault {
    place: Place,
    /// The part of the definition, in words; empty where the file says enough.
    part: String,
    why: String,
}

#[derive(Debug, PartialEq, Eq)]
enum Place {
    /// Something is missing from the definition as a whole.
    Nowhere,
    /// A byte of the text.
    At(usize),
    /// A top-level key, and the place in its array.
    In(&'static str, usize),
}

impl Fault {
    /// A fault of the definition as a whole.
    pub(super) fn of_all(why: impl Into<String>) -> Self {
        Self {
            place: Place::Nowhere,
            part: String::new(),
            why: why.into(),
        }
    }

    /// A fault at a byte of the text.
    pub(super) fn at(offset: usize, why: String) -> Self {
        Self {
            place: Place::At(offset),
            ..Self::of_all(why)
        }
    }

    /// A fault in what stands under a top-level key; in an array of tables in the one at `index`.
    pub(super) fn within(key: &'static str, index: usize, part: String, why: String) -> Self {
        Self {
            place: Place::In(key, index),
            part,
            why,
        }
    }

    /// Returns the fault in words, without its place.
    pub(super) fn why(&self) -> String {
        match self.part.as_str() {
            "" => self.why.clone(),
            part => format!("{part}: {}", self.why),
        }
    }

    /// Returns the line that the fault is on, counted from 1. `table` is the definition in the form
    /// that was found to be wrong, if it came so far.
    pub(super) fn line(&self, table: Option<&DeTable<'_>>, text: &str) -> Option<usize> {
        let offset = match self.place {
            Place::Nowhere => return None,
            Place::At(offset) => offset,
            Place::In(key, index) => {
                let (name, value) = table?.get_key_value(key)?;
                let one = match value.get_ref() {
                    DeValue::Array(array) => array.get(index).unwrap_or(value),
                    _ => value,
                };
                let named = self.named_in(one);
                // A table of its own begins with its header, a key of the top with its name.
                named.unwrap_or(match one.get_ref() {
                    DeValue::Table(_) => one.span().start,
                    _ => name.span().start,
                })
            }
        };
        let before = text.as_bytes().get(..offset)?;
        Some(1 + memchr::memchr_iter(b'\n', before).count())
    }

    /// Finds the text or the key that the fault speaks of: the longest that it quotes.
    fn named_in(&self, value: &Spanned<DeValue<'_>>) -> Option<usize> {
        let mut best: Option<(usize, usize)> = None;
        walk(value, &mut |text, offset| {
            let quoted = self.why.contains(&format!("`{text}`"));
            if quoted && best.is_none_or(|(length, _)| text.len() > length) {
                best = Some((text.len(), offset));
            }
        });
        best.map(|(_, offset)| offset)
    }
}

/// Shows every key and every text under a value, with the byte where it stands.
pub(super) fn walk(value: &Spanned<DeValue<'_>>, see: &mut dyn FnMut(&str, usize)) {
    match value.get_ref() {
        DeValue::String(text) => see(text, value.span().start),
        DeValue::Array(array) => array.iter().for_each(|one| walk(one, see)),
        DeValue::Table(table) => {
            for (key, value) in table.iter() {
                see(key.get_ref(), key.span().start);
                walk(value, see);
            }
        }
        _ => {}
    }
}
