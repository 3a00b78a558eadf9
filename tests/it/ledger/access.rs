//! Who may connect: TLS with certificates of one's own, and a user with the least rights.

use std::sync::Arc;
use std::time::Duration;

use hookgate::config::{Identity, TlsFiles};
use hookgate::ledger::redis::Access;
use hookgate::ledger::{Durability, Ledger};

use super::drafts::by_id;
use super::{backlog, is_new, open_at, record_new, record_one, whole};
use crate::support::redis::{Certificates, Cluster, Options, Redis, Replicated};

const HASTE: Duration = Duration::from_secs(5);
const OPERATIONS: &str = include_str!("../../../docs/OPERATIONS.md");

fn read(path: std::path::PathBuf) -> String {
    std::fs::read_to_string(path).unwrap()
}

/// What a gateway is given that may do everything.
fn access(certificates: &Certificates) -> Access {
    Access {
        tls: TlsFiles {
            roots: Some(read(certificates.ca())),
            identity: Some(Identity {
                chain: read(certificates.client_chain()),
                key: read(certificates.client_key()).into(),
            }),
        },
        sentinel_password: None,
    }
}

fn with_tls(certificates: &Arc<Certificates>) -> Options {
    Options {
        tls: Some(Arc::clone(certificates)),
        ..Options::default()
    }
}

async fn open(url: &str, access: Access) -> Arc<dyn Ledger> {
    open_at(url, |settings| {
        settings.access = access;
        settings.timeout = HASTE;
    })
    .await
}

async fn refused(url: &str, access: Access) -> String {
    whole(&open(url, access).await.ready().await.unwrap_err())
}

#[tokio::test]
async fn an_authority_of_ones_own_is_trusted_when_it_is_named_and_another_is_not() {
    let ours = Arc::new(Certificates::new(&["127.0.0.1"], false));
    let redis = Redis::with(with_tls(&ours));
    let url = redis.url();
    let ca = |certificates: &Certificates| Access {
        tls: TlsFiles {
            roots: Some(read(certificates.ca())),
            identity: None,
        },
        ..Access::default()
    };
    record_new(&open(&url, ca(&ours)).await, &by_id("a", "evt_1", "")).await;
    let others = Certificates::new(&["127.0.0.1"], false);
    for access in [Access::default(), ca(&others)] {
        let told = refused(&url, access).await;
        assert!(
            told.contains("UnknownIssuer") && told.contains("ledger.ca_file"),
            "{told}"
        );
    }
    let told = refused(&url.replace("127.0.0.1", "localhost"), ca(&ours)).await;
    assert!(told.contains("not valid for name \"localhost\""), "{told}");
    assert!(
        !refused(&url.replace("rediss", "redis"), Access::default())
            .await
            .is_empty()
    );
}

#[tokio::test]
async fn a_server_that_demands_a_certificate_is_given_one() {
    let certificates = Arc::new(Certificates::new(&["127.0.0.1"], true));
    let redis = Redis::with(with_tls(&certificates));
    let with = access(&certificates);
    record_new(
        &open(&redis.url(), with.clone()).await,
        &by_id("a", "evt_1", ""),
    )
    .await;
    let mut without = with.clone();
    without.tls.identity = None;
    let told = refused(&redis.url(), without).await;
    assert!(
        told.contains("certificate required") || told.contains("CertificateRequired"),
        "{told}"
    );
    let mut others = with;
    others.tls.identity = access(&Certificates::new(&["x"], true)).tls.identity;
    assert!(!refused(&redis.url(), others).await.is_empty());
}

#[tokio::test]
async fn every_node_of_a_cluster_is_reached_by_tls() {
    let certificates = Arc::new(Certificates::new(&["127.0.0.1"], true));
    let cluster = Cluster::start(2, 0, &with_tls(&certificates));
    let ledger = open(&cluster.url(), access(&certificates)).await;
    for endpoint in ["a", "b", "c", "d", "e", "f"] {
        record_new(&ledger, &by_id(endpoint, "evt_1", "")).await;
    }
    assert_eq!(ledger.backlog().await.unwrap(), backlog(6, 0));
    ledger.ready().await.unwrap();
}

