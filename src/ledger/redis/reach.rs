//! Which connection a command goes by: to the one server, or to the node that owns its shard.

use std::sync::Arc;
use std::time::{Duration, Instant};

use redis::{Client, Cmd, RedisError, Script, ServerErrorKind, Value};

use super::cluster::Cluster;
use super::link::Link;
use super::place::{Access, Place, Shape};
use super::scripts::Shard;
use super::trouble::Trouble;
use super::way::{Login, Sentinels, Way};
use crate::ledger::LedgerError;

/// The servers that hold the ledger.
pub(super) enum Reach {
    /// All shards are in one place.
    One { link: Arc<Link>, name: String },
    /// Each shard is where the cluster has it.
    Cluster(Box<Cluster>),
}

/// What became of one command.
pub(super) struct Answer {
    pub(super) result: Result<Value, Trouble>,
    /// The link that it came by, and the number of its connection; none where nothing was reached.
    pub(super) from: Option<(Arc<Link>, u64)>,
}

/// What one server says, and what it is called.
pub(super) type Told = (String, Vec<Result<Value, Trouble>>);

impl Reach {
    /// Connects on first use.
    pub(super) fn new(
        place: &Place,
        access: &Access,
        timeout: Duration,
        scripts: Arc<[Script]>,
    ) -> Result<Self, LedgerError> {
        if place.shape == Shape::Cluster {
            let cluster = Cluster::new(place, access, timeout, scripts)?;
            return Ok(Self::Cluster(Box::new(cluster)));
        }
        let way = match Sentinels::new(place, access)? {
            Some(sentinels) => Way::Sentinels(sentinels),
            None => Way::Server(client(place, access)?),
        };
        Ok(Self::One {
            link: Arc::new(Link::new(way, timeout, scripts)),
            name: place.to_string(),
        })
    }

    /// Sends each command to the server that holds its shard, all at once, and returns an answer for
    /// each. They must be safe to repeat.
    pub(super) async fn ask(&self, commands: &[(Shard, Cmd)], deadline: Instant) -> Vec<Answer> {
        match self {
            Self::One { link, .. } => {
                let sent: Vec<_> = commands.iter().map(|(_, command)| command).collect();
                let answers = link.ask(&sent, false, deadline).await;
                let from = (answers.number > 0).then(|| (Arc::clone(link), answers.number));
                let results = answers
                    .results
                    .into_iter()
                    .map(|result| result.map_err(explained));
                results
                    .map(|result| Answer {
                        result,
                        from: from.clone(),
                    })
                    .collect()
            }
            Self::Cluster(cluster) => cluster.ask(commands, deadline).await,
        }
    }

    /// Sends commands without keys to every server that holds a shard.
    pub(super) async fn ask_all(&self, commands: &[Cmd], deadline: Instant) -> Vec<Told> {
        match self {
            Self::One { link, name } => {
                let sent: Vec<_> = commands.iter().collect();
                vec![(name.clone(), link.ask(&sent, false, deadline).await.results)]
            }
            Self::Cluster(cluster) => cluster.ask_all(commands, deadline).await,
        }
    }

    /// Returns shards such that every server holds at least one of them.
    pub(super) fn sample(&self, turn: usize) -> Vec<Shard> {
        let mut shards = Shard::all_from(turn);
        if let Self::One { .. } = self {
            shards.truncate(1);
        }
        shards
    }

    /// Lets go of a master that was replaced.
    pub(super) async fn follow(&self, deadline: Instant) {
        if let Self::One { link, .. } = self {
            link.follow(deadline).await;
        }
    }

    /// Says what can be said of the shape.
    pub(super) async fn findings(&self, deadline: Instant) -> Vec<String> {
        match self {
            Self::One { link, .. } => link.findings(deadline).await,
            Self::Cluster(cluster) => cluster.findings(deadline).await,
        }
    }

    /// Lets go of all connections.
    pub(super) fn close(&self) {
        match self {
            Self::One { link, .. } => link.close(),
            Self::Cluster(cluster) => cluster.close(),
        }
    }
}

fn client(place: &Place, access: &Access) -> Result<Client, LedgerError> {
    Login::new(&place.login, access)?
        .client()
        .map_err(|error: RedisError| LedgerError::unavailable("preparing redis", error))
}

/// A server that sends its callers elsewhere is a cluster's, which the URL does not say.
fn explained(trouble: Trouble) -> Trouble {
    match trouble.is(ServerErrorKind::Moved) || trouble.is(ServerErrorKind::Ask) {
        true => Trouble::IsCluster,
        false => trouble,
    }
}
