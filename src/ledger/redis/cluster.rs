//! A Redis Cluster: each shard's keys are in one slot, and a slot is at one node, until it moves.
//!
//! The layout is asked of the nodes and kept. A node that does not own a slot (any more) says who does,
//! and is believed; a node that is lost makes the layout be asked again. Each node has its own link, so
//! that one that is gone is no hindrance to the others. A slot that moves is served by the old node or
//! by the new one, and for a script's keys that are new by neither until it has moved.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use futures_util::stream::{FuturesUnordered, StreamExt};
use redis::{Cmd, RedisError, Script, ServerErrorKind, Value};
use tokio::time::timeout_at;

use super::findings;
use super::link::{Link, Pauses, pauses};
use super::place::{Access, Place};
use super::reach::{Answer, Told};
use super::scripts::Shard;
use super::trouble::Trouble;
use super::way::{self, Login, Node, Way};
use crate::clock;
use crate::ledger::LedgerError;

/// How many slots a cluster has.
const SLOTS: u16 = 16_384;
/// How often one command may be sent on to another node.
const MAX_REDIRECTS: usize = 5;
/// How long a command waits where its keys are between two nodes.
const TRY_AGAIN: Duration = Duration::from_millis(25);
/// How long a layout holds at least before it is asked again.
const LAYOUT_HOLDS: Duration = Duration::from_millis(100);

/// The nodes of a cluster, as far as they hold shards.
pub(super) struct Cluster {
    login: Login,
    seeds: Vec<Node>,
    timeout: Duration,
    scripts: Arc<[Script]>,
    layout: Mutex<Layout>,
    /// Held by the one caller who asks for the layout.
    asking: tokio::sync::Mutex<()>,
}

struct Layout {
    owners: BTreeMap<Shard, Node>,
    links: BTreeMap<Node, Arc<Link>>,
    /// When it may be asked again.
    not_before: Option<Instant>,
    /// The pauses between attempts that fail.
    pauses: Pauses,
    /// Why the last one failed.
    trouble: Option<Trouble>,
}

/// Who owns the shards, or why nobody says.
type Found = Result<BTreeMap<Shard, Node>, Trouble>;

impl Default for Layout {
    fn default() -> Self {
        Self {
            owners: BTreeMap::new(),
            links: BTreeMap::new(),
            not_before: None,
            pauses: pauses(),
            trouble: None,
        }
    }
}

impl Layout {
    fn pause(&mut self) {
        let pause = self.pauses.next().unwrap_or(LAYOUT_HOLDS);
        self.not_before = Some(clock::instant() + pause);
    }

    fn learn(&mut self, found: Found) {
        match found {
            Ok(owners) => {
                self.links
                    .retain(|node, _| owners.values().any(|owner| owner == node));
                self.owners = owners;
                self.trouble = None;
                self.pauses = pauses();
                self.not_before = Some(clock::instant() + LAYOUT_HOLDS);
            }
            Err(trouble) => self.trouble = Some(trouble),
        }
    }

    fn owner(&self, shard: Shard) -> Result<Node, Trouble> {
        let owner = self.owners.get(&shard).cloned();
        owner.ok_or_else(|| match &self.trouble {
            Some(trouble) => Trouble::NoLayout(Some(Box::new(trouble.clone()))),
            None => Trouble::NoOwner(shard.tag()),
        })
    }
}

/// Where a command goes next.
enum Next {
    /// It is answered, or nothing more can be done for it.
    Done,
    /// To this node, which owns the slot from now on.
    Owner(Node),
    /// To this node, for this time only.
    Asking(Node),
    /// To the same node, in a while.
    Later,
    /// To the owner, if it is another one by now.
    Lost,
}

impl Cluster {
    pub(super) fn new(
        place: &Place,
        access: &Access,
        timeout: Duration,
        scripts: Arc<[Script]>,
    ) -> Result<Self, LedgerError> {
        let seed = |host| Ok(Login::new(host, access)?.node());
        Ok(Self {
            login: Login::new(&place.login, access)?,
            seeds: place
                .hosts
                .iter()
                .map(seed)
                .collect::<Result<_, LedgerError>>()?,
            timeout,
            scripts,
            layout: Mutex::default(),
            asking: tokio::sync::Mutex::default(),
        })
    }

