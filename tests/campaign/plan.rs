//! What a campaign does: how many faults of which kinds, in which order, and how much load meanwhile.
//!
//! Everything here follows from the seed. What happens when within a round is up to the machine.

use std::path::PathBuf;
use std::time::Duration;

use super::rng::Rng;

/// How many gateways there are.
pub(crate) const REPLICAS: usize = 2;

/// How many faults a round may have.
const ROUND: std::ops::RangeInclusive<u64> = 1..=5;

/// A way in which something fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Kind {
    LinkRefused,
    LinkHung,
    LinkCut,
    LinkSlow,
    LinkHalfOpen,
    LinkReset,
    Partition,
    GatewayKilled,
    GatewayRestarted,
    GatewayStopped,
    ClockJump,
    WorkerKilled,
    RedisKilled,
    RedisStopped,
    RedisFull,
    RedisFailover,
    BrokerKilled,
    BrokerStopped,
    BrokerAlarm,
    QueueUnbound,
    ExchangeDeleted,
    QueueFull,
}

impl Kind {
    /// Every kind, and how many of a thousand faults are of it.
    const ALL: [(Self, u64); 22] = [
        (Self::LinkRefused, 85),
        (Self::LinkHung, 85),
        (Self::LinkCut, 95),
        (Self::LinkSlow, 80),
        (Self::LinkHalfOpen, 100),
        (Self::LinkReset, 90),
        (Self::Partition, 55),
        (Self::GatewayKilled, 100),
        (Self::GatewayRestarted, 40),
        (Self::GatewayStopped, 40),
        (Self::ClockJump, 15),
        (Self::WorkerKilled, 40),
        (Self::RedisKilled, 60),
        (Self::RedisStopped, 30),
        (Self::RedisFull, 15),
        (Self::RedisFailover, 8),
        (Self::BrokerKilled, 12),
        (Self::BrokerStopped, 12),
        (Self::BrokerAlarm, 6),
        (Self::QueueUnbound, 12),
        (Self::ExchangeDeleted, 8),
        (Self::QueueFull, 12),
    ];

    /// What is done, in words.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::LinkRefused => "link refuses connections",
            Self::LinkHung => "link hangs",
            Self::LinkCut => "link cuts connections mid-frame",
            Self::LinkSlow => "link is slow",
            Self::LinkHalfOpen => "link is dead in one direction",
            Self::LinkReset => "link resets connections",
            Self::Partition => "partition of several links",
            Self::GatewayKilled => "gateway: kill -9, restart",
            Self::GatewayRestarted => "gateway: SIGTERM, restart",
            Self::GatewayStopped => "gateway: SIGSTOP, SIGCONT",
            Self::ClockJump => "gateway: clock jumps by 2 h and back",
            Self::WorkerKilled => "worker: kill -9, restart",
            Self::RedisKilled => "Redis: kill -9, restart",
            Self::RedisStopped => "Redis: SIGSTOP, SIGCONT",
            Self::RedisFull => "Redis: out of memory",
            Self::RedisFailover => "Redis: failover, nothing left behind",
            Self::BrokerKilled => "RabbitMQ: kill -9, restart",
            Self::BrokerStopped => "RabbitMQ: SIGSTOP, SIGCONT",
            Self::BrokerAlarm => "RabbitMQ: memory alarm",
            Self::QueueUnbound => "RabbitMQ: queue unbound, bound again",
            Self::ExchangeDeleted => "RabbitMQ: exchange deleted, declared again",
            Self::QueueFull => "RabbitMQ: queue full",
        }
    }

    /// Whether it concerns what a spool is for: Redis, the ways to it, and the gateway that has the spool.
    fn is_for_spools(self) -> bool {
        matches!(
            self,
            Self::RedisKilled
                | Self::RedisStopped
                | Self::RedisFull
                | Self::RedisFailover
                | Self::Partition
                | Self::GatewayKilled
        )
    }

    /// How long it lasts, in milliseconds.
    fn lasts(self) -> std::ops::RangeInclusive<u64> {
        match self {
            Self::LinkReset | Self::RedisFailover => 0..=0,
            Self::GatewayKilled | Self::GatewayRestarted | Self::BrokerKilled => 0..=1000,
            Self::WorkerKilled => 0..=500,
            Self::RedisKilled => 0..=1500,
            Self::QueueUnbound | Self::ExchangeDeleted => 100..=600,
            // What fakes the clock looks for a change once a second.
            Self::ClockJump => 2500..=4000,
            _ => 300..=2000,
        }
    }
}

/// One fault.
#[derive(Clone, Debug)]
pub(crate) struct Fault {
    pub(crate) kind: Kind,
    /// Which gateway it concerns, where it concerns one.
    pub(crate) replica: usize,
    /// When in the round it begins.
    pub(crate) begins: Duration,
    pub(crate) lasts: Duration,
    /// Draws whatever else there is to choose.
    pub(crate) rng: Rng,
}

/// What a campaign is to do.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    /// How many faults at least; each kind comes once even so.
    pub(crate) faults: usize,
    /// How many deliveries at least, every attempt counted.
    pub(crate) deliveries: u64,
    /// New events a second, as long as the gateways keep up.
    pub(crate) rate: u64,
    /// How many deliveries may be under way at once.
    pub(crate) senders: usize,
    /// `ledger.retention` of the gateways.
    pub(crate) retention: &'static str,
    /// How many faults there are while the gateways have a spool.
    pub(crate) spool_faults: usize,
    /// How many times a Redis is to fail over with something left behind.
    pub(crate) unwaited_failovers: usize,
    /// What the names of the kinds of fault must have in them.
    pub(crate) only: String,
    /// Where the report is written, and the command that makes it again.
    pub(crate) report: Option<(PathBuf, String)>,
}

