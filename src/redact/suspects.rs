//! Where in a body something may be that a detector knows: one cheap pass over the bytes spares all
//! strings that hold nothing a closer look.

use super::Redactor;
use super::tally::Cause;
use crate::json::Scanner;

/// How closely a text must be looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Look {
    /// It holds nothing.
    Away,
    /// It may hold something.
    Closer,
    /// It was not in the body as it is now.
    Afresh,
}

/// The places of one document that may hold something, in order.
#[derive(Default)]
pub(super) struct Suspects {
    at: Vec<usize>,
    next: usize,
    /// Whether nothing is looked for.
    idle: bool,
}

impl Suspects {
    /// Tells how to look at the scanner's last token.
    #[inline]
    pub(super) fn look(&mut self, scanner: &Scanner<'_>, is_escaped: bool) -> Look {
        if self.idle {
            return Look::Away;
        }
        if is_escaped {
            return Look::Afresh;
        }
        while let Some(at) = self.at.get(self.next) {
            if *at >= scanner.end() {
                break;
            }
            if *at >= scanner.start() {
                return Look::Closer;
            }
            self.next += 1;
        }
        Look::Away
    }
}

impl Redactor {
    /// Finds the suspects of a document.
    pub(super) fn suspects(&self, text: &str) -> Suspects {
        let mut suspects = Suspects::default();
        match &self.rules.detectors {
            Some(detectors) => detectors.suspects(text.as_bytes(), &mut suspects.at),
            None => suspects.idle = true,
        }
        suspects
    }

    /// Tells whether a text may hold something that a detector knows.
    pub(super) fn is_suspect(&self, text: &str, look: Look) -> bool {
        match (look, &self.rules.detectors) {
            (Look::Away, _) | (_, None) => false,
            (Look::Closer, Some(_)) => true,
            (Look::Afresh, Some(detectors)) => {
                let mut at = Vec::new();
                detectors.suspects(text.as_bytes(), &mut at);
                !at.is_empty()
            }
        }
    }

    /// Returns what a detector finds first in a text.
    pub(super) fn detected(&self, text: &str, look: Look) -> Option<Cause> {
        if !self.is_suspect(text, look) {
            return None;
        }
        let mut found = Vec::new();
        self.rules.detectors.as_ref()?.find(text, &mut found);
        let first = found.first()?;
        Some(Cause::Detector(first.detector))
    }
}
