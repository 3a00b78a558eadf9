//! How safe a record must be before it counts: `ledger.durability`.

use std::fmt;
use std::num::NonZeroU8;

/// What must hold of a record before the provider is told that it was taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// The ledger's own answer is enough. A SQLite ledger is on disk by then; how much a Redis may
    /// lose is up to its settings.
    #[default]
    Memory,
    /// It is on the disk of the server that recorded it.
    Disk,
    /// So many replicas of that server have it too, in memory.
    Replicas(NonZeroU8),
}

impl Durability {
    /// Reads `memory`, `disk` or `replicas:N`.
    pub fn parse(text: &str) -> Result<Self, String> {
        let replicas = |number: &str| number.parse().ok().map(Self::Replicas);
        let durability = match text {
            "memory" => Some(Self::Memory),
            "disk" => Some(Self::Disk),
            _ => text.strip_prefix("replicas:").and_then(replicas),
        };
        durability.ok_or_else(|| {
            "must be \"memory\", \"disk\" or \"replicas:N\", with N from 1 to 255".to_owned()
        })
    }
}

impl fmt::Display for Durability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Memory => f.write_str("memory"),
            Self::Disk => f.write_str("disk"),
            Self::Replicas(number) => write!(f, "replicas:{number}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durability_is_read_as_it_is_shown() {
        for text in ["memory", "disk", "replicas:1", "replicas:255"] {
            assert_eq!(Durability::parse(text).unwrap().to_string(), text);
        }
        for text in [
            "",
            "Memory",
            "replicas",
            "replicas:",
            "replicas:0",
            "replicas:256",
        ] {
            assert!(Durability::parse(text).is_err(), "{text}");
        }
    }
}
