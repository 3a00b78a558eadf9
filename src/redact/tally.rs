//! What was taken out of a body, and why: the count and the manifest of its signal.

use std::fmt::Write as _;

use super::action::Action;
use super::rules::{RuleId, Rulebook};

/// Bytes that a manifest may have. Rules that find no room are counted as `other`.
pub const MAX_MANIFEST: usize = 1024;

/// Bytes of one rule in a manifest: a longer text is cut, and ends in `…`.
const MAX_LABEL: usize = 128;

/// Room that is kept for what is counted as `other`.
const OTHER: usize = ",other=4294967295".len();

/// Why something was taken out. In the order of a manifest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Cause {
    /// A rule of the endpoint, the provider or the profile names it.
    Rule(RuleId),
    /// A detector knows the value by its form.
    Detector(&'static str),
    /// One of the endpoint's own secrets is in it.
    Secret,
    /// It holds a document that others may read and the gateway does not.
    Unread,
}

/// One thing that was taken out, as `hookgate redact` shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Removal {
    /// Where it stood: a JSON Pointer.
    pub path: String,
    /// The rule, as a manifest names it.
    pub rule: String,
    /// What was done.
    pub action: Action,
}

/// Notes what is taken out of one body.
#[derive(Default)]
pub(super) struct Tally {
    fired: Vec<Cause>,
    trace: Option<Trace>,
}

/// Where the pass stands, and what it did: only kept where somebody asks.
#[derive(Default)]
struct Trace {
    path: Vec<String>,
    /// One for each cause in `fired`.
    done: Vec<(String, Action)>,
}

impl Tally {
    /// A tally that remembers paths as well.
    pub(super) fn traced() -> Self {
        Self {
            fired: Vec::new(),
            trace: Some(Trace::default()),
        }
    }

    /// Notes that something was taken out here.
    pub(super) fn fire(&mut self, cause: Cause, action: Action) {
        self.fired.push(cause);
        if let Some(trace) = &mut self.trace {
            trace.done.push((trace.path.concat(), action));
        }
    }

    /// Goes down to a value.
    pub(super) fn enter(&mut self, place: impl FnOnce() -> String) {
        if let Some(trace) = &mut self.trace {
            let place = place().replace('~', "~0").replace('/', "~1");
            trace.path.push(format!("/{place}"));
        }
    }

    /// Goes up again.
    pub(super) fn leave(&mut self) {
        if let Some(trace) = &mut self.trace {
            trace.path.pop();
        }
    }

    /// Tells how much was noted so far, for [`Tally::rewind`].
    pub(super) fn mark(&self) -> usize {
        self.fired.len()
    }

    /// Forgets what was noted since.
    pub(super) fn rewind(&mut self, mark: usize) {
        self.fired.truncate(mark);
        if let Some(trace) = &mut self.trace {
            trace.done.truncate(mark);
        }
    }

    /// Returns the way to the current value; empty where nobody asks.
    pub(super) fn path(&self) -> Vec<String> {
        self.trace
            .as_ref()
            .map_or(Vec::new(), |trace| trace.path.clone())
    }

    /// Returns to a value, from whatever is in it.
    pub(super) fn return_to(&mut self, path: Vec<String>) {
        if let Some(trace) = &mut self.trace {
            trace.path = path;
        }
    }

    /// Returns how much was taken out.
    pub(super) fn count(&self) -> u32 {
        u32::try_from(self.fired.len()).unwrap_or(u32::MAX)
    }

    /// Returns what was taken out, in the order of the body.
    pub(super) fn removals(self, rules: &Rulebook) -> Vec<Removal> {
        let done = self.trace.unwrap_or_default().done;
        let removals = self.fired.iter().zip(done);
        let removals = removals.map(|(cause, (path, action))| Removal {
            path,
            rule: label(*cause, rules),
            action,
        });
        removals.collect()
    }

    /// Writes which rules took out how much, such as `key:password=2,secret=1`; empty where nothing
    /// was taken out.
    pub(super) fn manifest(&mut self, rules: &Rulebook) -> String {
        // The order of what was done is not needed any more, unless somebody asks for it.
        let mut fired = match self.trace {
            Some(_) => self.fired.clone(),
            None => std::mem::take(&mut self.fired),
        };
        fired.sort_unstable();
        let (mut manifest, mut other) = (String::new(), 0);
        for same in fired.chunk_by(|one, next| one == next) {
            let entry = format!("{}={}", label(same[0], rules), same.len());
            match manifest.len() + 1 + entry.len() + OTHER > MAX_MANIFEST {
                true => other += same.len(),
                false => append(&mut manifest, &entry),
            }
        }
        if other > 0 {
            append(&mut manifest, &format!("other={other}"));
        }
        manifest
    }
}

fn append(manifest: &mut String, entry: &str) {
    if !manifest.is_empty() {
        manifest.push(',');
    }
    manifest.push_str(entry);
}

fn label(cause: Cause, rules: &Rulebook) -> String {
    match cause {
        Cause::Rule(id) => rules.label(id).to_owned(),
        Cause::Detector(name) => format!("detector:{name}"),
        Cause::Secret => "secret".to_owned(),
        Cause::Unread => "unread".to_owned(),
    }
}

/// Writes a rule's text so that it holds no separator of a manifest: those, percent signs and control
/// characters are percent-encoded.
pub(super) fn labelled(kind: &str, text: &str) -> String {
    let mut label = format!("{kind}:");
    for char in text.chars() {
        let mut written = String::new();
        if matches!(char, ',' | '=' | '%') || char.is_control() {
            let mut bytes = [0; 4];
            for byte in char.encode_utf8(&mut bytes).bytes() {
                let _ = write!(written, "%{byte:02X}");
            }
        } else {
            written.push(char);
        }
        if label.len() + written.len() + '…'.len_utf8() > MAX_LABEL {
            label.push('…');
            break;
        }
        label.push_str(&written);
    }
    label
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_holds_no_separator_and_is_bounded() {
        assert_eq!(labelled("key", "e-mail é"), "key:e-mail é");
        assert_eq!(labelled("value", "a=b,{2}%\n"), "value:a%3Db%2C{2}%25%0A");
        let long = labelled("path", &"/é".repeat(300));
        assert!(long.len() <= MAX_LABEL && long.ends_with('…'), "{long}");
    }

    #[test]
    fn a_manifest_is_sorted_summed_and_bounded() {
        let mut rules = Rulebook::default();
        let ids: Vec<_> = (0..40)
            .map(|at| {
                rules
                    .add("key", &format!("{at:030}"), Action::Mask)
                    .unwrap()
            })
            .collect();
        let mut tally = Tally::default();
        for cause in [Cause::Secret, Cause::Rule(ids[1]), Cause::Secret] {
            tally.fire(cause, Action::Mask);
        }
        let expected = format!("key:{:030}=1,secret=2", 1);
        assert_eq!(tally.manifest(&rules), expected);

        let mut tally = Tally::default();
        for id in &ids {
            tally.fire(Cause::Rule(*id), Action::Mask);
            tally.fire(Cause::Rule(*id), Action::Mask);
        }
        assert_eq!(tally.count(), 80);
        let manifest = tally.manifest(&rules);
        assert!(manifest.len() <= MAX_MANIFEST, "{manifest}");
        let counts = manifest.split(',').map(|entry| {
            let (_, count) = entry.rsplit_once('=').unwrap();
            count.parse::<u32>().unwrap()
        });
        assert_eq!(counts.sum::<u32>(), 80);
        assert!(manifest.contains(",other="), "{manifest}");
        assert_eq!(Tally::default().manifest(&rules), "");
    }
}
