//! `hookgate check`: would `serve` work with this configuration, here and now?

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use super::paint::{Colour, paint, say};
use super::serve::load;
use super::{Failure, runtime};
use crate::config::Config;
use crate::shutdown::Drain;
use crate::telemetry::explain;
use crate::{ledger, ledger::spool, publisher};

/// How long the publisher's tasks may take to end.
const PATIENCE: Duration = Duration::from_secs(10);

/// What a finding says that serves and still puts signals at risk.
const WARNING: &str = "WARNING: ";

pub(super) fn run(path: &Path) -> Result<ExitCode, Failure> {
    let config = load(path)?;
    good(
        "configuration",
        &format!(
            "{} endpoint(s), every secret resolved",
            config.endpoints.len()
        ),
    );
    for endpoint in &config.endpoints {
        let of = format!(
            "{} for tenant {}",
            endpoint.provider.about.title, endpoint.tenant
        );
        let secrets = endpoint.secrets.len();
        let sealed = endpoint.shared.seal_to.as_ref();
        let sealed = sealed.map(|to| format!(", data sealed to key {}", to.key_id()));
        let sealed = sealed.unwrap_or_default();
        good(
            &endpoint.path,
            &format!("{of}, {secrets} secret(s){sealed}"),
        );
    }
    if let Some(signer) = &config.publisher.provenance.keys().signer {
        let finding = format!("messages are signed with key {}", signer.key_id());
        good("signatures", &finding);
    }
    for notice in &config.notices {
        say(&format!("note  {notice}"));
    }
    for warning in &config.warnings {
        warn(warning);
    }
    let ready = runtime()?.block_on(probe(&config));
    let verdict = if ready {
        "this configuration would serve"
    } else {
        "it would not serve"
    };
    say(verdict);
    Ok(if ready {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

async fn probe(config: &Config) -> bool {
    let ledger = probe_ledger(config).await;
    let spool = probe_spool(config).await;
    let publisher = probe_publisher(config).await;
    ledger && spool && publisher
}

/// The spool by itself, because the ledger may be away.
async fn probe_spool(config: &Config) -> bool {
    let Some(settings) = &config.spool else {
        return true;
    };
    let found = spool::probe(settings, &config.ledger).await;
    report("spool", found.map_err(|error| explain(&error)))
}

async fn probe_ledger(config: &Config) -> bool {
    let opened = ledger::open(&config.ledger).await;
    let result = match &opened {
        Ok(ledger) => ledger.probe().await.map_err(|error| explain(&error)),
        Err(error) => Err(explain(error)),
    };
    if let Ok(ledger) = opened {
        ledger.close().await;
    }
    report("ledger", result)
}

async fn probe_publisher(config: &Config) -> bool {
    let drain = Drain::new();
    let result = match publisher::open(&config.publisher, &drain).await {
        Ok(publisher) => {
            let result = publisher.probe().await.map_err(|error| explain(&error));
            publisher.close().await;
            result
        }
        Err(error) => Err(explain(&error)),
    };
    drain.finish(PATIENCE).await;
    report("publisher", result)
}

fn report(part: &str, result: Result<Vec<String>, String>) -> bool {
    match result {
        Ok(findings) => {
            for finding in &findings {
                match finding.contains(WARNING) {
                    true => warn(&format!("{part}: {finding}")),
                    false => good(part, finding),
                }
            }
            true
        }
        Err(why) => {
            say(&format!("{}  {part}: {why}", paint(Colour::Red, "FAIL")));
            false
        }
    }
}

fn good(what: &str, finding: &str) {
    say(&format!(
        "{}    {what}: {finding}",
        paint(Colour::Green, "ok")
    ));
}

fn warn(finding: &str) {
    say(&format!("{}  {finding}", paint(Colour::Yellow, "warn")));
}
