//! What the reference promises: its examples load, its keys exist, its defaults hold.

use super::*;
use crate::publisher::routing::RoutingKey;

const REFERENCE: &str = include_str!("../../../docs/CONFIGURATION.md");

#[test]
fn an_empty_file_loads_with_the_documented_defaults() {
    let config = parse("").unwrap();
    let day = Duration::from_hours(24);
    assert_eq!(config.server.listen.to_string(), "0.0.0.0:8080");
    assert_eq!(config.server.admin_listen.to_string(), "127.0.0.1:9090");
    assert_eq!(config.server.public_url, None);
    assert_eq!(config.server.shutdown_grace, Duration::from_secs(25));
    assert_eq!(config.server.max_in_flight_bytes, 256 << 20);
    assert_eq!(
        config.server.log,
        Log {
            format: LogFormat::Auto,
            level: tracing::Level::INFO
        }
    );
    assert!(matches!(&config.ledger.url, LedgerUrl::Sqlite(p) if p == Path::new("hookgate.db")));
    assert_eq!(config.ledger.durability, crate::ledger::Durability::Memory);
    assert_eq!(config.ledger.retention, day * 30);
    assert_eq!(
        (config.dedupe_window, config.replay_window),
        (day * 7, day * 30)
    );
    assert!(matches!(config.publisher.url, PublisherUrl::Stdout));
    assert_eq!(config.publisher.exchange, "signals");
    assert_eq!(config.publisher.routing_key, RoutingKey::default());
    assert_eq!(
        (config.ack, config.ack_wait),
        (Ack::Confirmed, Duration::from_millis(300))
    );
    assert_eq!(config.ledger.lease, Duration::from_secs(10));
    assert_eq!(config.retry_parked, Some(Duration::from_mins(1)));
    assert_eq!(config.tenant_rate, None);
    assert_eq!(config.warnings.len(), 1, "{:?}", config.warnings);
}

#[test]
fn the_example_of_the_design_loads() {
    let dir = tempfile::tempdir().unwrap();
    let next = dir.path().join("acme-stripe-next");
    fs::write(&next, "whsec_next\n").unwrap();
    let path = dir.path().join("hookgate.toml");
    let text = format!(
        r#"
[server]
listen       = "0.0.0.0:8080"          # public
admin_listen = "127.0.0.1:9090"        # /metrics /livez /readyz /v1/…
public_url   = "https://hooks.example.com"

[ledger]
url           = "redis://redis:6379"   # default sqlite:hookgate.db
retention     = "72h"                  # default: 72h on redis, 30d on sqlite
dedupe_window = "7d"
replay_window = "30d"

[publisher]
url      = "amqp://rabbit:5672/%2f"    # default stdout:
exchange = "signals"
ack      = "confirmed"

[[endpoint]]
id       = "acme-stripe"               # path defaults to /hooks/acme-stripe
tenant   = "acme"
provider = "stripe"
secrets  = ["env:STRIPE", "file:{}"]
credential_ref = "cred_acme_stripe"
events   = ["charge.*", "invoice.paid"]
"#,
        next.display()
    );
    fs::write(&path, text).unwrap();
    let config = Config::load(&path, &env()).unwrap();
    assert_eq!(config.endpoints.len(), 1);
    assert_eq!(config.watched_files(), [path, next]);
    assert_eq!(config.warnings, [""; 0]);
}

#[test]
fn the_example_of_the_reference_loads() {
    let (_, rest) = REFERENCE.split_once("```toml\n").unwrap();
    let (example, _) = rest.split_once("```").unwrap();
    let example = example
        .replace("env:REDIS_URL", "env:LEDGER_URL")
        .replace("env:AMQP_URL", "stdout:")
        .replace("env:ACME_STRIPE_SECRET", "env:STRIPE")
        .replace("file:/run/secrets/acme-stripe-next", "env:GITHUB");
    assert_eq!(parse(&example).unwrap().endpoints.len(), 1);
}

#[test]
fn every_key_has_its_row_in_the_reference() {
    let rows: Vec<&str> = REFERENCE
        .lines()
        .filter(|line| line.starts_with("| `"))
        .collect();
    let full = FULL
        .lines()
        .filter_map(|line| Some(line.split_once(" = ")?.0));
    // A file that has to be there, and what goes with another state: not in the full configuration.
    let elsewhere = [
        "ca_file",
        "setup_file",
        "client_cert_file",
        "client_key_file",
        "sentinel_password",
        "seal_to",
        "signing_key",
        "announced_keys",
    ];
    for key in full.chain(elsewhere) {
        let quoted = format!("`{key}`");
        let first_cell = |row: &&str| {
            row.split('|')
                .nth(1)
                .is_some_and(|cell| cell.contains(&quoted))
        };
        let known = rows.iter().any(first_cell) || REFERENCE.contains(&format!("[endpoint.{key}]"));
        assert!(known, "{key} is not in the reference");
    }
}
