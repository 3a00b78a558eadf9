//! The course of a campaign: load all the time, rounds of faults, and after each the system must come
//! back by itself. At the end everything that anybody said is compared.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use futures_util::future::{join, join_all};
use hookgate::clock;
use tokio::sync::mpsc::unbounded_channel;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::book::{Book, Broken, Counts, Offences};
use super::consumer::{consume, waiting};
use super::events::{Endpoint, Parcel};
use super::faults::{Made, fail_over, inject};
use super::plan::{Fault, Kind, Plan, REPLICAS};
use super::senders::{Later, Pace, probe, send};
use super::site::Site;

/// How long the system may take to come back after a round of faults, and to be quiet at the end. Long,
/// because machines are slow.
const COMES_BACK: Duration = Duration::from_secs(120);

/// How often it is looked at.
const LOOK: Duration = Duration::from_millis(20);

/// How long deliveries run before a failover that waits for nothing.
const BEFORE_FAILOVER: Duration = Duration::from_secs(2);

/// What senders and consumer share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) seed: u64,
    pub(crate) endpoints: Arc<Vec<Endpoint>>,
    /// Where providers reach each replica.
    pub(crate) ports: [u16; REPLICAS],
    pub(crate) pace: Pace,
    pub(crate) later: Later,
    book: Mutex<Book>,
    turn: AtomicUsize,
    enough: AtomicBool,
    over: AtomicBool,
}

impl Shared {
    fn new(plan: &Plan, site: &Site) -> Self {
        Self {
            seed: plan.seed,
            endpoints: Arc::clone(&site.endpoints),
            ports: std::array::from_fn(|at| site.replicas[at].links.port()),
            pace: Pace::new(plan.rate),
            later: Later::default(),
            book: Mutex::default(),
            turn: AtomicUsize::new(0),
            enough: AtomicBool::new(false),
            over: AtomicBool::new(false),
        }
    }

    pub(crate) fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap()
    }

    /// Whether no new parcels are to be sent.
    pub(crate) fn enough(&self) -> bool {
        self.enough.load(Ordering::Relaxed)
    }

    /// Whether nobody is to try again.
    pub(crate) fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    /// Makes a parcel of new events for the next endpoint.
    pub(crate) fn new_parcel(&self) -> Parcel {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        self.new_parcel_of(turn % self.endpoints.len())
    }

    /// Makes a parcel of new events for an endpoint.
    pub(crate) fn new_parcel_of(&self, endpoint: usize) -> Parcel {
        let many = Parcel::many_from(&self.endpoints, endpoint);
        let first = self.book().begin(many, endpoint);
        Parcel::new(&self.endpoints, endpoint, first)
    }
}

/// How long the system took to come back from the last fault of a round.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Recovery {
    /// Until every replica accepted a new delivery.
    pub(crate) accepting: Duration,
    /// Until the consumer had everything that was acknowledged before the fault ended.
    pub(crate) caught_up: Duration,
}

/// When the system was back.
#[derive(Clone, Copy, Debug)]
struct Back {
    accepting: Instant,
    caught_up: Instant,
}

/// What came of the faults while every gateway had a spool.
#[derive(Clone, Debug, Default)]
pub(crate) struct Spooling {
    pub(crate) faults: BTreeMap<Kind, usize>,
    pub(crate) acknowledged: u64,
    pub(crate) refused: u64,
    /// Nobody can know what Redis has when it is away: whichever replica has kept it accepts it.
    pub(crate) accepted_twice: u64,
    /// Whatever was broken beside that.
    pub(crate) offences: Offences,
}

/// What came of failovers that left something behind.
#[derive(Clone, Debug, Default)]
pub(crate) struct Unwaited {
    pub(crate) failovers: usize,
    pub(crate) acknowledged: u64,
    pub(crate) lost: u64,
    pub(crate) accepted_twice: u64,
    /// Whatever else was broken: asynchronous replication is no excuse for it.
    pub(crate) offences: Offences,
}