impl Plan {
    /// The campaign that every test run makes.
    pub(crate) fn short() -> Self {
        Self {
            seed: 20_260_105,
            faults: 16,
            deliveries: 3000,
            rate: 150,
            senders: 24,
            retention: "10m",
            spool_faults: 4,
            unwaited_failovers: 1,
            only: String::new(),
            report: None,
        }
    }

    /// The campaign that the environment asks for.
    pub(crate) fn of_environment() -> Self {
        let number = |name: &str, default: u64| {
            let value = std::env::var(name).ok().filter(|value| !value.is_empty());
            let read = |value: String| match value.parse() {
                Ok(value) => value,
                Err(_) => panic!("{name}={value} is no number"),
            };
            value.map_or(default, read)
        };
        let (seed, faults) = (number("CAMPAIGN_SEED", 1), number("CAMPAIGN_FAULTS", 1000));
        let deliveries = number("CAMPAIGN_DELIVERIES", 1_000_000);
        let rate = number("CAMPAIGN_RATE", 800);
        let command = format!(
            "CAMPAIGN_SEED={seed} CAMPAIGN_FAULTS={faults} CAMPAIGN_DELIVERIES={deliveries} \
             CAMPAIGN_RATE={rate} make campaign"
        );
        let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
        let report = std::env::var("CAMPAIGN_REPORT").ok();
        let report = report.filter(|path| !path.is_empty());
        Self {
            seed,
            faults: usize::try_from(faults).unwrap(),
            deliveries,
            rate: rate.max(1),
            senders: 64,
            // Short, so that what Redis reads when it starts again stays small.
            retention: "60s",
            spool_faults: 100,
            unwaited_failovers: 5,
            only: std::env::var("CAMPAIGN_ONLY").unwrap_or_default(),
            report: Some((
                report.map_or_else(|| root.join("docs/CAMPAIGN.md"), PathBuf::from),
                command,
            )),
        }
    }

    /// Draws the rounds of the strict part: the faults of one overlap, and the system comes back before the next. Endless,
    /// since load may go on when the faults asked for are over; `can` says which kinds are possible.
    pub(crate) fn rounds(&self, can: impl Fn(Kind) -> bool) -> Rounds {
        self.draw(self.faults, Rng::new(self.seed), can)
    }

    /// Draws the rounds while the gateways have a spool.
    pub(crate) fn spool_rounds(&self) -> Rounds {
        self.draw(
            self.spool_faults,
            Rng::of(self.seed, 1),
            Kind::is_for_spools,
        )
    }

    fn draw(&self, many: usize, rng: Rng, can: impl Fn(Kind) -> bool) -> Rounds {
        let kinds: Vec<_> = Kind::ALL
            .into_iter()
            .filter(|(kind, _)| can(*kind) && kind.name().contains(&self.only))
            .collect();
        assert!(
            !kinds.is_empty(),
            "no kind of fault has {:?} in it",
            self.only
        );
        Rounds {
            kinds,
            many,
            rng,
            deck: Vec::new(),
            decks: 0,
        }
    }
}

/// The rounds of a campaign.
pub(crate) struct Rounds {
    kinds: Vec<(Kind, u64)>,
    many: usize,
    rng: Rng,
    deck: Vec<Kind>,
    decks: usize,
}

impl Iterator for Rounds {
    type Item = Vec<Fault>;

    fn next(&mut self) -> Option<Vec<Fault>> {
        let many = self.rng.within(ROUND);
        Some((0..many).map(|_| self.fault()).collect())
    }
}

impl Rounds {
    /// Whether as many faults were drawn as the campaign is to have at least.
    pub(crate) fn all_dealt(&self) -> bool {
        self.decks > 1 || (self.decks == 1 && self.deck.is_empty())
    }

    fn fault(&mut self) -> Fault {
        if self.deck.is_empty() {
            self.deck = self.shuffled();
            self.decks += 1;
        }
        let kind = self.deck.pop().unwrap();
        let rng = &mut self.rng;
        Fault {
            kind,
            replica: rng.index(REPLICAS),
            begins: Duration::from_millis(rng.within(0..=700)),
            lasts: Duration::from_millis(rng.within(kind.lasts())),
            rng: Rng::new(rng.next()),
        }
    }

    /// Makes as many faults as the campaign has, each kind at least once.
    fn shuffled(&mut self) -> Vec<Kind> {
        let whole: u64 = self.kinds.iter().map(|(_, weight)| weight).sum();
        let mut deck = Vec::new();
        for (kind, weight) in &self.kinds {
            let many = (self.many as u64 * weight).div_ceil(whole).max(1);
            deck.extend((0..many).map(|_| *kind));
        }
        self.rng.shuffle(&mut deck);
        deck
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_draws_the_same_faults_and_every_kind() {
        let drawn = |seed| {
            let plan = Plan {
                seed,
                ..Plan::short()
            };
            let rounds = plan.rounds(|_| true).take(60);
            rounds
                .flatten()
                .map(|fault| (fault.kind, fault.lasts))
                .collect::<Vec<_>>()
        };
        assert_eq!(drawn(1), drawn(1));
        assert_ne!(drawn(1), drawn(2));
        for (kind, _) in Kind::ALL {
            assert!(drawn(1).iter().any(|(drawn, _)| *drawn == kind), "{kind:?}");
        }
    }
}
