//! `[ledger]` and `[publisher]`: what records signals and what they are handed to.

use std::ops::RangeInclusive;
use std::time::Duration;

use secrecy::ExposeSecret;

use super::Secrets;
use super::problems::with_causes;
use super::reader::{Section, Text};
use super::secret::is_reference;
use super::tls::TlsFiles;
use crate::ledger::redis::{Access, Place};
use crate::ledger::spool::{MAX_SPOOL_BYTES, SpoolSettings};
use crate::ledger::{self, Durability, LedgerUrl};
use crate::outbox::Ack;
use crate::provenance::{Announced, Keys, Provenance, Signer, SigningKeyError};
use crate::publisher::routing::RoutingKey;
use crate::publisher::{self, PublisherUrl, Topology};

/// `[ledger]`, checked, but for the lease, which belongs to publishing.
pub(super) struct Memory {
    pub(super) url: LedgerUrl,
    pub(super) spool: Option<SpoolSettings>,
    pub(super) retention: Duration,
    pub(super) timeout: Duration,
    pub(super) dedupe_window: Duration,
    pub(super) replay_window: Duration,
    durability: Durability,
    access: Access,
}

/// `[publisher]`, checked.
pub(super) struct Publishing {
    pub(super) settings: publisher::Settings,
    pub(super) ack: Ack,
    pub(super) ack_wait: Duration,
    pub(super) lease: Duration,
    pub(super) max_in_flight: usize,
    pub(super) retry_parked: Option<Duration>,
}

const DAY: Duration = Duration::from_hours(24);
const KEPT: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_hours(24 * 3_650);
const WAIT: RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_mins(10);
const ACK_WAIT: RangeInclusive<Duration> = Duration::ZERO..=Duration::from_secs(30);
const REST: RangeInclusive<Duration> = Duration::ZERO..=Duration::from_hours(24);
const PATIENCE: Duration = Duration::from_secs(10);

impl Memory {
    pub(super) fn read(mut section: Section<'_>, secrets: &Secrets<'_>) -> Self {
        let default = || LedgerUrl::Sqlite("hookgate.db".into());
        // What depends on a URL that cannot be used is not judged: nobody knows which ledger is meant.
        let known = match section.has("url") {
            true => url(&mut section, secrets, LedgerUrl::parse),
            false => Some(default()),
        };
        let spool = spool(&mut section, known.as_ref());
        let durability = durability(&mut section, known.as_ref());
        let access = access(&mut section, secrets, known.as_ref());
        let url = known.unwrap_or_else(default);
        let retention = match url {
            LedgerUrl::Sqlite(_) => DAY * 30,
            LedgerUrl::Redis(_) => DAY * 3,
        };
        let memory = Self {
            durability,
            access,
            url,
            spool,
            retention: section.duration("retention", KEPT).unwrap_or(retention),
            timeout: section
                .duration("timeout", WAIT)
                .unwrap_or(Duration::from_secs(2)),
            dedupe_window: section.duration("dedupe_window", KEPT).unwrap_or(DAY * 7),
            replay_window: section.duration("replay_window", KEPT).unwrap_or(DAY * 30),
        };
        section.finish();
        memory
    }

    pub(super) fn settings(self, lease: Duration) -> ledger::Settings {
        ledger::Settings {
            url: self.url,
            retention: self.retention,
            lease,
            timeout: self.timeout,
            durability: self.durability,
            access: self.access,
        }
    }
}

/// Reads `spool`, which goes with a ledger that can be away while this machine's disk is not.
fn spool(section: &mut Section<'_>, ledger: Option<&LedgerUrl>) -> Option<SpoolSettings> {
    let text = section.text("spool")?;
    if matches!(ledger, Some(LedgerUrl::Sqlite(_))) {
        let message = "`spool` goes with a redis ledger; a sqlite ledger is on this machine's disk \
                       already, so leave it out";
        section.report.problem(text.at, message);
        return None;
    }
    let parse = |text: &str| match LedgerUrl::parse(text) {
        Ok(LedgerUrl::Sqlite(path)) => Ok(path),
        Ok(LedgerUrl::Redis(_)) => Err("must be a local file; use sqlite:PATH".to_owned()),
        Err(_) => Err("must be of the form sqlite:PATH, the path of a file".to_owned()),
    };
    Some(SpoolSettings {
        path: section.parse_text("spool", text, parse)?,
        max_bytes: MAX_SPOOL_BYTES,
    })
}