#[tokio::test]
async fn sentinels_and_the_master_are_reached_by_tls() {
    let certificates = Arc::new(Certificates::new(&["127.0.0.1"], true));
    let servers = Replicated::start(0, 1, &with_tls(&certificates), &[]);
    let ledger = open(&servers.url(), access(&certificates)).await;
    record_new(&ledger, &by_id("a", "evt_1", "")).await;
}

/// The right that the page adds where a server knows of it.
fn with_waitaof(user: String) -> String {
    match Redis::start().has_waitaof() {
        true => user + " +waitaof",
        false => user,
    }
}

/// The user that the page describes, with this password, as a configuration file has it.
fn documented_user(password: &str) -> String {
    let mut lines = OPERATIONS
        .lines()
        .filter_map(|line| line.strip_prefix("ACL SETUSER "));
    let rights = lines.next().unwrap();
    assert_eq!(lines.next(), None, "there is one line to copy");
    format!(
        "user {}",
        rights.replace(">PASSWORD", &format!(">{password}"))
    )
}

/// Does everything that a gateway does.
async fn use_all(ledger: &Arc<dyn Ledger>) {
    let draft = by_id("a", "evt_1", "");
    let first = record_new(ledger, &draft).await;
    let second = record_new(ledger, &by_id("b", "evt_2", "")).await;
    assert!(!is_new(&record_one(ledger, &draft).await));
    ledger
        .released(&[first.clone(), second.clone()])
        .await
        .unwrap();
    assert_eq!(ledger.unpublished(10).await.unwrap().len(), 2);
    ledger.published(&[first]).await.unwrap();
    ledger.parked(&second, "refused").await.unwrap();
    assert_eq!(ledger.backlog().await.unwrap(), backlog(0, 1));
    ledger.prune().await.unwrap();
    ledger.ready().await.unwrap();
}

fn log_in(url: &str) -> String {
    url.replacen("://", "://hookgate:s3cr3t@", 1)
}

#[tokio::test]
async fn the_user_of_the_page_may_do_all_that_is_needed() {
    let master = Redis::with(Options {
        append_only: true,
        settings: vec![
            "user default off".to_owned(),
            with_waitaof(documented_user("s3cr3t")),
        ],
        ..Options::default()
    });
    let ledger = open(&log_in(&master.url()), Access::default()).await;
    use_all(&ledger).await;
    let found = ledger.probe().await.unwrap().join("\n");
    assert!(found.contains("appendfsync always"), "{found}");

    for durability in ["disk", "replicas:1"] {
        let url = log_in(&master.url());
        let ledger = open_at(&url, |settings| {
            settings.durability = Durability::parse(durability).unwrap();
            settings.timeout = Duration::from_millis(500);
        });
        let recorded = ledger.await.record(vec![by_id("c", durability, "")]).await;
        match recorded {
            Ok(_) => assert_eq!(durability, "disk"),
            // No replica, but no missing right either.
            Err(error) => assert!(whole(&error).contains("0 of the 1"), "{}", whole(&error)),
        }
    }
}

#[tokio::test]
async fn without_the_right_to_config_it_is_said_what_is_not_known() {
    let user = documented_user("s3cr3t").replace(" +config|get", "");
    let master = Redis::with(Options {
        append_only: true,
        settings: vec!["user default off".to_owned(), user],
        ..Options::default()
    });
    let ledger = open(&log_in(&master.url()), Access::default()).await;
    use_all(&ledger).await;
    let found = ledger.probe().await.unwrap().join("\n");
    assert!(
        found.contains("appendfsync could not be read (CONFIG is not permitted)"),
        "{found}"
    );
}

#[tokio::test]
async fn the_user_of_the_page_is_enough_for_a_cluster_and_for_sentinels() {
    // The servers among themselves, and this test, go on as the default user.
    let options = Options {
        settings: vec![documented_user("s3cr3t")],
        ..Options::default()
    };
    let cluster = Cluster::start(2, 0, &options);
    let ledger = open(&log_in(&cluster.url()), Access::default()).await;
    use_all(&ledger).await;
    let found = ledger.probe().await.unwrap().join("\n");
    assert!(found.contains("cluster: its state is ok"), "{found}");

    let servers = Replicated::start(0, 1, &options, &[]);
    let ledger = open(&log_in(&servers.url()), Access::default()).await;
    use_all(&ledger).await;
    let found = ledger.probe().await.unwrap().join("\n");
    assert!(found.contains("sentinels: 1 of 1 answer"), "{found}");
}
