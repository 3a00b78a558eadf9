//! How often the detectors of the redactor are wrong, over real sample events and labelled texts.
//!
//! `docs/DETECTORS.md` gives the numbers, and these tests hold it to them.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod corpus;
mod draw;
mod negatives;
mod positives;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use hookgate::redact::{Detecting, Detector, Detectors, Found, Group};

const ALL: Detecting = Detecting::ALL;

/// What was thought of each find in the corpus, by someone who looked at it.
const JUDGED: &str = include_str!("judged.txt");

fn find(text: &str) -> Vec<Found> {
    let mut found = Vec::new();
    Detectors::new(ALL).find(text, &mut found);
    found
}

fn page() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/DETECTORS.md");
    fs::read_to_string(path).unwrap()
}

/// Holds the page to lines that it must have.
#[track_caller]
fn expect_lines(lines: &[String]) {
    let page = page();
    let missing: Vec<&str> = lines
        .iter()
        .filter(|line| !page.lines().any(|has| has == line.as_str()))
        .map(String::as_str)
        .collect();
    let missing = missing.join("\n");
    assert!(missing.is_empty(), "docs/DETECTORS.md lacks:\n{missing}");
}

/// Returns the finds in the corpus as `detector provider text`, the text cut.
fn corpus_finds() -> BTreeSet<String> {
    let mut finds = BTreeSet::new();
    for corpus::Text { provider, text } in corpus::texts() {
        for found in find(&text) {
            let what: String = text[found.start..found.end].chars().take(48).collect();
            finds.insert(format!("{} {provider} {what}", found.detector));
        }
    }
    finds
}

/// Returns the judgements: each find, and whether it is right.
fn judged() -> BTreeMap<String, bool> {
    let lines = JUDGED.lines().filter(|line| !line.starts_with('#'));
    let judge = |line: &str| {
        let (verdict, find) = line.split_once(' ').unwrap();
        assert!(["right", "wrong"].contains(&verdict), "{line}");
        (find.to_owned(), verdict == "right")
    };
    lines.map(judge).collect()
}

#[test]
fn every_find_in_the_corpus_was_judged() {
    let judged: BTreeSet<String> = judged().into_keys().collect();
    let finds = corpus_finds();
    let new: Vec<_> = finds.difference(&judged).collect();
    let gone: Vec<_> = judged.difference(&finds).collect();
    assert!(
        new.is_empty(),
        "look at these and add them to judged.txt: {new:#?}"
    );
    assert!(gone.is_empty(), "no longer found: {gone:#?}");
}

#[test]
fn the_page_counts_the_finds_in_the_corpus() {
    let mut counts: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    let judged = judged();
    for (find, right) in &judged {
        let count = counts.entry(find.split(' ').next().unwrap()).or_default();
        count.0 += usize::from(*right);
        count.1 += usize::from(!*right);
    }
    let row = |(detector, (right, wrong)): (&&str, &(usize, usize))| {
        format!("| `{detector}` | {right} | {wrong} |")
    };
    let mut lines: Vec<String> = counts.iter().map(row).collect();
    let bodies = corpus::bodies().len();
    let texts = corpus::texts().len();
    lines.push(format!(
        "The corpus holds {bodies} bodies with {texts} different texts."
    ));
    expect_lines(&lines);
}

#[test]
fn nothing_that_was_labelled_is_missed() {
    let mut samples: BTreeMap<&str, usize> = BTreeMap::new();
    let mut missed = Vec::new();
    let positives = positives::all();
    for positive in &positives {
        let start = positive.text.find(&positive.secret).unwrap();
        let end = start + positive.secret.len();
        let covers = |found: &Found| found.start <= start && end <= found.end;
        *samples.entry(positive.detector).or_default() += 1;
        if !find(&positive.text).iter().any(covers) {
            missed.push(format!("{}: {}", positive.detector, positive.text));
        }
    }
    assert!(missed.is_empty(), "{missed:#?}");
    for Detector { name, .. } in Detectors::all() {
        let samples = samples.get(name).copied().unwrap_or_default();
        assert!(samples >= 20, "{name} has {samples} samples");
    }
    let count = positives.len();
    expect_lines(&[format!(
        "Of {count} labelled secrets and numbers none is missed."
    )]);
}

#[test]
fn what_is_taken_out_is_little_more_than_the_secret() {
    let mut wide = BTreeSet::new();
    for positive in positives::all() {
        let start = positive.text.find(&positive.secret).unwrap();
        let exact = (start, start + positive.secret.len());
        let found = find(&positive.text);
        // In a path, what is in base64 has no telling end.
        let in_path = positive.text.ends_with("/status");
        if !in_path && !found.iter().any(|found| (found.start, found.end) == exact) {
            wide.insert((positive.detector, positive.text));
        }
    }
    assert!(wide.is_empty(), "{wide:#?}");
}

#[test]
fn the_page_counts_what_is_found_where_nothing_should_be() {
    let mut lines = Vec::new();
    for kind in negatives::all() {
        let mut wrong: BTreeMap<Group, usize> = BTreeMap::new();
        for text in &kind.texts {
            let groups: BTreeSet<Group> = find(text).iter().map(group).collect();
            groups
                .iter()
                .for_each(|group| *wrong.entry(*group).or_default() += 1);
        }
        assert_eq!(wrong.get(&Group::Secrets), None, "{}", kind.name);
        let rest: usize = wrong.values().sum();
        lines.push(format!(
            "| {} | {} | 0 | {rest} |",
            kind.name,
            kind.texts.len()
        ));
    }
    expect_lines(&lines);
}

fn group(found: &Found) -> Group {
    let all = Detectors::all();
    let detector = all.iter().find(|detector| detector.name == found.detector);
    detector.unwrap().group
}

#[test]
fn the_page_lists_every_detector() {
    let row = |detector: &Detector| {
        let group = format!("{:?}", detector.group).to_lowercase();
        format!("| `{}` | {group} | {} |", detector.name, detector.what)
    };
    let rows: Vec<String> = Detectors::all().iter().map(row).collect();
    expect_lines(&rows);
    let page = page();
    let listed = page
        .lines()
        .filter(|line| line.starts_with("| `") && line.matches('|').count() == 4);
    let others = |line: &&str| {
        line.split('|')
            .nth(2)
            .is_some_and(|cell| cell.trim().parse::<u32>().is_err())
    };
    let listed: Vec<&str> = listed.filter(others).collect();
    assert_eq!(listed.len(), rows.len(), "{listed:#?}");
}
