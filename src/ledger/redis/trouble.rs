//! Why a call of Redis failed, and what another try may do about it.

use std::sync::Arc;
use std::time::Duration;

use redis::{ErrorKind, RedisError, ServerErrorKind};

/// Why a command has no answer, or not the one that was asked for.
#[derive(Clone, Debug, thiserror::Error)]
pub(super) enum Trouble {
    #[error(transparent)]
    Redis(Arc<RedisError>),
    #[error("no answer within {0:?}")]
    Silent(Duration),
    #[error("the certificate of {node} is not accepted; ledger.ca_file names who vouches for it")]
    Untrusted {
        node: String,
        #[source]
        source: Arc<RedisError>,
    },
    #[error("the address is a node of a redis cluster: write the url as redis+cluster://")]
    IsCluster,
    #[error("no node of the cluster owns the slot of {0}")]
    NoOwner(String),
    #[error("no node tells how the cluster is laid out")]
    NoLayout(#[source] Option<Box<Trouble>>),
    #[error("no sentinel leads to a master of {service}")]
    NoMaster {
        service: String,
        #[source]
        source: Option<Box<Trouble>>,
    },
    #[error("{node}, which the sentinels name as the master, says that it is a {role}")]
    NotMaster { node: String, role: String },
    #[error(
        "{acknowledged} of the {asked} replica(s) that ledger.durability asks for have it in time"
    )]
    TooFewReplicas { asked: u8, acknowledged: u64 },
    #[error("redis does not have it on disk in time, as ledger.durability asks for")]
    NotOnDisk,
    #[error(
        "ledger.durability is disk, and this redis cannot give that: it has no WAITAOF (which came \
         with 7.2), so it must have appendonly yes and appendfsync always, and has {0}"
    )]
    NoDisk(String),
    #[error("not connected, or not any more")]
    Gone,
}

impl From<RedisError> for Trouble {
    fn from(error: RedisError) -> Self {
        Self::Redis(Arc::new(without_arguments(error)))
    }
}

/// Takes out what Redis repeats of a command that it does not know: to one that is old, or whose `AUTH`
/// or `HELLO` has another name, that is the password.
fn without_arguments(error: RedisError) -> RedisError {
    let told = error
        .detail()
        .and_then(|detail| detail.split_once(REPEATED))
        .map(|(told, _)| told.to_owned());
    match told {
        Some(told) => (error.kind(), "An error was signalled by the server", told).into(),
        None => error,
    }
}

/// What stands before the arguments, in every version.
const REPEATED: &str = ", with args beginning with";

impl Trouble {
    /// Returns the kind of an answer that is an error of Redis.
    pub(super) fn kind(&self) -> Option<ErrorKind> {
        match self {
            Self::Redis(error) => Some(error.kind()),
            _ => None,
        }
    }

    pub(super) fn is(&self, kind: ServerErrorKind) -> bool {
        self.kind() == Some(ErrorKind::Server(kind))
    }

    /// Tells whether another connection may do better: this one is broken, or it leads to a server
    /// that was demoted.
    pub(super) fn breaks_connection(&self) -> bool {
        let broken = matches!(self, Self::Redis(error) if error.is_unrecoverable_error());
        broken || self.is(ServerErrorKind::ReadOnly) || self.is(ServerErrorKind::MasterDown)
    }

    /// Tells whether the connection is of no more use, though another try is not worth it.
    pub(super) fn is_timeout(&self) -> bool {
        matches!(self, Self::Redis(error) if error.is_timeout())
    }

    /// Tells whether Redis does not know the command.
    pub(super) fn is_unknown_command(&self) -> bool {
        let detail = match self {
            Self::Redis(error) => error.detail(),
            _ => None,
        };
        detail.is_some_and(|detail| detail.starts_with("unknown command"))
    }
}
