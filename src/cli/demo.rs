//! `hookgate demo`: the real gateway on embedded defaults, and real deliveries sent to it.
//!
//! Nothing is pretended: the deliveries are signed as their providers sign and go over HTTP, the
//! ledger is SQLite in a fresh directory, signals are published to stdout, and the reasons in the
//! table are read from the gateway's own metrics.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use bytes::Bytes;
use clap::Args;
use http::{HeaderMap, Method, Uri};
use secrecy::{ExposeSecret, SecretString};

use super::paint::{Colour, paint, say};
use super::send::{Client, event_id, sample};
use super::serve::{any, ends};
use super::{Failure, provider, runtime};
use crate::app::App;
use crate::clock;
use crate::config::{Config, Log, LogFormat};
use crate::delivery::Delivery;
use crate::provider::Catalogue;
use crate::telemetry;

/// The providers that the demo has endpoints for.
const PROVIDERS: [&str; 4] = ["github", "stripe", "slack", "shopify"];
/// How long the gateway may take to stop.
const GRACE: Duration = Duration::from_secs(10);

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Stops after the table instead of serving on
    #[arg(long)]
    once: bool,
    /// Where to listen for deliveries (port 0: any that is free)
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// Shows the gateway's own log
    #[arg(long)]
    log: bool,
}

pub(super) fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    if arguments.log {
        let log = Log {
            format: LogFormat::Auto,
            level: tracing::Level::INFO,
        };
        telemetry::start(log).map_err(|error| Failure::failed(error.to_string()))?;
    }
    let directory = Scratch::new()?;
    let result = runtime()?.block_on(play(arguments, &directory.0));
    drop(directory);
    result
}

