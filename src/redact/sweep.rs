//! Takes parts out of a text that stays: what patterns match, and what detectors know by its form.
//!
//! What is left holds nothing more of the kind: the text is swept until nothing is found, so that
//! redacting twice changes nothing. What stood in place of a part before is found again in its exact
//! form and left alone.

use std::borrow::Cow;
use std::ops::Range;

use regex::{Regex, RegexBuilder, RegexSet, RegexSetBuilder};

use super::action::{Action, last4};
use super::rules::{RuleError, RuleId};
use super::suspects::Look;
use super::tally::{Cause, Tally};
use super::{REDACTED, Redactor};

/// Bytes that a pattern may take, compiled.
const MAX_PATTERN_SIZE: usize = 1 << 20;

/// Bytes that all patterns of an endpoint may take together, compiled.
const MAX_PATTERNS_SIZE: usize = 10 << 20;

/// Parts of one text that a pattern may match: a text with more goes as a whole, since looking for the
/// next one can take as long as the text is.
const MAX_MATCHES: usize = 100;

/// How often a text is swept: one that still holds something goes as a whole.
const MAX_SWEEPS: usize = 8;

/// The forms that stand in place of parts, as patterns.
const MASK_FORM: &str = r"\[redacted\]";
const LAST4_FORM: &str = r"\*{4}[0-9A-Za-z]{4}";
const HASH_FORM: &str = r"hmac:[0-9a-f]{32}";

/// What is looked for in a text beside the endpoint's own secrets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Search {
    /// What the endpoint's patterns match.
    pub(super) values: bool,
    /// What detectors know.
    pub(super) detectors: bool,
}

impl Search {
    pub(super) const ALL: Self = Self {
        values: true,
        detectors: true,
    };
    pub(super) const NOTHING: Self = Self {
        values: false,
        detectors: false,
    };

    /// What both look for.
    pub(super) fn and(self, other: Self) -> Self {
        Self {
            values: self.values && other.values,
            detectors: self.detectors && other.detectors,
        }
    }
}

/// What became of a text.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Swept {
    Stays,
    Becomes(String),
    /// A rule has the whole value left out.
    Removed(RuleId),
}

/// The endpoint's patterns.
pub(super) struct Values {
    list: Vec<Value>,
    /// All of them at once, to know which are worth a closer look.
    set: RegexSet,
    /// The forms of what was done before.
    done: Regex,
}

struct Value {
    pattern: Regex,
    rule: RuleId,
    action: Action,
}

/// A part to be taken out.
struct Cut {
    part: Range<usize>,
    cause: Cause,
    action: Action,
}

impl Values {
    /// Compiles patterns, each with its rule.
    pub(super) fn new(written: Vec<(String, RuleId, Action)>) -> Result<Self, RuleError> {
        let mut list = Vec::new();
        for (text, rule, action) in &written {
            let pattern = RegexBuilder::new(text)
                .size_limit(MAX_PATTERN_SIZE)
                .build()
                .map_err(|error| is_no_pattern(text, &error))?;
            if pattern.is_match("") {
                let why = "matches the empty text, and so would match everywhere";
                return Err(RuleError::malformed(text, why));
            }
            list.push(Value {
                pattern,
                rule: *rule,
                action: *action,
            });
        }
        let set = RegexSetBuilder::new(written.iter().map(|(text, ..)| text))
            .size_limit(MAX_PATTERNS_SIZE)
            .build();
        let mut forms = vec![MASK_FORM];
        for (form, made_by) in [(LAST4_FORM, Action::Last4), (HASH_FORM, Action::Hash)] {
            if list.iter().any(|value| value.action == made_by) {
                forms.push(form);
            }
        }
        let done = Regex::new(&forms.join("|"));
        Ok(Self {
            list,
            set: set.map_err(|_| RuleError::PatternsTooLarge)?,
            done: done.map_err(|_| RuleError::PatternsTooLarge)?,
        })
    }

    /// Collects what the patterns match; nothing where that is too much.
    fn cuts(&self, text: &str, cuts: &mut Vec<Cut>) -> Option<()> {
        for at in self.set.matches(text) {
            let Value {
                pattern,
                rule,
                action,
            } = &self.list[at];
            for (count, found) in pattern.find_iter(text).enumerate() {
                if count == MAX_MATCHES {
                    return None;
                }
                cuts.push(Cut {
                    part: found.range(),
                    cause: Cause::Rule(*rule),
                    action: *action,
                });
            }
        }
        Some(())
    }

    /// Drops the cuts that lie in what was done before, and has those that reach into it take it
    /// along.
    fn beside_done(&self, text: &str, cuts: &mut Vec<Cut>) {
        if cuts.is_empty() {
            return;
        }
        let done: Vec<Range<usize>> = self.done.find_iter(text).map(|one| one.range()).collect();
        cuts.retain_mut(|cut| {
            let first = done.partition_point(|one| one.end <= cut.part.start);
            for one in &done[first..] {
                if one.start >= cut.part.end {
                    break;
                }
                if one.start <= cut.part.start && cut.part.end <= one.end {
                    return false;
                }
                cut.part = cut.part.start.min(one.start)..cut.part.end.max(one.end);
                cut.action = cut.action.or_mask();
            }
            true
        });
    }
}

