//! `hookgate demo`: the whole gateway in one command, as a first visitor sees it.

use super::run_with;

#[test]
fn the_demo_shows_every_outcome_and_leaves_nothing_behind() {
    let dir = tempfile::tempdir().unwrap();
    let scratch = dir.path().to_str().unwrap();
    let ran = run_with(&["demo", "--once"], dir.path(), &[("TMPDIR", scratch)], "");
    let told = ran.done();
    let (signals, table) = told.split_once("\nWhat became of each delivery\n").unwrap();
    for (status, outcome, reason) in [
        ("200", "accepted", "confirmed"),
        ("200", "duplicate", ""),
        ("200", "replayed", ""),
        ("200", "filtered", ""),
        ("200", "handshake", ""),
        ("401", "rejected", "signature_mismatch"),
        ("401", "rejected", "signature_missing"),
        ("401", "rejected", "timestamp_stale"),
        ("400", "rejected", "body_malformed"),
    ] {
        let row = format!("  {status}  {outcome:10} {reason}");
        let shown = table
            .lines()
            .any(|line| line.trim_end().ends_with(row.trim_end()));
        assert!(shown, "{row} is not in {table}");
    }
    assert!(!table.contains("(unexpected)"), "{table}");

    let lines = signals.lines().filter(|line| line.starts_with('{'));
    let published: Vec<serde_json::Value> = lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let accepted = table.lines().filter(|line| line.contains("  accepted  "));
    assert_eq!(published.len(), accepted.count());
    assert!(signals.contains("[redacted]"), "{signals}");
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
}