    /// Sends each command to the node that owns its shard, all nodes at once.
    pub(super) async fn ask(&self, commands: &[(Shard, Cmd)], deadline: Instant) -> Vec<Answer> {
        let mut answers: Vec<Option<Answer>> = commands.iter().map(|_| None).collect();
        let mut left: Vec<(usize, Option<Node>)> = (0..commands.len()).map(|n| (n, None)).collect();
        let mut redirects = 0;
        while !left.is_empty() && redirects <= MAX_REDIRECTS {
            if !self.knows(left.iter().map(|(n, _)| commands[*n].0)) {
                self.lay_out(deadline).await;
            }
            let sent_to = self.send(commands, &left, &mut answers, deadline).await;
            let (again, waits) = self
                .settle(commands, &left, &sent_to, &answers, deadline)
                .await;
            left = again;
            // What waits goes on until it is late.
            redirects += usize::from(!waits);
        }
        let unanswered = || Answer {
            result: Err(Trouble::Silent(self.timeout)),
            from: None,
        };
        answers
            .into_iter()
            .map(|answer| answer.unwrap_or_else(unanswered))
            .collect()
    }

    /// Sends commands without keys to every node that owns a shard.
    pub(super) async fn ask_all(&self, commands: &[Cmd], deadline: Instant) -> Vec<Told> {
        if !self.knows(Shard::all_from(0)) {
            self.lay_out(deadline).await;
        }
        let nodes: std::collections::BTreeSet<_> = self.layout().owners.values().cloned().collect();
        let commands: &Vec<_> = &commands.iter().collect();
        let told = nodes.into_iter().map(|node| async move {
            let results = match self.link(&node) {
                Ok(link) => link.ask(commands, false, deadline).await.results,
                Err(trouble) => vec![Err(trouble); commands.len()],
            };
            (shown(&node), results)
        });
        join_all(told).await
    }

    /// Says how the cluster is, and over how many nodes the shards are spread.
    pub(super) async fn findings(&self, deadline: Instant) -> Vec<String> {
        let command = redis::cmd("CLUSTER").arg("INFO").to_owned();
        let told = self.ask_all(&[command], deadline).await;
        let (holders, mut answers) = (told.len(), told.into_iter().flat_map(|(_, told)| told));
        let info = answers.find_map(|answer| read::<String>(answer.ok()?));
        vec![findings::of_cluster(&info.unwrap_or_default(), holders)]
    }

    /// Lets go of all connections.
    pub(super) fn close(&self) {
        self.layout().links.values().for_each(|link| link.close());
    }

    /// Sends what is left to where it belongs, puts the answers in their places, and returns the node
    /// that each was sent to.
    async fn send(
        &self,
        commands: &[(Shard, Cmd)],
        left: &[(usize, Option<Node>)],
        answers: &mut [Option<Answer>],
        deadline: Instant,
    ) -> Vec<Option<Node>> {
        let mut groups: BTreeMap<(Node, bool), Vec<usize>> = BTreeMap::new();
        let mut sent_to = Vec::with_capacity(left.len());
        for (n, asking) in left {
            let shard = commands[*n].0;
            let node = match asking {
                Some(node) => Ok(node.clone()),
                None => self.layout().owner(shard),
            };
            sent_to.push(node.as_ref().ok().cloned());
            match node {
                Ok(node) => groups.entry((node, asking.is_some())).or_default().push(*n),
                Err(trouble) => answers[*n] = Some(failed(trouble)),
            }
        }
        let sent = groups
            .into_iter()
            .map(|((node, asking), group)| async move {
                let link = self.link(&node);
                let some: Vec<_> = group.iter().map(|&n| &commands[n].1).collect();
                let answers = match link {
                    Ok(link) => {
                        let answers = link.ask(&some, asking, deadline).await;
                        let from = (answers.number > 0).then_some((link, answers.number));
                        let answer = |result| Answer {
                            result,
                            from: from.clone(),
                        };
                        answers.results.into_iter().map(answer).collect()
                    }
                    Err(trouble) => some
                        .iter()
                        .map(|_| failed(trouble.clone()))
                        .collect::<Vec<_>>(),
                };
                group.into_iter().zip(answers)
            });
        for (n, answer) in join_all(sent).await.into_iter().flatten() {
            // Where time ran out between two tries, what the node had said tells more than silence.
            let silent = matches!(answer.result, Err(Trouble::Silent(_)));
            if !silent || answers[n].is_none() {
                answers[n] = Some(answer);
            }
        }
        sent_to
    }

