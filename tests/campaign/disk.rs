//! A disk that is full: an embedded gateway whose ledger has no room to grow, and gets it back.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

use super::support::deliveries::{outcome, signalid, signed, to};
use super::support::process::{Gateway, Setup};
use super::support::until;

/// How much room the ledger's file system has.
const SIZE: &str = "2m";

/// How many events are accepted before the disk is full, and after.
const EVENTS: usize = 20;

/// A small file system in memory, which only root may mount.
struct Disk {
    dir: TempDir,
}

impl Disk {
    fn mount() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &format!("size={SIZE}"), "campaign"]);
        let mounted = mount.arg(dir.path()).status().unwrap();
        assert!(mounted.success(), "root is needed to mount a file system");
        Self { dir }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Fills whatever is left.
    fn fill(&self) {
        let ballast = self.path("ballast");
        // As much as goes on it; that it is too much is the point.
        let _ = std::fs::write(&ballast, vec![1; 4 << 20]);
        assert!(size_of(&ballast) > 0, "there was no room before");
    }

    fn free(&self) {
        std::fs::remove_file(self.path("ballast")).unwrap();
    }
}

fn size_of(path: &Path) -> u64 {
    std::fs::metadata(path).unwrap().len()
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Lazily: the gateway may not have let go of its files yet.
        let _ = Command::new("umount")
            .arg("-l")
            .arg(self.dir.path())
            .status();
    }
}

/// Delivers an event until it is acknowledged, and returns its signal, and how often it was refused.
async fn deliver(gateway: &Gateway, event: &str) -> (String, usize) {
    let mut refused = 0;
    let mut signal = String::new();
    until("the event is acknowledged", async || {
        let answer = gateway.send(to("charges", &signed("stripe", event))).await;
        if answer.status() != 200 {
            refused += 1;
            assert_eq!(answer.status(), 503);
            assert!(answer.headers().contains_key("retry-after"));
            return false;
        }
        assert!(matches!(outcome(&answer), "accepted" | "duplicate"));
        signal = signalid(&answer);
        true
    })
    .await;
    (signal, refused)
}

/// The signals that were published, on standard output.
fn published(gateway: &Gateway) -> BTreeSet<String> {
    let text = gateway.stdout();
    let signal = |line: &str| {
        let signal: Value = serde_json::from_str(line).unwrap();
        signal["signalid"].as_str().unwrap().to_owned()
    };
    text.lines().map(signal).collect()
}

#[tokio::test]
async fn what_was_accepted_around_a_full_disk_is_published_and_nothing_else() {
    let disk = Disk::mount();
    let ledger = format!("sqlite:{}", disk.path("ledger.db").display());
    let setup = Setup::new()
        .ledger(&ledger)
        .endpoint("charges", "acme", "stripe");
    let gateway = setup.start().await;
    let mut accepted = BTreeSet::new();
    for event in 0..EVENTS {
        accepted.insert(deliver(&gateway, &format!("before{event}")).await.0);
    }
    disk.fill();
    // What SQLite has room for in the files that it has may still be taken.
    let mut full = 0;
    let refused = loop {
        let event = format!("full{full}");
        let answer = gateway.send(to("charges", &signed("stripe", &event))).await;
        if answer.status() == 503 {
            break event;
        }
        accepted.insert(signalid(&answer));
        full += 1;
        assert!(full < 10_000, "the disk does not fill");
    };
    disk.free();
    accepted.insert(deliver(&gateway, &refused).await.0);
    for event in 0..EVENTS {
        accepted.insert(deliver(&gateway, &format!("after{event}")).await.0);
    }
    gateway
        .until_metric("hookgate_ledger_owed_signals", 0)
        .await;
    until("everything is published", async || {
        published(&gateway) == accepted
    })
    .await;
}
