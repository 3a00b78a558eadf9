//! `hookgate keys`: the public keys with which workers verify what this configuration publishes.

use std::path::Path;
use std::process::ExitCode;

use super::paint::say;
use super::serve::load;
use super::{Failure, paint};

pub(super) fn run(path: &Path) -> Result<ExitCode, Failure> {
    let keys = load(path)?.publisher.provenance.keys();
    if keys.signer.is_none() {
        paint::complain("publisher.signing_key is not set: nothing is signed");
    }
    say(keys.jwk_set().trim_end());
    Ok(ExitCode::SUCCESS)
}
