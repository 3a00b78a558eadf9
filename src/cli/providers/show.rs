//! `hookgate providers show`: one provider in words, as an operator wants to know it.

use std::sync::Arc;

use super::super::paint::{Colour, paint, say};
use super::words::{Item, sections};
use crate::provider::Provider;

/// Prints everything that is to be said of a provider.
pub(super) fn show(one: &Arc<Provider>) {
    say(&format!(
        "{} ({}), {}",
        paint(Colour::Bold, &one.about.title),
        one.name,
        one.about.category
    ));
    for section in sections(one) {
        say(&format!("\n{}", paint(Colour::Bold, section.heading)));
        for item in &section.items {
            match item {
                Item::Text(text) | Item::Link(text) => say(&format!("  {text}")),
                Item::Point(text) => say(&format!("  - {text}")),
                Item::Entry(name, rest, details) => {
                    say(&format!("  {name}{rest}"));
                    for detail in details {
                        say(&format!("    {detail}"));
                    }
                }
            }
        }
    }
}
