//! `hookgate providers list`: a row for each provider, for people and for machines.

use serde_json::{Value, json};

use super::super::paint::{Colour, paint, say};
use super::words::Sameness;
use crate::provider::{Catalogue, Provider};

const COLUMNS: [&str; 6] = ["name", "assurance", "same by", "batches", "checks", "title"];

/// Prints the catalogue as a table.
pub(super) fn table(catalogue: &Catalogue) {
    let rows: Vec<[String; 6]> = catalogue.iter().map(|one| row(one)).collect();
    let headings = COLUMNS.map(str::to_owned);
    let width = |column: usize| {
        let cells = rows
            .iter()
            .chain([&headings])
            .map(|row| row[column].chars().count());
        cells.max().unwrap_or_default()
    };
    let widths: [usize; 6] = std::array::from_fn(width);
    let line = |row: &[String; 6]| {
        let cells = row
            .iter()
            .zip(widths)
            .map(|(cell, width)| format!("{cell:width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    say(&paint(Colour::Bold, &line(&headings)));
    for row in &rows {
        say(&line(row));
    }
}

/// Prints the catalogue as one JSON array.
pub(super) fn json(catalogue: &Catalogue) {
    let all: Vec<Value> = catalogue.iter().map(|one| object(one)).collect();
    say(&Value::from(all).to_string());
}

fn row(one: &Provider) -> [String; 6] {
    let mark = |holds: bool| if holds { "yes" } else { "-" }.to_owned();
    [
        one.name.to_string(),
        one.assurance().as_str().to_owned(),
        Sameness::of(one).word().to_owned(),
        mark(!one.events.batch.at.is_empty()),
        mark(!one.handshakes().is_empty()),
        one.about.title.clone(),
    ]
}

fn object(one: &Provider) -> Value {
    let handshakes: Vec<&str> = one
        .handshakes()
        .iter()
        .map(|one| one.name.as_str())
        .collect();
    let batches: Vec<String> = one
        .events
        .batch
        .at
        .iter()
        .map(ToString::to_string)
        .collect();
    json!({
        "name": &*one.name,
        "title": one.about.title,
        "category": one.about.category,
        "assurance": one.assurance().as_str(),
        "same_by": Sameness::of(one).word(),
        "schemes": one.scheme_names(),
        "batches": batches,
        "handshakes": handshakes,
        "params": one.params.keys().collect::<Vec<_>>(),
        "retries_429": one.answer.retries_429,
        "docs": one.about.docs,
    })
}