/// Reads `durability`, which not every ledger can give.
fn durability(section: &mut Section<'_>, url: Option<&LedgerUrl>) -> Durability {
    let of_this = |text: &str| match (url, Durability::parse(text)?) {
        (Some(LedgerUrl::Sqlite(_)), Durability::Replicas(_)) => {
            Err("asks for replicas, and a sqlite ledger has none; it gives \"disk\"".to_owned())
        }
        (_, durability) => Ok(durability),
    };
    section.parsed("durability", of_this).unwrap_or_default()
}

/// Reads what connections to Redis need beside the URL, and refuses what would go unused.
fn access(section: &mut Section<'_>, secrets: &Secrets<'_>, url: Option<&LedgerUrl>) -> Access {
    let is = |what: fn(&Place) -> bool| match url {
        Some(LedgerUrl::Redis(place)) => what(place),
        Some(LedgerUrl::Sqlite(_)) => false,
        None => true,
    };
    let tls = TlsFiles::read(section, secrets.dir);
    if tls.given() && !is(Place::is_tls) {
        let message = "the files for TLS are of no use: the `url` does not begin with `rediss`";
        section.report.problem(section.place_of("url"), message);
    }
    if section.has("sentinel_password") && !is(Place::has_sentinels) {
        let message = "`sentinel_password` is for a `url` with +sentinel";
        section
            .report
            .problem(section.place_of("sentinel_password"), message);
    }
    let password = section.text("sentinel_password");
    Access {
        tls,
        sentinel_password: password.and_then(|text| secrets.find("sentinel_password", text)),
    }
}

impl Publishing {
    pub(super) fn read(mut section: Section<'_>, secrets: &Secrets<'_>) -> Self {
        let acks = [("confirmed", Ack::Confirmed), ("recorded", Ack::Recorded)];
        let url = url(&mut section, secrets, PublisherUrl::parse).unwrap_or(PublisherUrl::Stdout);
        let (lease, confirm_timeout) = patience(&mut section);
        let tls = TlsFiles::read(&mut section, secrets.dir);
        if tls.given() && !url.is_encrypted() {
            let message = "the files for TLS are of no use: no URL begins with `amqps:`";
            section.report.warning(section.place_of("url"), message);
        }
        let signed = signing(&mut section, secrets, &url);
        let settings = publisher::Settings {
            url,
            tls,
            exchange: section
                .parsed("exchange", broker_name)
                .unwrap_or_else(|| "signals".into()),
            routing_key: section
                .parsed("routing_key", routing_key)
                .unwrap_or_default(),
            declare: section
                .parsed("declare", queue)
                .map(|queue| Topology { queue }),
            confirm_timeout,
            provenance: Provenance::new(signed),
        };
        let rest = section.duration("retry_parked", REST);
        let rest = rest.unwrap_or(Duration::from_mins(1));
        let publishing = Self {
            settings,
            ack: section.choice("ack", &acks).unwrap_or(Ack::Confirmed),
            ack_wait: section
                .duration("ack_wait", ACK_WAIT)
                .unwrap_or(Duration::from_millis(300)),
            lease,
            max_in_flight: section
                .count("max_in_flight", 1..=1_000_000)
                .unwrap_or(1_024),
            retry_parked: Some(rest).filter(|rest| !rest.is_zero()),
        };
        section.finish();
        publishing
    }
}

/// Reads `lease` and `confirm_timeout`; one that is absent follows the other.
fn patience(section: &mut Section<'_>) -> (Duration, Duration) {
    let lease = section.duration("lease", WAIT);
    let confirm_timeout = section.duration("confirm_timeout", WAIT);
    if let (Some(lease), Some(confirm_timeout)) = (lease, confirm_timeout)
        && lease < confirm_timeout
    {
        // The relay would publish a signal whose confirm is still being waited for.
        let message = "`lease` must not be shorter than `confirm_timeout`; raise it";
        section.report.problem(section.place_of("lease"), message);
    }
    (
        lease.unwrap_or(PATIENCE.max(confirm_timeout.unwrap_or_default())),
        confirm_timeout.unwrap_or(PATIENCE.min(lease.unwrap_or(PATIENCE))),
    )
}

/// Public keys that are announced beside the one that signs.
const MAX_ANNOUNCED: usize = 16;

