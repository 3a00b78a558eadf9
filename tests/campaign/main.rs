//! A fault campaign: real gateways, a real Redis and a real RabbitMQ, everything that can fail failing,
//! and the promises that nothing acknowledged is lost, nothing counts twice and a replay is bound to what
//! was signed. `docs/CAMPAIGN.md` says how it works and what the last long run found.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod book;
mod consumer;
mod disk;
mod events;
mod faults;
mod gateway;
mod link;
mod plan;
mod report;
mod rng;
mod run;
mod senders;
mod site;
mod store;
mod support;
mod workers;

use self::plan::Plan;

async fn keeps_its_promises(plan: &Plan) {
    let findings = run::run(plan).await;
    if let Some((path, command)) = &plan.report {
        std::fs::write(path, report::report(plan, command, &findings)).unwrap();
    }
    assert!(
        findings.logs.is_none(),
        "{}",
        report::failure(plan, &findings)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_short_campaign_breaks_no_promise() {
    keeps_its_promises(&Plan::short()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
#[ignore = "takes the better part of an hour: make campaign"]
async fn a_long_campaign_breaks_no_promise() {
    keeps_its_promises(&Plan::of_environment()).await;
}