/// What a campaign found.
#[derive(Debug)]
pub(crate) struct Findings {
    pub(crate) faults: BTreeMap<Kind, usize>,
    pub(crate) recoveries: BTreeMap<Kind, Vec<Recovery>>,
    pub(crate) counts: Counts,
    pub(crate) events: usize,
    pub(crate) published: usize,
    pub(crate) parked: usize,
    pub(crate) compared: usize,
    /// Of the workers, each of which gets the events of one endpoint.
    pub(crate) effects: usize,
    pub(crate) offences: Offences,
    pub(crate) spooling: Spooling,
    pub(crate) unwaited: Unwaited,
    pub(crate) took: Duration,
    pub(crate) clock_jumps: bool,
    pub(crate) versions: [String; 2],
    /// Where the logs are, if something was broken.
    pub(crate) logs: Option<PathBuf>,
}

/// A running campaign.
struct Campaign<'p> {
    plan: &'p Plan,
    site: Site,
    shared: Arc<Shared>,
    url: String,
    begun: Instant,
    faults: BTreeMap<Kind, usize>,
    recoveries: BTreeMap<Kind, Vec<Recovery>>,
}

/// Runs a campaign.
pub(crate) async fn run(plan: &Plan) -> Findings {
    let site = Site::start(plan).await;
    let shared = Arc::new(Shared::new(plan, &site));
    let url = site.vhost().address().expose().to_owned();
    let mut campaign = Campaign {
        plan,
        site,
        shared,
        url,
        begun: clock::instant(),
        faults: BTreeMap::new(),
        recoveries: BTreeMap::new(),
    };
    let mut consumer = JoinSet::new();
    consumer.spawn(consume(campaign.url.clone(), Arc::clone(&campaign.shared)));
    campaign.strict().await
}

