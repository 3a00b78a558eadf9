//! What [`crate::sealing`] and [`crate::provenance`] have in common: the small words of JOSE.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};

/// Bytes that the id of a key may have: it travels with every signal.
pub const MAX_KEY_ID: usize = 128;

/// Writes bytes in base64url without padding (RFC 7515 section 2).
pub fn base64url(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Reads 32 bytes of base64url without padding; nothing where it is anything else.
pub fn bytes32(text: &str) -> Option<[u8; 32]> {
    URL_SAFE_NO_PAD.decode(text).ok()?.try_into().ok()
}

/// Names a key by the SHA-256 of its public members (RFC 7638), which are given as JSON without white
/// space, in the order of their names.
pub fn thumbprint(members: &str) -> String {
    base64url(Sha256::digest(members))
}
