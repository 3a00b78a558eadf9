//! Hookgate, the front door for webhooks.
//!
//! It takes deliveries from SaaS providers over public HTTP, proves that they are authentic and
//! new, strips what must not be kept, records each as a *signal*, and publishes it to workers.
//!
//! The modules follow the way of a delivery, so that who knows the way knows the tree:
//!
//! ```text
//! accept → route → limits → verify → handshake → identify → admit → redact → record → publish → answer
//! server   route   limits   verify   handshake   identify   route   redact   ledger   outbox    outcome
//!                                                                   envelope          publisher
//!                                                                                     relay
//! ```
//!
//! [`intake`] tells the story in one screen. Invariants that hold everywhere:
//!
//! - `verify`, `identify` and `redact` are pure: bytes, keys and `now` in, a verdict out.
//! - Only [`verify::Verifier::verify`] makes a [`verify::Verified`] delivery.
//! - Only [`app`] knows all parts; intake knows the traits [`ledger::Ledger`] and
//!   [`publisher::Publisher`], never a backend.
//! - Only [`outcome`] knows statuses and reason words; only [`clock`] reads the clock.
//! - [`keys`] fetches only what a definition pins, and nothing else fetches.
//! - No vendor is named outside `providers/`, the table of key formats in `redact/detect`, the demo and tests.
//! - Every task belongs to a [`shutdown::Drain`], and everything that grows has a named bound.

#![forbid(unsafe_code)]

pub mod address;
pub mod admin;
pub mod app;
pub mod batch;
pub mod cli;
pub mod clock;
pub mod config;
pub mod coredump;
pub mod delivery;
pub mod envelope;
pub mod handshake;
pub mod identify;
pub mod intake;
pub mod jose;
pub mod json;
pub mod keys;
pub mod ledger;
pub mod limits;
pub mod metrics;
pub mod multipart;
pub mod outbox;
pub mod outcome;
pub mod provenance;
pub mod provider;
pub mod publisher;
pub mod redact;
pub mod relay;
pub mod route;
pub mod sealing;
pub mod server;
pub mod shutdown;
pub mod signal;
pub mod telemetry;
pub mod verify;