/// Reads `signing_key` and `announced_keys`.
fn signing(section: &mut Section<'_>, secrets: &Secrets<'_>, url: &PublisherUrl) -> Keys {
    fn read<T>(
        key: &'static str,
        text: Text<'_>,
        secrets: &Secrets<'_>,
        parse: fn(&str) -> Result<T, SigningKeyError>,
    ) -> Option<T> {
        let found = secrets.find(key, text)?;
        let refused = |error| {
            let message = format!("`{key}` refers to a value that {}", with_causes(&error));
            secrets.report.problem(text.at, message);
        };
        parse(found.expose_secret()).map_err(refused).ok()
    }
    let signer = section.text("signing_key");
    let signer = signer.and_then(|text| read("signing_key", text, secrets, Signer::from_pem));
    if signer.is_some() && matches!(url, PublisherUrl::Stdout) {
        let message =
            "`signing_key` signs nothing here: lines on standard output carry no signature";
        section
            .report
            .warning(section.place_of("signing_key"), message);
    }
    let announced = section.texts("announced_keys", MAX_ANNOUNCED);
    let announced = announced.unwrap_or_default().into_iter();
    Keys {
        signer,
        announced: announced
            .filter_map(|text| read("announced_keys", text, secrets, Announced::from_pem))
            .collect(),
    }
}

/// Reads `url`: the URL itself, or a reference to it. Never repeats it.
fn url<T>(
    section: &mut Section<'_>,
    secrets: &Secrets<'_>,
    parse: fn(&str) -> Result<T, String>,
) -> Option<T> {
    let text = section.text("url")?;
    if is_reference(text.text) {
        let found = secrets.find("url", text)?;
        let parse = |_: &str| {
            // A line break at the end of a variable is never part of a URL.
            parse(found.expose_secret().trim())
                .map_err(|why| format!("refers to a value that cannot be used: {why}"))
        };
        return section.parse_text("url", text, parse);
    }
    if holds_password(text.text) && !secrets.literals_allowed() {
        let message =
            "`url` holds a password; keep the URL out of this file with url = \"env:NAME\"";
        section.report.warning(text.at, message);
    }
    section.parse_text("url", text, |text| {
        parse(text).map_err(|why| format!("cannot be used: {why}"))
    })
}

fn holds_password(url: &str) -> bool {
    // A comma may stand in the password, too.
    std::iter::once(url)
        .chain(url.split(','))
        .filter_map(|url| url.split_once("://"))
        .any(|(_, rest)| {
            let authority = rest.split('/').next().unwrap_or_default();
            authority
                .rsplit_once('@')
                .is_some_and(|(user, _)| user.contains(':'))
        })
}

/// Bytes that AMQP allows for a name.
const MAX_BROKER_NAME: usize = 255;

fn broker_name(text: &str) -> Result<String, String> {
    if text.trim().is_empty() || text.len() > MAX_BROKER_NAME || text.contains(char::is_control) {
        return Err(format!("must be a name of 1 to {MAX_BROKER_NAME} bytes"));
    }
    Ok(text.to_owned())
}

fn queue(text: &str) -> Result<String, String> {
    match text.starts_with("amq.") {
        true => Err("must not begin with `amq.`, which brokers keep for themselves".into()),
        false => broker_name(text),
    }
}

/// Checks the template of a routing key.
fn routing_key(text: &str) -> Result<RoutingKey, String> {
    RoutingKey::parse(text).map_err(|why| format!("cannot be used: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_in_a_url_is_noticed() {
        for url in [
            "amqp://u:p@h/%2f",
            "redis://:p@h",
            "amqp://a/x,amqp://u:p@b/x",
            "redis+cluster://u:p,q@a,b",
            "redis+sentinel://:p@a:1,b:2/m",
        ] {
            assert!(holds_password(url), "{url}");
        }
        for url in [
            "amqp://h:5672/%2f",
            "redis://u@h",
            "redis+cluster://u@a:1,b:2",
            "sqlite:a:b@c",
            "stdout:",
        ] {
            assert!(!holds_password(url), "{url}");
        }
    }

    #[test]
    fn a_queue_has_a_name_that_brokers_allow() {
        assert_eq!(queue("work").as_deref(), Ok("work"));
        for text in ["", " ", "amq.x", "a\nb", &"x".repeat(256)] {
            assert!(queue(text).is_err(), "{text}");
        }
    }
}