impl Campaign<'_> {
    async fn strict(&mut self) -> Findings {
        let clock_jumps = self
            .site
            .replicas
            .iter()
            .any(|replica| replica.gateway.has_clock());
        self.come_back(clock::instant()).await;
        let mut senders = self.send();
        let can = |kind| kind != Kind::ClockJump || clock_jumps;
        let mut rounds = self.plan.rounds(can);
        while let Some(round) = rounds.next() {
            let back = self.round(round).await;
            if !back || (rounds.all_dealt() && self.delivered_enough()) {
                break;
            }
        }
        self.end(&mut senders).await;
        let held = self.site.store.held().await;
        let mut offences = self.shared.book().close(&held);
        let published = |endpoint| self.shared.book().published_of(endpoint);
        let effects = self.site.workers.compare(published, &mut offences).await;
        let took = self.begun.elapsed();
        let (counts, events, published) = {
            let book = self.shared.book();
            (book.counts.clone(), book.events(), book.published_events())
        };
        let (faults, recoveries) = (
            std::mem::take(&mut self.faults),
            std::mem::take(&mut self.recoveries),
        );
        let spooling = match offences.is_empty() {
            true => self.spooling().await,
            false => Spooling::default(),
        };
        let unwaited = match offences.is_empty() && spooling.offences.is_empty() {
            true => self.unwaited().await,
            false => Unwaited::default(),
        };
        let kept = [&offences, &spooling.offences, &unwaited.offences]
            .iter()
            .all(|offences| offences.is_empty());
        let logs = match kept {
            true => None,
            false => Some(self.site.keep_logs().await),
        };
        Findings {
            faults,
            recoveries,
            counts,
            events,
            published,
            parked: held.parked.len(),
            compared: held.signals.len(),
            effects,
            offences,
            spooling,
            unwaited,
            took,
            clock_jumps,
            versions: [
                self.site.store.version().await,
                self.site.broker_version().await,
            ],
            logs,
        }
    }

    fn send(&self) -> JoinSet<()> {
        self.shared.enough.store(false, Ordering::Relaxed);
        let mut senders = JoinSet::new();
        for _ in 0..self.plan.senders {
            senders.spawn(send(Arc::clone(&self.shared)));
        }
        senders
    }

    fn delivered_enough(&self) -> bool {
        self.shared.book().counts.deliveries >= self.plan.deliveries
    }

    /// Makes the faults of a round, and waits until the system has come back. Returns whether it has.
    async fn round(&mut self, round: Vec<Fault>) -> bool {
        let (told, mut ends) = unbounded_channel();
        let all = round.len();
        let made = round
            .into_iter()
            .map(|fault| inject(&self.site, fault, told.clone()));
        let back = async {
            let mut last = clock::instant();
            for _ in 0..all {
                last = ends.recv().await.unwrap();
            }
            self.come_back(last).await
        };
        let (made, back) = join(join_all(made), back).await;
        for Made { kind, .. } in &made {
            *self.faults.entry(*kind).or_default() += 1;
        }
        let last = made.into_iter().max_by_key(|made| made.whole).unwrap();
        let recovery = back.map(|back| Recovery {
            accepting: back.accepting.saturating_duration_since(last.ended),
            caught_up: back.caught_up.saturating_duration_since(last.ended),
        });
        if let Some(recovery) = recovery {
            self.recoveries.entry(last.kind).or_default().push(recovery);
        }
        self.tell(last.kind, recovery);
        recovery.is_some()
    }

    /// Waits until every replica accepts deliveries and nothing acknowledged before `ended` is under
    /// way any more.
    async fn come_back(&self, ended: Instant) -> Option<Back> {
        let back = async {
            join_all((0..REPLICAS).map(|replica| probe(&self.shared, replica))).await;
            let accepting = clock::instant();
            self.catch_up(ended).await;
            Back {
                accepting,
                caught_up: clock::instant(),
            }
        };
        let back = timeout(COMES_BACK, back).await.ok();
        let mut replicas = self.site.replicas.iter();
        let all_run = replicas.all(|replica| replica.gateway.runs());
        if back.is_none() || !all_run {
            let why = match all_run {
                true => "not in time",
                false => "a gateway has ended by itself",
            };
            let faults: usize = self.faults.values().sum();
            let who = format!("after {faults} faults: {why}");
            self.shared.book().offences.add(Broken::DidNotComeBack, who);
        }
        back.filter(|_| all_run)
    }

    /// Waits until the consumer has seen everything that was acknowledged before a moment and is not
    /// parked.
    async fn catch_up(&self, moment: Instant) {
        for look in 1_u32.. {
            if self.shared.book().seen_until(moment) {
                return;
            }
            // What is parked is not under way. Asked seldom, because there may be much of it.
            if look.is_multiple_of(10)
                && let Some(parked) = self.site.store.parked().await
            {
                self.shared.book().parked(&parked);
            }
            sleep(LOOK).await;
        }
    }

    /// Ends the load, and waits until nothing is under way any more.
    async fn end(&self, senders: &mut JoinSet<()>) {
        self.shared.enough.store(true, Ordering::Relaxed);
        let all = async { while senders.join_next().await.is_some() {} };
        if timeout(COMES_BACK, all).await.is_err() {
            self.shared.over.store(true, Ordering::Relaxed);
            while senders.join_next().await.is_some() {}
        }
        let quiet = async {
            for replica in &self.site.replicas {
                while replica.gateway.spooled().await != Some(0) {
                    sleep(LOOK).await;
                }
            }
            while self.site.store.owed().await > 0 {
                sleep(LOOK).await;
            }
            // Offered to the broker again by the gateways themselves.
            while self
                .site
                .store
                .parked()
                .await
                .is_none_or(|parked| !parked.is_empty())
            {
                sleep(LOOK).await;
            }
            self.empty_queue().await;
        };
        // What is not quiet by then shows in what is compared.
        let _ = timeout(COMES_BACK, quiet).await;
        if let Some(parked) = self.site.store.parked().await {
            self.shared.book().parked(&parked);
        }
    }

    /// Waits until the queue is empty, and the consumer has not received anything for some looks.
    async fn empty_queue(&self) {
        const LOOKS: u32 = 25;
        let (mut seen, mut still) = (0, 0);
        while still < LOOKS {
            let now = self.shared.book().counts.messages;
            still = if now == std::mem::replace(&mut seen, now) {
                still + 1
            } else {
                0
            };
            if still == LOOKS && waiting(&self.url).await != Some(0) {
                still = 0;
            }
            sleep(LOOK).await;
        }
    }

    /// Goes on with a spool beside every gateway's ledger: now deliveries are accepted while Redis is away.
    async fn spooling(&mut self) -> Spooling {
        let before = self.shared.book().counts.clone();
        self.restart(true).await;
        let mut senders = self.send();
        let mut rounds = self.plan.spool_rounds();
        while let Some(round) = rounds.next() {
            if !self.round(round).await || rounds.all_dealt() {
                break;
            }
        }
        self.end(&mut senders).await;
        let held = self.site.store.held().await;
        let spooling = {
            let mut book = self.shared.book();
            let accepted_twice = book.offences.take(Broken::AcceptedTwice);
            let refused = |counts: &Counts| counts.statuses.get(&503).copied().unwrap_or_default();
            Spooling {
                faults: std::mem::take(&mut self.faults),
                acknowledged: book.counts.acknowledged - before.acknowledged,
                refused: refused(&book.counts) - refused(&before),
                accepted_twice,
                offences: book.close(&held),
            }
        };
        // After the comparison: whether the gateways are back is found out with new events.
        self.restart(false).await;
        spooling
    }

    /// Starts every gateway again, with a spool or without.
    async fn restart(&self, with_spool: bool) {
        for replica in &self.site.replicas {
            let _mine = replica.process.lock().await;
            replica.gateway.configure(with_spool);
            replica.gateway.signal("-TERM");
            replica.gateway.ended().await;
            replica.gateway.start();
        }
        self.come_back(clock::instant()).await;
    }

    /// Lets Redis fail over with something left behind, as it may be by its own rules, and counts what
    /// that is. Comes last, so that everything before it was judged without this excuse.
    async fn unwaited(&self) -> Unwaited {
        let mut found = Unwaited::default();
        let before = self.shared.book().counts.acknowledged;
        for _ in 0..self.plan.unwaited_failovers {
            let mut senders = self.send();
            sleep(BEFORE_FAILOVER).await;
            fail_over(&self.site, false).await;
            found.failovers += 1;
            self.shared.book().forget_pending();
            self.come_back(clock::instant()).await;
            self.end(&mut senders).await;
            self.shared.book().forget_pending();
        }
        let held = self.site.store.held().await;
        let mut book = self.shared.book();
        let mut offences = book.close(&held);
        found.acknowledged = book.counts.acknowledged - before;
        found.lost = offences.take(Broken::Lost) + offences.take(Broken::DuplicateOfNothing);
        found.accepted_twice = offences.take(Broken::AcceptedTwice);
        found.offences = offences;
        found
    }

    /// Says on standard error how far the campaign is, where it is a long one.
    fn tell(&self, last: Kind, recovery: Option<Recovery>) {
        if self.plan.report.is_none() {
            return;
        }
        let faults: usize = self.faults.values().sum();
        let (deliveries, events) = {
            let book = self.shared.book();
            (book.counts.deliveries, book.events())
        };
        let recovery = recovery.map_or("did not come back".to_owned(), |recovery| {
            let Recovery {
                accepting,
                caught_up,
            } = recovery;
            format!("accepting after {accepting:.1?}, caught up after {caught_up:.1?}")
        });
        let after = self.begun.elapsed().as_secs();
        let line = format!(
            "{after:5} s  {faults:5} faults  {deliveries:8} deliveries of {events:8} events  {}: {recovery}",
            last.name()
        );
        // Nobody may be listening any more.
        let _ = writeln!(std::io::stderr(), "{line}");
    }
}