    /// Decides which commands are to be sent again, and to whom, and whether some had to wait. Keeps
    /// what is learned of the layout.
    async fn settle(
        &self,
        commands: &[(Shard, Cmd)],
        left: &[(usize, Option<Node>)],
        sent_to: &[Option<Node>],
        answers: &[Option<Answer>],
        deadline: Instant,
    ) -> (Vec<(usize, Option<Node>)>, bool) {
        let (mut again, mut lost, mut waits) = (Vec::new(), Vec::new(), false);
        let in_time = clock::instant() + TRY_AGAIN < deadline;
        for ((n, _), sent_to) in left.iter().zip(sent_to) {
            let shard = commands[*n].0;
            match next(answers[*n].as_ref(), sent_to.as_ref()) {
                Next::Done => {}
                Next::Owner(node) => {
                    self.layout().owners.insert(shard, node);
                    again.push((*n, None));
                }
                Next::Asking(node) => again.push((*n, Some(node))),
                Next::Later if in_time => {
                    waits = true;
                    again.push((*n, None));
                }
                Next::Later => {}
                Next::Lost => lost.push((*n, shard, sent_to)),
            }
        }
        if !lost.is_empty() {
            // There may be no time left to ask now: then the next call does.
            lost.iter()
                .for_each(|(_, shard, _)| drop(self.layout().owners.remove(shard)));
            self.lay_out(deadline).await;
            let layout = self.layout();
            let elsewhere = |shard, old: &Option<Node>| {
                let owner = layout.owners.get(shard);
                owner.is_some() && owner != old.as_ref()
            };
            let moved = lost.iter().filter(|(_, shard, old)| elsewhere(shard, old));
            again.extend(moved.map(|(n, ..)| (*n, None)));
        }
        if waits {
            tokio::time::sleep(TRY_AGAIN).await;
        }
        (again, waits)
    }

    /// Asks how the cluster is laid out, unless that was done just now: first the nodes that a
    /// connection leads to, then all that are known, those of the URL among them. Whoever comes
    /// meanwhile waits for the answer.
    async fn lay_out(&self, deadline: Instant) {
        let came = clock::instant();
        let Ok(_one_at_a_time) = timeout_at(deadline.into(), self.asking.lock()).await else {
            return;
        };
        let (open, mut known) = {
            let mut layout = self.layout();
            if layout.not_before.is_some_and(|moment| came < moment) {
                return;
            }
            // Noted before trying, because the caller may give up half-way.
            layout.pause();
            let open = layout.links.iter().filter(|(_, link)| link.is_open());
            let open: Vec<_> = open
                .map(|(node, link)| (node.clone(), Arc::clone(link)))
                .collect();
            (open, layout.links.keys().cloned().collect::<Vec<_>>())
        };
        let half = clock::instant() + deadline.saturating_duration_since(clock::instant()) / 2;
        let asked = open.iter().map(|(node, link)| ask_open(node, link, half));
        let mut found = first_good(asked.collect()).await;
        if found.is_err() {
            known.extend(self.seeds.iter().cloned());
            known.sort();
            known.dedup();
            let asked = known.iter().map(|node| self.ask_anew(node, deadline));
            found = first_good(asked.collect()).await;
        }
        self.layout().learn(found);
    }

