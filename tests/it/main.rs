//! What drives real servers and the real binary.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod cli;
mod gateway;
mod ledger;
mod outbox;
mod promises;
mod publisher;
mod support;