/// Says what is wrong with a pattern in a line: its last, the others repeat the pattern.
fn is_no_pattern(text: &str, error: &regex::Error) -> RuleError {
    let told = error.to_string();
    let why = told.lines().last().unwrap_or_default();
    RuleError::malformed(
        text,
        format!("is no pattern: {}", why.trim_start_matches("error: ")),
    )
}

impl Action {
    /// What is left of an action where the part is more than its rule names.
    fn or_mask(self) -> Self {
        match self {
            Self::Remove => self,
            _ => Self::Mask,
        }
    }
}

impl Redactor {
    /// Sweeps a text where something may be in it.
    pub(super) fn search(
        &self,
        text: &str,
        search: Search,
        look: Look,
        tally: &mut Tally,
    ) -> Swept {
        let first = Search {
            values: search.values && !self.rules.values.list.is_empty(),
            detectors: search.detectors && self.is_suspect(text, look),
        };
        match first {
            Search::NOTHING => Swept::Stays,
            first => self.sweep(text, first, search, tally),
        }
    }

    /// Sweeps a text, and notes what was taken out of it. Once it has changed, what no detector
    /// suspected may have become suspect: `first` is what is looked for before, `then` behind.
    pub(super) fn sweep(
        &self,
        text: &str,
        first: Search,
        then: Search,
        tally: &mut Tally,
    ) -> Swept {
        let mark = tally.mark();
        let (mut left, mut search) = (Cow::Borrowed(text), first);
        for _ in 0..MAX_SWEEPS {
            let cuts = match self.cuts(&left, search) {
                Ok(cuts) if cuts.is_empty() => return stays(left),
                Ok(cuts) => cuts,
                Err(too_many) => {
                    tally.rewind(mark);
                    tally.fire(too_many, Action::Mask);
                    return Swept::Becomes(REDACTED.to_owned());
                }
            };
            if let Some(rule) = cuts.iter().filter_map(Cut::removes).min() {
                tally.rewind(mark);
                return Swept::Removed(rule);
            }
            left = Cow::Owned(self.without(&left, &apart(cuts), tally));
            search = then;
        }
        match self.cuts(&left, search) {
            Ok(cuts) if cuts.is_empty() => stays(left),
            _ => Swept::Becomes(REDACTED.to_owned()),
        }
    }

    /// Returns the parts to be taken out, in no order; or what takes out the whole.
    fn cuts(&self, text: &str, search: Search) -> Result<Vec<Cut>, Cause> {
        let mut cuts = Vec::new();
        if search.values && self.rules.values.cuts(text, &mut cuts).is_none() {
            let first = cuts.iter().map(|cut| cut.cause).max();
            return Err(first.unwrap_or(Cause::Unread));
        }
        if let Some(detectors) = self.rules.detectors.as_ref().filter(|_| search.detectors) {
            let mut found = Vec::new();
            detectors.find(text, &mut found);
            cuts.extend(found.into_iter().map(|found| Cut {
                part: text.floor_char_boundary(found.start)..text.ceil_char_boundary(found.end),
                cause: Cause::Detector(found.detector),
                action: Action::Mask,
            }));
        }
        self.rules.values.beside_done(text, &mut cuts);
        Ok(cuts)
    }

    /// Writes a text without its cuts.
    fn without(&self, text: &str, cuts: &[Cut], tally: &mut Tally) -> String {
        let mut left = String::with_capacity(text.len());
        let mut at = 0;
        for cut in cuts {
            left.push_str(&text[at..cut.part.start]);
            let (made, action) = self.made_of(&text[cut.part.clone()], cut.action);
            left.push_str(&made);
            tally.fire(cut.cause, action);
            at = cut.part.end;
        }
        left.push_str(&text[at..]);
        left
    }

    /// Returns what stands in place of a text, and what was done in truth.
    pub(super) fn made_of(&self, text: &str, action: Action) -> (Cow<'static, str>, Action) {
        let made = match action {
            Action::Last4 => last4(text),
            Action::Hash => self.rules.pseudonyms.as_ref().map(|keyed| keyed.of(text)),
            Action::Mask | Action::Remove | Action::Keep => None,
        };
        match made {
            Some(made) => (Cow::Owned(made), action),
            None => (Cow::Borrowed(REDACTED), Action::Mask),
        }
    }
}

impl Cut {
    fn removes(&self) -> Option<RuleId> {
        match (self.cause, self.action) {
            (Cause::Rule(rule), Action::Remove) => Some(rule),
            _ => None,
        }
    }
}

fn stays(left: Cow<'_, str>) -> Swept {
    match left {
        Cow::Borrowed(_) => Swept::Stays,
        Cow::Owned(text) => Swept::Becomes(text),
    }
}

/// Sorts cuts and joins those that overlap: what lies in one of an earlier rule is its, and what
/// reaches beyond is masked with it.
fn apart(mut cuts: Vec<Cut>) -> Vec<Cut> {
    cuts.sort_by_key(|cut| (cut.part.start, cut.cause));
    let mut joined: Vec<Cut> = Vec::with_capacity(cuts.len());
    for cut in cuts {
        match joined.last_mut() {
            Some(last) if cut.part.start < last.part.end => {
                if cut.part.end > last.part.end || cut.cause < last.cause {
                    last.part.end = last.part.end.max(cut.part.end);
                    last.cause = last.cause.min(cut.cause);
                    last.action = Action::Mask;
                }
            }
            _ => joined.push(cut),
        }
    }
    joined
}
