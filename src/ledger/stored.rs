//! An envelope as ledgers keep it: as it is, or with its tail compressed where that pays.
//!
//! The id of an envelope is decided when it is recorded, so that only what follows it is compressed:
//!
//! ```text
//! {…}                                                                          as it is
//! 01, length of the tail (4 bytes, little-endian), head and id, 00, LZ4 block  compressed
//! ```
//!
//! JSON text holds no control character unescaped, so that its own first byte is never 01, and the
//! first 00 is behind the id. The length stands in front for `lease.lua`, which counts what it leases.

use std::borrow::Cow;

use bytes::Bytes;
use lz4_flex::block;

use crate::signal::{Envelope, Signal};

/// Tails of fewer bytes stay as they are: below, LZ4 saves a fifth at best.
const WORTH_TRYING: usize = 2 << 10;
/// What compressing has to save, as a part of the tail.
const WORTH_KEEPING: usize = 8;
/// What one byte of an LZ4 block can become at most.
const MOST_PER_BYTE: usize = 255;
const COMPRESSED: u8 = 1;

/// What stands before and behind the id of an envelope, as it is stored.
pub(super) struct Stored<'e> {
    pub(super) head: Cow<'e, [u8]>,
    pub(super) tail: Cow<'e, [u8]>,
}

impl<'e> Stored<'e> {
    /// Compresses the tail of an envelope if that pays.
    pub(super) fn of(envelope: &'e Envelope) -> Self {
        Self::compressed(envelope).unwrap_or(Self {
            head: envelope.head.as_bytes().into(),
            tail: Cow::Borrowed(&envelope.tail),
        })
    }

    /// Puts the whole together around an id.
    pub(super) fn around(&self, id: &str) -> Vec<u8> {
        [&self.head, id.as_bytes(), &self.tail].concat()
    }

    fn compressed(envelope: &Envelope) -> Option<Self> {
        let raw = &envelope.tail;
        let length = u32::try_from(raw.len()).ok()?;
        if raw.len() < WORTH_TRYING {
            return None;
        }
        let mut tail = vec![0; 1 + block::get_maximum_output_size(raw.len())];
        let size = block::compress_into(raw, &mut tail[1..]).ok()?;
        if size > raw.len() - raw.len() / WORTH_KEEPING {
            return None;
        }
        tail.truncate(1 + size);
        let length = length.to_le_bytes();
        let head = [&[COMPRESSED][..], &length, envelope.head.as_bytes()].concat();
        Some(Self {
            head: head.into(),
            tail: tail.into(),
        })
    }
}

/// Returns how many bytes an envelope has that was stored, or what a damaged one claims.
pub(super) fn size(stored: &[u8]) -> usize {
    match stored {
        [COMPRESSED, a, b, c, d, ..] => {
            let length = u32::from_le_bytes([*a, *b, *c, *d]);
            stored
                .len()
                .saturating_add(length.try_into().unwrap_or(usize::MAX))
        }
        _ => stored.len(),
    }
}

/// Reads a signal as it was stored. The error says why it cannot be read.
pub(super) fn read(stored: Vec<u8>) -> Result<Signal, String> {
    let envelope = match stored.split_first() {
        Some((&COMPRESSED, rest)) => decompress(rest)?.into(),
        _ => Bytes::from(stored),
    };
    Signal::from_envelope(envelope).map_err(|unreadable| unreadable.to_string())
}

fn decompress(stored: &[u8]) -> Result<Vec<u8>, &'static str> {
    const DAMAGED: &str = "a compressed envelope is damaged";
    let (length, rest) = stored.split_first_chunk::<4>().ok_or(DAMAGED)?;
    let length = usize::try_from(u32::from_le_bytes(*length)).map_err(|_| DAMAGED)?;
    let end = memchr::memchr(0, rest).ok_or(DAMAGED)?;
    let (front, block) = (&rest[..end], &rest[end + 1..]);
    if length / MOST_PER_BYTE > block.len() {
        return Err(DAMAGED);
    }
    let mut envelope = front.to_vec();
    envelope.resize(front.len() + length, 0);
    match block::decompress_into(block, &mut envelope[front.len()..]) {
        Ok(size) if size == length => Ok(envelope),
        _ => Err(DAMAGED),
    }
}

#[cfg(test)]
mod tests {
    use sha2::{Digest, Sha256};

    use super::*;

    fn envelope(data: &str) -> Envelope {
        let tail = format!(
            r#","type":"p.x","tenant":"t","endpoint":"n","provider":"p","signalid":"8f0c6d0e-0000-8000-8000-000000000000","receivedtime":"2026-01-05T10:00:00Z","traceparent":"00-0-0-01","data":"{data}"}}"#
        );
        Envelope {
            head: r#"{"id":"#,
            id: r#""évt\u0000""#.to_owned(),
            completed_id: r#""other""#.to_owned(),
            tail: tail.into(),
        }
    }

    #[test]
    fn what_is_stored_reads_back_under_either_id() {
        for data in [
            "small".to_owned(),
            "large, and much the same; ".repeat(1000),
        ] {
            let envelope = envelope(&data);
            let stored = Stored::of(&envelope);
            for (id, conflict) in [(&envelope.id, false), (&envelope.completed_id, true)] {
                let signal = read(stored.around(id)).unwrap();
                assert_eq!(signal.envelope, envelope.whole(conflict));
            }
        }
    }

    #[test]
    fn only_what_pays_is_compressed() {
        let size = |data: &str| Stored::of(&envelope(data)).around("").len();
        assert!(size(&"the same again; ".repeat(1000)) < 2000);
        assert!(Stored::compressed(&envelope(&"x".repeat(WORTH_TRYING / 2))).is_none());
        // LZ4 finds nothing in the digits of digests.
        let digits = |n: u32| hex::encode(Sha256::digest(n.to_be_bytes()));
        let noise: String = (0..100).map(digits).collect();
        assert!(Stored::compressed(&envelope(&noise)).is_none());
    }

    #[test]
    fn a_damaged_envelope_is_told_and_sets_no_memory_aside() {
        let whole = Stored::of(&envelope(&"large; ".repeat(1000))).around("\"x\"");
        for (at, byte) in [(1, 0xff), (4, 0xff), (whole.len() - 1, 0x7f)] {
            let mut damaged = whole.clone();
            damaged[at] = byte;
            assert!(read(damaged).is_err(), "{at}");
        }
        for short in [
            &whole[..1],
            &whole[..4],
            &whole[..12],
            &whole[..whole.len() / 2],
        ] {
            assert!(read(short.to_vec()).is_err(), "{}", short.len());
        }
    }
}
