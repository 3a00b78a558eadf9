//! The report of a campaign, in Markdown.

use std::fmt::Write as _;
use std::time::Duration;

use super::book::{Broken, Offences};
use super::plan::{Kind, Plan};
use super::run::{Findings, Recovery};

/// How many offenders are named when a campaign fails.
pub(crate) fn failure(plan: &Plan, findings: &Findings) -> String {
    let mut text = format!("promises were broken (seed {}):\n", plan.seed);
    for offences in [
        &findings.offences,
        &findings.spooling.offences,
        &findings.unwaited.offences,
    ] {
        for broken in Broken::ALL {
            let named = offences.named(broken);
            if !named.is_empty() {
                let (name, count) = (broken.name(), offences.count(broken));
                let _ = writeln!(text, "{name}: {count}\n  {}", named.join("\n  "));
            }
        }
    }
    if let Some(logs) = &findings.logs {
        let _ = writeln!(text, "the logs are in {}", logs.display());
    }
    text
}

/// Writes the whole report.
pub(crate) fn report(plan: &Plan, command: &str, findings: &Findings) -> String {
    let mut text = INTRODUCTION.to_owned();
    let faults: usize = findings.faults.values().sum();
    let [redis, rabbit] = &findings.versions;
    let counts = &findings.counts;
    let took = findings.took.as_secs();
    let _ = write!(
        text,
        "\n## This run\n\n```sh\n{command}\n```\n\n\
         | | |\n| --- | --- |\n\
         | hookgate, Redis, RabbitMQ | {}, {redis}, {rabbit} |\n\
         | seed | {} |\n\
         | duration | {} min {:02} s |\n\
         | faults | {faults} |\n\
         | deliveries sent, every attempt counted | {} |\n\
         | of them acknowledged with 2xx | {} |\n\
         | events | {} |\n\
         | events published | {} |\n\
         | messages that the consumer received | {} |\n\
         | of them repeats: the same signal published again | {} |\n\
         | of them handed out again by the broker | {} |\n\
         | signals parked at the end: kept, not published | {} |\n\
         | signals in Redis at the end, each compared | {} |\n\
         | effects at the example workers, each compared | {} |\n\
         | forged deliveries | {} |\n",
        env!("CARGO_PKG_VERSION"),
        plan.seed,
        took / 60,
        took % 60,
        counts.deliveries,
        counts.acknowledged,
        findings.events,
        findings.published,
        counts.messages,
        counts.repeats,
        counts.redelivered,
        findings.parked,
        findings.compared,
        findings.effects,
        counts.forged,
    );
    if !findings.clock_jumps {
        text += "\nlibfaketime is not installed here: no clock jumped.\n";
    }
    broken(&mut text, &findings.offences);
    answers(&mut text, findings);
    recoveries(&mut text, findings);
    spooling(&mut text, findings);
    unwaited(&mut text, findings);
    text
}

const INTRODUCTION: &str = "\
# Fault campaign

What becomes of the promises that nothing acknowledged is lost, that nothing counts twice and that a replay is bound to
what was signed, while everything fails that can. Made by a test that anyone can run again; this page is what its last
long run wrote.

```sh
make campaign                     # the long one, from a release build; writes this page
cargo test --test campaign        # a short one, with a fixed seed; part of `make test`
```

| variable | default | means |
| --- | --- | --- |
| `CAMPAIGN_FAULTS` | 1000 | faults at least |
| `CAMPAIGN_DELIVERIES` | 1000000 | deliveries at least, every attempt counted |
| `CAMPAIGN_SEED` | 1 | draws faults, order, durations and repeats. What happens at the same time is up to the machine |
| `CAMPAIGN_RATE` | 800 | parcels (one event or a batch) a second, as long as the gateways keep up |
| `CAMPAIGN_ONLY` | all | only kinds of fault with this in their names, such as `Redis` or `mid-frame` |
| `CAMPAIGN_REPORT` | `docs/CAMPAIGN.md` | where the report goes |

## How it works

Two gateways (the binary, as `hookgate serve`) share one Redis, with every write on disk before it is answered
(`appendfsync always`), and one RabbitMQ with a durable classic queue. Every way from a provider to a gateway and from a
gateway to a server leads through a link of its own, which can fail in every way that a network does.

Providers with their ids in the signed body, in an unsigned header, in a signed header and with batches deliver to 16
endpoints, one for each shard of the ledger. They deliver an event until it is acknowledged, with a pause after each
failure and a new signature for each attempt. Some parcels are delivered to both gateways at the same instant, some again
up to 20 seconds later, some with their signed content under another, unsigned id; some are forged.

Faults come in rounds of one to five that overlap. After each round every gateway must accept deliveries again, and
everything that was acknowledged must reach the consumer, before the next begins. The consumer is independent of the
gateways: on a connection of its own, it acknowledges each message and notes signal, source and id. Beside it the workers
of `examples/`, in Python, Node.js and Rust, each get the events of one endpoint; they are killed like everything else.

