//! The load: providers that deliver each event until it is acknowledged, repeat some, and others who
//! repeat or forge what is not theirs.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::future::join;
use hookgate::clock;
use http::{Request, Response};

use super::book::Answer;
use super::events::Parcel;
use super::gateway::{PATIENCE, local};
use super::plan::REPLICAS;
use super::rng::Rng;
use super::run::Shared;
use super::support::deliveries::header;
use super::support::line::Line;

/// Of a thousand parcels, how many are delivered to both replicas at the same instant, are delivered
/// again later, come again under another id, and are forged.
const TWICE_AT_ONCE: u64 = 40;
const AGAIN_LATER: u64 = 60;
const UNDER_ANOTHER_ID: u64 = 200;
const FORGED: u64 = 20;

/// How long after its acknowledgement a parcel comes again.
const LATER: std::ops::RangeInclusive<u64> = 100..=20_000;

/// How many parcels may wait to come again.
const MAX_LATER: usize = 4096;

/// The pauses of a provider before it tries again.
const PAUSES: [Duration; 4] = [
    Duration::from_millis(50),
    Duration::from_millis(100),
    Duration::from_millis(250),
    Duration::from_millis(500),
];

/// Hands out turns, so many a second. Up to a second of turns that were not taken can be made up for.
#[derive(Debug)]
pub(crate) struct Pace {
    gap: Duration,
    next: Mutex<Instant>,
}

impl Pace {
    pub(crate) fn new(a_second: u64) -> Self {
        Self {
            gap: Duration::from_secs(1) / u32::try_from(a_second).unwrap(),
            next: Mutex::new(clock::instant()),
        }
    }

    async fn turn(&self) {
        let now = clock::instant();
        let mine = {
            let mut next = self.next.lock().unwrap();
            let earliest = now.checked_sub(Duration::from_secs(1)).unwrap_or(now);
            let mine = (*next).max(earliest);
            *next = mine + self.gap;
            mine
        };
        tokio::time::sleep(mine.saturating_duration_since(now)).await;
    }
}

/// Parcels that come again, each at its time.
#[derive(Debug, Default)]
pub(crate) struct Later(Mutex<VecDeque<(Instant, Parcel)>>);

impl Later {
    fn put(&self, when: Instant, parcel: Parcel) {
        let mut later = self.0.lock().unwrap();
        if later.len() < MAX_LATER {
            later.push_back((when, parcel));
        }
    }

    /// Takes one whose time has come.
    fn due(&self, now: Instant) -> Option<Parcel> {
        let mut later = self.0.lock().unwrap();
        // In no order: the first few are looked at, and put back where it is not their time.
        for _ in 0..later.len().min(16) {
            let (when, parcel) = later.pop_front()?;
            if when <= now {
                return Some(parcel);
            }
            later.push_back((when, parcel));
        }
        None
    }
}

/// Sends parcels one after the other until the campaign says that it is enough, and the last one is
/// acknowledged.
pub(crate) async fn send(shared: Arc<Shared>) {
    let mut lines = Lines::new(&shared);
    while !shared.enough() {
        shared.pace.turn().await;
        if let Some(parcel) = shared.later.due(clock::instant()) {
            lines.deliver(&parcel, 0).await;
            continue;
        }
        let parcel = shared.new_parcel();
        let mut rng = Rng::of(shared.seed, parcel.first.into());
        let replica = rng.index(REPLICAS);
        if rng.chance(TWICE_AT_ONCE) {
            let mut others = Lines::new(&shared);
            join(
                lines.deliver(&parcel, replica),
                others.deliver(&parcel, replica + 1),
            )
            .await;
        } else {
            lines.deliver(&parcel, replica).await;
        }
        if parcel.has_unsigned_id(&shared.endpoints) && rng.chance(UNDER_ANOTHER_ID) {
            lines.deliver(&parcel.under_another_id(), replica + 1).await;
        }
        if rng.chance(AGAIN_LATER) {
            let wait = Duration::from_millis(rng.within(LATER));
            shared.later.put(clock::instant() + wait, parcel.clone());
        }
        if rng.chance(FORGED) {
            let answer = lines
                .ask(replica, parcel.forged(&shared.endpoints, &mut rng))
                .await;
            let status = answer.map(|answer| answer.status().as_u16());
            shared.book().forged(parcel.first, status);
        }
    }
}

/// Delivers new events to one replica until it accepts one.
pub(crate) async fn probe(shared: &Shared, replica: usize) {
    const PROBE: Duration = Duration::from_secs(1);
    let mut lines = Lines::new(shared);
    // The first endpoint's events carry a time: they tell whether the clock is right again.
    let parcel = shared.new_parcel_of(0);
    loop {
        let request = parcel.request(&shared.endpoints);
        let answer = tokio::time::timeout(PROBE, lines.ask(replica, request)).await;
        if lines.note(&parcel, answer.ok().flatten().as_ref()) {
            return;
        }
        lines.open[replica] = None;
        tokio::time::sleep(PAUSES[0]).await;
    }
}

/// A connection to each replica, made when it is needed.
struct Lines<'a> {
    shared: &'a Shared,
    open: [Option<Line>; REPLICAS],
}

impl<'a> Lines<'a> {
    fn new(shared: &'a Shared) -> Self {
        let open = [const { None }; REPLICAS];
        Self { shared, open }
    }

    /// Delivers a parcel until it is acknowledged or the campaign has no more patience, to the replicas
    /// by turns.
    async fn deliver(&mut self, parcel: &Parcel, first: usize) {
        for attempt in 0.. {
            let request = parcel.request(&self.shared.endpoints);
            let answer = self.ask((first + attempt) % REPLICAS, request).await;
            if self.note(parcel, answer.as_ref()) || self.shared.is_over() {
                return;
            }
            tokio::time::sleep(PAUSES[attempt.min(PAUSES.len() - 1)]).await;
        }
    }

    fn note(&self, parcel: &Parcel, answer: Option<&Response<Bytes>>) -> bool {
        let answer = answer.map(|answer| Answer {
            status: answer.status().as_u16(),
            outcome: header(answer, "hookgate-outcome"),
            signals: header(answer, "hookgate-signal"),
        });
        let numbers = (parcel.first, parcel.many);
        self.shared
            .book()
            .answered(numbers, answer, clock::instant())
    }

    /// Sends a request to a replica. Nothing where no answer comes.
    async fn ask(&mut self, replica: usize, request: Request<Bytes>) -> Option<Response<Bytes>> {
        let address = local(self.shared.ports[replica]);
        let line = &mut self.open[replica];
        let asked = async {
            if line.is_none() {
                *line = Some(Line::to(address).await.ok()?);
            }
            line.as_mut()?.send(request).await.ok()
        };
        let answer = tokio::time::timeout(PATIENCE, asked).await.ok().flatten();
        if answer.is_none() {
            self.open[replica] = None;
        }
        answer
    }
}
