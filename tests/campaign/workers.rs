//! The example workers, each on a queue of its own with the events of one endpoint, killed and started
//! again like everything else. In the end each signal that was published must have had its effect once.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use hookgate::clock;
use hookgate::signal::SignalId;
use tokio::sync::Mutex;
use tokio::time::sleep;

use super::book::{Broken, Offences};
use super::events::Endpoint;
use super::support::worker::{Language, Worker};

/// Which worker gets the events of which endpoint.
const WORKERS: [(Language, usize); 3] = [
    (Language::Python, 0),
    (Language::Node, 1),
    (Language::Rust, 3),
];

/// How long a worker may take to catch up at the end. Its own pauses grow to ten seconds.
const CATCHES_UP: Duration = Duration::from_secs(120);

/// How often it is looked at.
const LOOK: Duration = Duration::from_millis(250);

/// The workers of a campaign.
#[derive(Debug)]
pub(crate) struct Workers(Vec<Watched>);

#[derive(Debug)]
struct Watched {
    language: Language,
    endpoint: usize,
    /// Held by whoever does something to its process.
    worker: Mutex<Worker>,
}

/// A queue of a worker, and what is bound to it.
#[derive(Clone, Debug)]
pub(crate) struct Feed {
    pub(crate) queue: String,
    pub(crate) key: String,
}

/// Names the queues of all workers.
pub(crate) fn feeds(endpoints: &[Endpoint]) -> Vec<Feed> {
    let feed = |(language, endpoint): (Language, usize)| {
        let Endpoint {
            tenant, provider, ..
        } = &endpoints[endpoint];
        Feed {
            queue: queue(language),
            key: format!("{tenant}.{provider}.#"),
        }
    };
    WORKERS.map(feed).into()
}

fn queue(language: Language) -> String {
    format!("worker-{language:?}").to_lowercase()
}

impl Workers {
    /// Starts all of them, with their databases and logs in a directory.
    pub(crate) async fn start(url: &str, dir: &Path) -> Self {
        let mut all = Vec::new();
        for (language, endpoint) in WORKERS {
            let queue = queue(language);
            let mut worker = Worker::prepare(language, url, &queue, dir).await;
            worker.start();
            all.push(Watched {
                language,
                endpoint,
                worker: Mutex::new(worker),
            });
        }
        Self(all)
    }

    /// How many there are.
    pub(crate) fn many(&self) -> usize {
        self.0.len()
    }

    /// Kills a worker, and starts it again after a while. Returns when.
    pub(crate) async fn kill(&self, which: usize, after: Duration) -> std::time::Instant {
        let mut worker = self.0[which].worker.lock().await;
        worker.kill();
        sleep(after).await;
        let ended = clock::instant();
        worker.start();
        ended
    }

    /// Waits until every signal that was published has had its effect, and compares. Returns how many
    /// effects there are.
    pub(crate) async fn compare(
        &self,
        published: impl Fn(usize) -> BTreeSet<SignalId>,
        offences: &mut Offences,
    ) -> usize {
        let deadline = clock::instant() + CATCHES_UP;
        let mut all = 0;
        for watched in &self.0 {
            let wanted: BTreeSet<_> = published(watched.endpoint)
                .iter()
                .map(ToString::to_string)
                .collect();
            let worker = watched.worker.lock().await;
            let mut effects = worker.effects();
            while effects.len() < wanted.len() && clock::instant() < deadline {
                sleep(LOOK).await;
                effects = worker.effects();
            }
            let who = |signal: &str| format!("{:?}, signal {signal}", watched.language);
            for signal in &wanted {
                if !effects.contains_key(signal) {
                    offences.add(Broken::NoEffect, who(signal));
                }
            }
            for (signal, times) in &effects {
                if *times != 1 {
                    offences.add(Broken::EffectTwice, who(signal));
                }
                if !wanted.contains(signal) {
                    offences.add(Broken::EffectOfNothing, who(signal));
                }
            }
            all += effects.len();
        }
        all
    }
}
