//! Core dumps: none, because the memory of this process holds secrets and bodies.
//!
//! Two locks. The limit of zero bytes holds for files; what the kernel pipes to a collector (systemd's,
//! Ubuntu's) it writes whatever the limit, but not of a process that says it is not dumpable. That also
//! keeps debuggers and other processes of the same user from its memory and its environment, as
//! `/proc/PID` belongs to root then: see core(5) and PR_SET_DUMPABLE(2const) of the Linux manual.

use std::ffi::OsStr;

/// The environment variable that allows core dumps. A setting in the configuration would be read after
/// the secrets are in memory.
pub const VARIABLE: &str = "HOOKGATE_CORE_DUMPS";

/// Why core dumps are not turned off.
#[derive(Debug, thiserror::Error)]
pub enum CoreDumpError {
    /// The variable has another value than the one that there is.
    #[error("{VARIABLE} is set and is not `allow`; take it away, and no core is dumped")]
    Variable,
    /// The system does not let the process turn them off.
    #[error(
        "core dumps, which would hold secrets, cannot be turned off; {VARIABLE}=allow starts all the same"
    )]
    Refused(#[from] std::io::Error),
}

/// Turns core dumps off for this process and those that it starts, unless the `setting`, the value of
/// [`VARIABLE`], allows them. To be called before anything secret is in memory.
pub fn forbid(setting: Option<&OsStr>) -> Result<(), CoreDumpError> {
    match setting {
        None => Ok(turn_off()?),
        Some(value) if value == "allow" => Ok(()),
        Some(_) => Err(CoreDumpError::Variable),
    }
}

fn turn_off() -> std::io::Result<()> {
    use rustix::process::{Resource, Rlimit, setrlimit};
    let none = Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    setrlimit(Resource::Core, none)?;
    #[cfg(target_os = "linux")]
    {
        use rustix::process::{DumpableBehavior, set_dumpable_behavior};
        set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_one_word_allows_core_dumps() {
        assert!(forbid(Some(OsStr::new("allow"))).is_ok());
        for other in ["", "1", "true", "Allow", "deny"] {
            let refused = forbid(Some(OsStr::new(other)));
            assert!(matches!(refused, Err(CoreDumpError::Variable)), "{other}");
        }
    }
}
