//! Writes what is left of a document, whatever stays in one piece with one copy.

use super::REDACTED_JSON;
use crate::json::{Kind, quote};

/// Writes JSON behind what is in `out` already.
///
/// What stays as it was is only noted at first: as long as piece follows piece in the source without a
/// space between, they are one run, copied when it ends.
pub(super) struct Writer<'o> {
    out: &'o mut Vec<u8>,
    source: &'o [u8],
    /// The run of the source that is not copied yet.
    run: (usize, usize),
    /// Whether what comes next on this level needs a comma.
    comma: bool,
}

/// Where a piece of the source begins and ends.
pub(super) type Piece = (usize, usize);

/// A place in what was written, to go back to.
#[derive(Clone, Copy)]
pub(super) struct Spot {
    length: usize,
    comma: bool,
}

impl<'o> Writer<'o> {
    /// Begins a document of this source.
    pub(super) fn new(source: &'o [u8], out: &'o mut Vec<u8>) -> Self {
        Self {
            out,
            source,
            run: (0, 0),
            comma: false,
        }
    }

    /// Copies a piece of the source that is a value, or the end of one.
    #[inline]
    pub(super) fn keep(&mut self, piece: Piece) {
        self.copy(piece);
        self.comma = true;
    }

    /// Copies a piece of the source that something follows without a comma.
    #[inline]
    pub(super) fn keep_beginning(&mut self, piece: Piece) {
        self.copy(piece);
        self.comma = false;
    }

    /// Copies the piece of the source that closes an object or array.
    #[inline]
    pub(super) fn keep_end(&mut self, piece: Piece) {
        self.comma = false;
        self.keep(piece);
    }

    /// Copies a key of the source; its piece ends behind the colon.
    #[inline]
    pub(super) fn keep_key(&mut self, (from, to): Piece, written: usize) {
        let quoted = from + written + 2;
        if quoted + 1 == to {
            self.keep_beginning((from, to));
        } else {
            self.keep_beginning((from, quoted));
            self.flush();
            self.out.push(b':');
        }
    }

    #[inline]
    fn copy(&mut self, (from, to): Piece) {
        // Between two pieces stand spaces and the comma that is needed: where there is room for no
        // space, both are one.
        let (begin, end) = self.run;
        if begin < end && from == end + usize::from(self.comma) {
            self.run.1 = to;
        } else {
            self.flush();
            self.separate();
            self.run = (from, to);
        }
    }

    /// Where the next member or element begins.
    #[inline]
    pub(super) fn spot(&self) -> Spot {
        Spot {
            length: self.out.len() + self.run.1 - self.run.0,
            comma: self.comma,
        }
    }

    /// Takes back what was written since.
    pub(super) fn go_back(&mut self, spot: Spot) {
        match spot.length.checked_sub(self.out.len()) {
            Some(of_run) => self.run.1 = self.run.0 + of_run,
            None => {
                self.out.truncate(spot.length);
                self.run = (0, 0);
            }
        }
        self.comma = spot.comma;
    }

    /// Writes a string that is not the source's.
    pub(super) fn string(&mut self, text: &str) {
        self.begin();
        quote(text, self.out);
        self.comma = true;
    }

    /// Writes the name of a member.
    pub(super) fn key(&mut self, text: &str) {
        self.string(text);
        self.out.push(b':');
        self.comma = false;
    }

    /// Writes what stands where something was taken out.
    pub(super) fn mark(&mut self) {
        self.raw(REDACTED_JSON);
    }

    /// Writes `null`.
    pub(super) fn null(&mut self) {
        self.raw(b"null");
    }

    /// Opens an object or array that is not the source's.
    pub(super) fn open(&mut self, kind: Kind) {
        self.raw(match kind {
            Kind::Object => b"{",
            Kind::Array => b"[",
        });
        self.comma = false;
    }

    /// Closes it.
    pub(super) fn close(&mut self, kind: Kind) {
        self.comma = false;
        self.raw(match kind {
            Kind::Object => b"}",
            Kind::Array => b"]",
        });
    }

    /// Ends the document.
    pub(super) fn finish(&mut self) {
        self.flush();
    }

    fn raw(&mut self, json: &[u8]) {
        self.begin();
        self.out.extend_from_slice(json);
        self.comma = true;
    }

    fn begin(&mut self) {
        self.flush();
        self.separate();
    }

    fn separate(&mut self) {
        if self.comma {
            self.out.push(b',');
        }
    }

    fn flush(&mut self) {
        let (from, to) = std::mem::take(&mut self.run);
        self.out
            .extend_from_slice(self.source.get(from..to).unwrap_or_default());
    }
}
