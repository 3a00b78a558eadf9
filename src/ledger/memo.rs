//! What a mark remembers beside the moment at which it ends: no more than a repeat does not tell itself.
//!
//! A mark and a signalid are made of the same identity. So a repeat found by its mark has the first
//! one's signalid for its own, and nothing need be kept, but for two things that unsigned ids bring:
//!
//! | draft | its deciding mark | remembers |
//! | --- | --- | --- |
//! | [`Identity::Id`] | of the id | nothing |
//! | [`Identity::Content`] | of the content | the tag of the id that came with it, if one did |
//! | [`Identity::Either`] | of the content | the tag of that id, and the signalid, which is made of the id |
//!
//! The mark of an id that came beside content remembers nothing: that it is there is all that is asked.
//! Where a definition has changed what identifies an event, a repeat of what came before is refused like
//! any other, and named as the rule in force would name it.

use super::Recorded;
use crate::signal::{Draft, Identity, Mark, SignalId};

/// How much is kept of the mark of an id beside content, in bytes. It only tells a `duplicate` from a
/// `replayed`: both are refused, and whoever wants to pass for a duplicate need only keep the id.
pub(super) const TAG: usize = 4;

/// Returns the marks that may be written for a draft: the one that decides, and that of an unsigned id.
pub(super) fn marks(identity: &Identity) -> (&Mark, Option<&Mark>) {
    match identity {
        Identity::Id(mark) => (mark, None),
        Identity::Content { content, id } => (content, id.as_ref()),
        Identity::Either { content, id } => (content, Some(id)),
    }
}

/// Returns what the deciding mark of a draft is to remember.
pub(super) fn of(draft: &Draft) -> Vec<u8> {
    match &draft.identity {
        Identity::Id(_) | Identity::Content { id: None, .. } => Vec::new(),
        Identity::Content { id: Some(id), .. } => tag(id).to_vec(),
        Identity::Either { id, .. } => [tag(id), draft.signalid.as_bytes()].concat(),
    }
}

/// Tells what a draft is whose deciding mark is known and remembers `memo`.
pub(super) fn repeat(draft: &Draft, memo: &[u8]) -> Recorded {
    let (tag, name) = memo.split_at(memo.len().min(TAG));
    let first = name.try_into().map_or(draft.signalid, SignalId::from_bytes);
    let own = of(draft);
    let same_id = own.get(..TAG).unwrap_or_default() == tag;
    match draft.identity {
        Identity::Content { .. } | Identity::Either { .. } if !same_id => Recorded::Replayed(first),
        _ => Recorded::Duplicate(first),
    }
}

fn tag(id: &Mark) -> &[u8] {
    &id.as_bytes()[..TAG]
}