async fn play(arguments: &Arguments, directory: &Path) -> Result<ExitCode, Failure> {
    let mut ends = ends()?;
    let secrets = secrets()?;
    let config = configuration(arguments.listen, directory, &secrets)?;
    let app = App::bind(config).await?;
    let (public, admin) = (app.public_addr(), app.admin_addr());
    let running = app.spawn();
    say(&paint(
        Colour::Bold,
        "Signals, as workers receive them (publisher stdout:)",
    ));
    let stage = Stage {
        client: Client::new(),
        public,
        admin,
        secrets,
    };
    let rows = stage.perform().await?;
    table(&rows);
    if !arguments.once {
        stage.invite();
        any(&mut ends).await;
    }
    let drained = running.finish(GRACE).await;
    let surprised = rows.iter().any(|row| row.outcome != row.expected);
    Ok(if drained && !surprised {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn configuration(
    listen: SocketAddr,
    directory: &Path,
    secrets: &BTreeMap<String, SecretString>,
) -> Result<Config, Failure> {
    let ledger = directory.join("ledger.db");
    let mut text = format!(
        "allow_inline_secrets = true\n\
         [server]\nlisten = \"{listen}\"\nadmin_listen = \"127.0.0.1:0\"\n\
         [ledger]\nurl = \"sqlite:{}\"\n\
         [publisher]\nurl = \"stdout:\"\n",
        ledger.display()
    );
    for (name, secret) in secrets {
        let filter = if name == "stripe" {
            "events = [\"charge.*\"]\n"
        } else {
            ""
        };
        text.push_str(&format!(
            "[[endpoint]]\nid = \"demo-{name}\"\ntenant = \"demo\"\nprovider = \"{name}\"\n\
             secrets = [\"{}\"]\ncredential_ref = \"cred_demo_{name}\"\n{filter}",
            secret.expose_secret()
        ));
    }
    let nowhere: BTreeMap<String, String> = BTreeMap::new();
    Ok(Config::parse(&text, "demo.toml", directory, &nowhere)?)
}

fn secrets() -> Result<BTreeMap<String, SecretString>, Failure> {
    PROVIDERS
        .iter()
        .map(|name| Ok(((*name).to_owned(), format!("demo_{}", event_id()?).into())))
        .collect()
}

/// One delivery and what became of it.
struct Row {
    what: &'static str,
    expected: &'static str,
    status: u16,
    outcome: String,
    reason: String,
}

struct Stage {
    client: Client,
    public: SocketAddr,
    admin: SocketAddr,
    secrets: BTreeMap<String, SecretString>,
}

impl Stage {
    async fn perform(&self) -> Result<Vec<Row>, Failure> {
        let now = clock::now();
        let ago = now - jiff::SignedDuration::from_secs(600);
        let mut rows = Vec::new();
        let mut play = async |what, expected, name: &str, delivery: &Delivery| {
            rows.push(self.send(what, expected, name, delivery).await?);
            Ok::<(), Failure>(())
        };

        let issue = self.signed("github", "d1", now, |_| {})?;
        play("GitHub issue, signed", "accepted", "github", &issue).await?;
        play("the same delivery again", "duplicate", "github", &issue).await?;
        let mut captured = issue.clone();
        captured
            .headers
            .insert("x-github-delivery", "another-id".parse()?);
        play(
            "the same body under a fresh delivery id",
            "replayed",
            "github",
            &captured,
        )
        .await?;
        let mut forged = self.signed("github", "d2", now, |_| {})?;
        forged.body = Bytes::from_static(br#"{"action":"opened","issue":{"title":"forged"}}"#);
        play(
            "a forged body under a captured signature",
            "rejected",
            "github",
            &forged,
        )
        .await?;
        let other = self.signed("github", "d1", now, |delivery| {
            delivery.body = Bytes::from_static(br#"{"action":"closed","access_token":"ghp_x"}"#);
        })?;
        play(
            "new content under a known id: still admitted",
            "accepted",
            "github",
            &other,
        )
        .await?;
        let malformed = self.signed("github", "d3", now, |delivery| {
            delivery.body = Bytes::from_static(br#"{"action":"opened","#);
        })?;
        play(
            "signed, but not the JSON that it says",
            "rejected",
            "github",
            &malformed,
        )
        .await?;

        let charge = self.signed("stripe", "1", now, |_| {})?;
        play("Stripe charge, signed", "accepted", "stripe", &charge).await?;
        let stale = self.signed("stripe", "2", ago, |_| {})?;
        play("signed 10 minutes ago: stale", "rejected", "stripe", &stale).await?;
        let unwanted = self.signed("stripe", "3", now, |delivery| {
            delivery.body = Bytes::from_static(br#"{"id":"evt_3","type":"invoice.paid"}"#);
        })?;
        play(
            "an event type that the endpoint leaves out",
            "filtered",
            "stripe",
            &unwanted,
        )
        .await?;
        let mut unsigned = charge.clone();
        unsigned.headers.remove("stripe-signature");
        play("not signed at all", "rejected", "stripe", &unsigned).await?;

        let challenge = self.signed("slack", "1", now, |delivery| {
            delivery.body =
                Bytes::from_static(br#"{"type":"url_verification","challenge":"3eZbrw1aBm2rZ"}"#);
        })?;
        play("Slack's ownership check", "handshake", "slack", &challenge).await?;
        let mention = self.signed("slack", "2", now, |_| {})?;
        play("Slack event, signed", "accepted", "slack", &mention).await?;
        let order = self.signed("shopify", "1", now, |_| {})?;
        play("Shopify order, signed", "accepted", "shopify", &order).await?;
        Ok(rows)
    }

    /// Makes a provider's sample, changes it, and signs it.
    fn signed(
        &self,
        name: &str,
        id: &str,
        at: clock::Timestamp,
        change: impl FnOnce(&mut Delivery),
    ) -> Result<Delivery, Failure> {
        let catalogue = Catalogue::builtin()?;
        let provider = provider(&catalogue, name)?;
        let mut delivery = sample(provider, id, at)?;
        delivery.url = self.url(name).to_string();
        change(&mut delivery);
        let secret = self.secrets.get(name);
        let secret = secret.ok_or_else(|| Failure::failed(format!("no secret for {name}")))?;
        provider.sign(None, secret, &mut delivery, at)?;
        Ok(delivery)
    }

    async fn send(
        &self,
        what: &'static str,
        expected: &'static str,
        name: &str,
        delivery: &Delivery,
    ) -> Result<Row, Failure> {
        let before = self.counts().await?;
        let answer = self
            .client
            .send(delivery, &self.url(name).parse::<Uri>()?)
            .await?;
        let after = self.counts().await?;
        let counted = after
            .iter()
            .find(|(words, count)| before.get(*words) != Some(count));
        let (outcome, reason) = counted.map(|(words, _)| words.clone()).unwrap_or_default();
        Ok(Row {
            what,
            expected,
            status: answer.status().as_u16(),
            outcome,
            reason,
        })
    }

    /// Reads how many deliveries had each outcome and reason from the gateway's metrics.
    async fn counts(&self) -> Result<BTreeMap<(String, String), String>, Failure> {
        let scrape = Delivery {
            method: Method::GET,
            url: String::new(),
            headers: HeaderMap::new(),
            body: Bytes::new(),
            caller: self.admin.ip(),
            via_trusted_proxy: false,
        };
        let url: Uri = format!("http://{}/metrics", self.admin).parse()?;
        let text = self.client.send(&scrape, &url).await?;
        let text = String::from_utf8_lossy(text.body()).into_owned();
        let mut counts: BTreeMap<(String, String), f64> = BTreeMap::new();
        for line in text
            .lines()
            .filter(|line| line.starts_with("hookgate_deliveries_total{"))
        {
            let Some((labels, count)) = line.rsplit_once(' ') else {
                continue;
            };
            let words = (label(labels, "outcome"), label(labels, "reason"));
            *counts.entry(words).or_default() += count.parse::<f64>().unwrap_or_default();
        }
        Ok(counts
            .into_iter()
            .map(|(words, count)| (words, count.to_string()))
            .collect())
    }

    fn url(&self, name: &str) -> String {
        format!("http://{}/hooks/demo-{name}", self.public)
    }

    fn invite(&self) {
        say("\nThe gateway goes on serving; Ctrl-C ends it. Send it something yourself:\n");
        for (name, secret) in &self.secrets {
            let (secret, url) = (secret.expose_secret(), self.url(name));
            say(&format!(
                "  hookgate send --provider {name} --secret {secret} {url}"
            ));
        }
        say(&format!(
            "\nWhat Prometheus sees: curl http://{}/metrics\n",
            self.admin
        ));
    }
}

fn label(labels: &str, name: &str) -> String {
    let start = format!("{name}=\"");
    let rest = labels
        .split_once(start.as_str())
        .map_or("", |(_, rest)| rest);
    rest.split('"').next().unwrap_or_default().to_owned()
}

fn table(rows: &[Row]) {
    let width = rows
        .iter()
        .map(|row| row.what.len())
        .max()
        .unwrap_or_default();
    say(&format!(
        "\n{}",
        paint(Colour::Bold, "What became of each delivery")
    ));
    say(&format!(
        "{:width$}  status  {:10} reason",
        "delivery", "outcome"
    ));
    for row in rows {
        let colour = match row.outcome.as_str() {
            "accepted" | "handshake" => Colour::Green,
            "rejected" => Colour::Red,
            _ => Colour::Yellow,
        };
        let outcome = paint(colour, &format!("{:10}", row.outcome));
        let surprise = if row.outcome == row.expected {
            ""
        } else {
            "  (unexpected)"
        };
        say(&format!(
            "{:width$}  {:6}  {outcome} {}{surprise}",
            row.what, row.status, row.reason
        ));
    }
}

/// A fresh directory, removed with everything in it at the end.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Result<Self, Failure> {
        let path = std::env::temp_dir().join(format!("hookgate-demo-{}", event_id()?));
        std::fs::create_dir(&path)?;
        Ok(Self(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // It is the system's temporary directory: what cannot be removed now goes later.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