    /// Asks a node by a connection for this alone, which nobody misses when another node is faster.
    async fn ask_anew(&self, node: &Node, deadline: Instant) -> Found {
        let asked = async {
            let way = Way::Server(self.login.client_at(node)?);
            let (mut connection, _) = way.connect(&way::config(self.timeout), deadline).await?;
            let answer: Value = slots().query_async(&mut connection).await?;
            owners(answer, &node.0).ok_or(Trouble::NoLayout(None))
        };
        let late = |_| Err(Trouble::Silent(self.timeout));
        timeout_at(deadline.into(), asked)
            .await
            .unwrap_or_else(late)
    }

    fn knows(&self, shards: impl IntoIterator<Item = Shard>) -> bool {
        let layout = self.layout();
        shards
            .into_iter()
            .all(|shard| layout.owners.contains_key(&shard))
    }

    fn link(&self, node: &Node) -> Result<Arc<Link>, Trouble> {
        let mut layout = self.layout();
        if let Some(link) = layout.links.get(node) {
            return Ok(Arc::clone(link));
        }
        let way = Way::Server(self.login.client_at(node)?);
        let link = Arc::new(Link::new(way, self.timeout, Arc::clone(&self.scripts)));
        layout.links.insert(node.clone(), Arc::clone(&link));
        Ok(link)
    }