When the load has ended and nothing is owed or parked any more, the books are compared: what the senders were answered,
what the consumer received, what Redis holds, and what effects the workers have had.

What it does not show:

- A process that is killed leaves what it has written to the operating system, which is why `kill -9` cannot tell
  `appendfsync always` from `everysec`. A machine that loses power can: with `everysec`, the last second of what was
  acknowledged may go with it.
- A failover of Redis that does not wait for the replica loses what replication had not carried over. The failovers among
  the faults wait (`FAILOVER`); those that do not are a chapter of their own at the end, which is not judged by the same
  measure.
- RabbitMQ is a single node with a classic queue: on the version that Debian ships, a quorum queue may be left without a
  leader after `kill -9`. A queue is unbound and never deleted, because deleting it takes with it what the broker had taken
  responsibility for.
";

fn broken(text: &mut String, offences: &Offences) {
    *text += "\n## What must not happen\n\nThe number of the promise stands behind each.\n\n\
              | | times |\n| --- | ---: |\n";
    for broken in Broken::ALL {
        let _ = writeln!(text, "| {} | {} |", broken.name(), offences.count(broken));
    }
}

fn answers(text: &mut String, findings: &Findings) {
    *text += "\n## Answers\n\nOf every attempt but the forged ones. 401 is what a gateway says whose clock has jumped.\n\n\
              | status | deliveries |\n| --- | ---: |\n";
    for (status, count) in &findings.counts.statuses {
        let status = match status {
            0 => "none: broken off, or not within 3 s".to_owned(),
            status => status.to_string(),
        };
        let _ = writeln!(text, "| {status} | {count} |");
    }
    *text += "\n| outcome of those acknowledged | deliveries |\n| --- | ---: |\n";
    for (outcome, count) in &findings.counts.outcomes {
        let _ = writeln!(text, "| {outcome} | {count} |");
    }
}

fn recoveries(text: &mut String, findings: &Findings) {
    *text += "\n## Faults, and the time to come back\n\n\
              In seconds, median / 95th percentile / longest, from the end of a fault (for what is started again, \
              from its start). *Accepting*: until every gateway had accepted a new delivery. *Caught up*: until the \
              consumer had everything that was acknowledged before. Measured for the fault that ended last in its \
              round, whatever overlapped with it; a lease is 2 s here, so that what a killed gateway had under way \
              comes that much later.\n\n\
              | fault | times | measured | accepting | caught up |\n| --- | ---: | ---: | --- | --- |\n";
    for (kind, times) in &findings.faults {
        let of_kind = findings.recoveries.get(kind).map_or(&[][..], |all| all);
        let row = |time: fn(&Recovery) -> Duration| spread(of_kind.iter().map(time).collect());
        let (accepting, caught_up) = (row(|one| one.accepting), row(|one| one.caught_up));
        let (name, measured) = (Kind::name(*kind), of_kind.len());
        let _ = writeln!(
            text,
            "| {name} | {times} | {measured} | {accepting} | {caught_up} |"
        );
    }
}

/// Median, 95th percentile and longest.
fn spread(mut times: Vec<Duration>) -> String {
    times.sort();
    let Some(last) = times.len().checked_sub(1) else {
        return "–".to_owned();
    };
    let at = |percent: usize| times[(last * percent).div_ceil(100)].as_secs_f64();
    format!("{:.2} / {:.2} / {:.2}", at(50), at(95), at(100))
}

fn spooling(text: &mut String, findings: &Findings) {
    let found = &findings.spooling;
    *text += "\n## With a spool\n\n\
              The gateways are started again with `ledger.spool`, and Redis, the ways to it and the gateways go on \
              failing. What Redis cannot record is now kept on the replica's own disk and answered 2xx. Judged by \
              the same measure but for one thing: a replica cannot know what is in a Redis that is away, so an \
              event may be answered `accepted` more than once. It is one signal all the same.\n\n\
              | | |\n| --- | ---: |\n";
    for (fault, times) in &found.faults {
        let _ = writeln!(text, "| {} | {times} |", fault.name());
    }
    let _ = write!(
        text,
        "| deliveries acknowledged meanwhile | {} |\n| answered 503 | {} |\n\
         | events that were answered `accepted` a second time | {} |\n\
         | anything else that must not happen | {} |\n",
        found.acknowledged,
        found.refused,
        found.accepted_twice,
        Broken::ALL
            .iter()
            .map(|broken| found.offences.count(*broken))
            .sum::<u64>(),
    );
}

fn unwaited(text: &mut String, findings: &Findings) {
    let found = &findings.unwaited;
    *text += "\n## Failovers of Redis that wait for nothing\n\n\
              The server is killed under load and its replica takes over with what it has. Not judged by the measure \
              above: what had not been replicated is gone, by Redis's own rules.\n\n\
              | | |\n| --- | ---: |\n";
    let _ = write!(
        text,
        "| failovers | {} |\n| deliveries acknowledged meanwhile | {} |\n| events lost | {} |\n\
         | events that were accepted a second time | {} |\n",
        found.failovers, found.acknowledged, found.lost, found.accepted_twice
    );
}