    fn layout(&self) -> MutexGuard<'_, Layout> {
        self.layout.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn failed(trouble: Trouble) -> Answer {
    Answer {
        result: Err(trouble),
        from: None,
    }
}

/// Reads from an answer where the command is to go next.
fn next(answer: Option<&Answer>, sent_to: Option<&Node>) -> Next {
    let Some(Err(trouble)) = answer.map(|answer| &answer.result) else {
        return Next::Done;
    };
    let Trouble::Redis(error) = trouble else {
        return Next::Lost;
    };
    let target = || {
        let (address, _) = error.redirect_node()?;
        let (host, port) = address.rsplit_once(':')?;
        // Without a host it is the one that answered.
        let host = if host.is_empty() { &sent_to?.0 } else { host };
        Some((host.to_owned(), port.parse().ok()?))
    };
    if trouble.is(ServerErrorKind::Moved) {
        target().map_or(Next::Lost, Next::Owner)
    } else if trouble.is(ServerErrorKind::Ask) {
        target().map_or(Next::Lost, Next::Asking)
    } else if trouble.is(ServerErrorKind::TryAgain) {
        Next::Later
    } else if trouble.breaks_connection()
        || trouble.is_timeout()
        || error.is_io_error()
        || trouble.is(ServerErrorKind::ClusterDown)
    {
        Next::Lost
    } else {
        Next::Done
    }
}

fn slots() -> Cmd {
    redis::cmd("CLUSTER").arg("SLOTS").to_owned()
}

/// Asks a node by a connection that there is.
async fn ask_open(node: &Node, link: &Link, deadline: Instant) -> Found {
    let mut answers = link.ask(&[&slots()], false, deadline).await.results;
    let answer = answers.pop().unwrap_or(Err(Trouble::Gone))?;
    owners(answer, &node.0).ok_or(Trouble::NoLayout(None))
}

/// Returns the first good answer, or the last reason for none.
async fn first_good(mut asked: FuturesUnordered<impl Future<Output = Found>>) -> Found {
    let mut trouble = Trouble::NoLayout(None);
    while let Some(found) = asked.next().await {
        match found {
            Ok(owners) => return Ok(owners),
            Err(why) => trouble = why,
        }
    }
    Err(trouble)
}

/// Reads the answer to `CLUSTER SLOTS`: who owns the slots of the shards. A node without a host is the
/// one that was `asked`.
fn owners(answer: Value, asked: &str) -> Option<BTreeMap<Shard, Node>> {
    let ranges: Vec<Vec<Value>> = read(answer)?;
    let mut owners = BTreeMap::new();
    for range in ranges {
        let [first, last, master, ..] =
            <[Value; 3]>::try_from(range.into_iter().take(3).collect::<Vec<_>>()).ok()?;
        let (first, last): (u16, u16) = (read(first)?, read(last)?);
        let master: Vec<Value> = read(master)?;
        let mut master = master.into_iter();
        let (host, port): (Option<String>, u16) = (read(master.next()?)?, read(master.next()?)?);
        let host = host.filter(|host| !host.is_empty() && host != "?");
        let node = (host.unwrap_or_else(|| asked.to_owned()), port);
        let here = Shard::all_from(0).into_iter();
        let here = here.filter(|shard| (first..=last).contains(&slot(&shard.tag())));
        owners.extend(here.map(|shard| (shard, node.clone())));
    }
    (!owners.is_empty()).then_some(owners)
}

fn read<T: redis::FromRedisValue>(value: Value) -> Option<T> {
    redis::from_redis_value(value)
        .map_err(RedisError::from)
        .ok()
}

/// Returns the slot of a hash tag: its CRC-16 (XMODEM), by the specification of Redis Cluster.
fn slot(tag: &str) -> u16 {
    let crc = tag.bytes().fold(0_u16, |crc, byte| {
        (0..8).fold(crc ^ (u16::from(byte) << 8), |crc, _| match crc & 0x8000 {
            0 => crc << 1,
            _ => (crc << 1) ^ 0x1021,
        })
    });
    crc % SLOTS
}

fn shown((host, port): &Node) -> String {
    format!("{host}:{port}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_is_the_one_of_the_specification() {
        // From its appendix, and from `CLUSTER KEYSLOT`.
        assert_eq!(slot("123456789"), 0x31C3);
        let shards = [0, 1, 15].map(|n| slot(&Shard::all_from(0)[n].tag()));
        assert_eq!(shards, [15963, 11898, 4510]);
    }

    #[test]
    fn a_layout_is_read_and_a_node_without_a_host_is_the_one_asked() {
        let text = |text: &str| Value::BulkString(text.as_bytes().to_vec());
        let range = |first, last, host: Value, port| {
            let node = Value::Array(vec![host, Value::Int(port), text("id")]);
            Value::Array(vec![Value::Int(first), Value::Int(last), node])
        };
        let answer = Value::Array(vec![
            range(0, 5000, text("10.0.0.1"), 7001),
            range(5001, 12_000, Value::Nil, 7002),
        ]);
        let owners = owners(answer, "seed").unwrap();
        let all = Shard::all_from(0);
        assert_eq!(owners[&all[15]], ("10.0.0.1".to_owned(), 7001));
        assert_eq!(owners[&all[1]], ("seed".to_owned(), 7002));
        assert_eq!(owners.get(&all[0]), None);
        assert!(super::owners(Value::Nil, "seed").is_none());
    }

    #[test]
    fn a_command_goes_where_the_answer_sends_it() {
        let asked = ("10.0.0.1".to_owned(), 7001);
        let of = |answer: &str| {
            let Ok(Value::ServerError(error)) = redis::parse_redis_value(answer.as_bytes()) else {
                panic!("{answer}");
            };
            next(Some(&failed(RedisError::from(error).into())), Some(&asked))
        };
        let moved = |host: &'static str, port| move |next: Next| matches!(next, Next::Owner(to) if to == (host.to_owned(), port));
        assert!(moved("10.0.0.2", 7002)(of("-MOVED 3492 10.0.0.2:7002\r\n")));
        assert!(moved("10.0.0.1", 7002)(of("-MOVED 3492 :7002\r\n")));
        assert!(moved("::1", 7002)(of("-MOVED 3492 ::1:7002\r\n")));
        assert!(matches!(of("-ASK 3492 10.0.0.2:7002\r\n"), Next::Asking(_)));
        assert!(matches!(of("-TRYAGAIN in a while\r\n"), Next::Later));
        assert!(matches!(of("-CLUSTERDOWN it is\r\n"), Next::Lost));
        assert!(matches!(of("-OOM full\r\n"), Next::Done));
        let silent = failed(Trouble::Silent(Duration::ZERO));
        assert!(matches!(next(Some(&silent), Some(&asked)), Next::Lost));
    }
}
