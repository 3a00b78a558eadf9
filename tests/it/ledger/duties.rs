//! The contract of a ledger, second part: what it owes to the publisher, and what it may forget.

use std::collections::HashSet;
use std::time::Duration;

use hookgate::ledger::Recorded;

use super::drafts::{by_content, by_id};
use super::{Backend, HOUR, backlog, ids, is_new, record_new, record_one};
use crate::support::eventually;

every_ledger! {
    a_lease_keeps_a_signal_to_whoever_holds_it
    a_lease_that_runs_out_gives_the_signal_to_the_relay
    a_signal_is_published_once_and_for_all
    a_parked_signal_is_kept_and_no_longer_owed
    pruning_never_removes_what_is_owed_or_parked
    a_signal_outlives_its_marks_and_still_refuses_repeats
    every_signal_owed_is_leased_once_and_never_more_than_asked_for
    one_endpoint_can_have_a_whole_lease
    large_signals_are_leased_in_smaller_lots
    a_long_reason_for_parking_is_taken
    a_parked_signal_is_tried_by_one_at_a_time_until_it_is_published
    of_parked_signals_those_tried_longest_ago_come_first
    a_parked_signal_that_was_left_alone_too_shortly_is_not_tried
}

async fn a_lease_keeps_a_signal_to_whoever_holds_it(backend: Backend) {
    let [one, other] = backend.open_twice().await;
    let signal = record_new(&one, &by_id("a", "evt_1", "")).await;
    assert_eq!(other.unpublished(10).await.unwrap(), []);

    one.released(std::slice::from_ref(&signal)).await.unwrap();
    assert_eq!(other.unpublished(10).await.unwrap(), [signal]);
    assert_eq!(one.unpublished(10).await.unwrap(), []);
    assert_eq!(one.backlog().await.unwrap(), backlog(1, 0));
}

async fn a_lease_that_runs_out_gives_the_signal_to_the_relay(backend: Backend) {
    let ledger = backend
        .open_with(|settings| settings.lease = Duration::from_millis(50))
        .await;
    let signal = record_new(&ledger, &by_id("a", "evt_1", "")).await;
    // Twice, because a lease of the relay's own runs out just the same.
    for _ in 0..2 {
        let leased = eventually("the lease runs out", || async {
            Some(ledger.unpublished(10).await.unwrap()).filter(|signals| !signals.is_empty())
        });
        assert_eq!(leased.await, std::slice::from_ref(&signal));
    }
}

async fn a_signal_is_published_once_and_for_all(backend: Backend) {
    let ledger = backend.open().await;
    let draft = by_id("a", "evt_1", "");
    let signals = [record_new(&ledger, &draft).await];
    for _ in 0..2 {
        ledger.published(&signals).await.unwrap();
        assert_eq!(ledger.backlog().await.unwrap(), backlog(0, 0));
    }
    // What comes late changes nothing.
    ledger.released(&signals).await.unwrap();
    ledger.parked(&signals[0], "too late").await.unwrap();
    assert_eq!(ledger.unpublished(10).await.unwrap(), []);
    assert_eq!(ledger.backlog().await.unwrap(), backlog(0, 0));
    assert!(!is_new(&record_one(&ledger, &draft).await));
}

async fn a_parked_signal_is_kept_and_no_longer_owed(backend: Backend) {
    let ledger = backend.open().await;
    let draft = by_id("a", "evt_1", "");
    let signals = [record_new(&ledger, &draft).await];
    for _ in 0..2 {
        ledger
            .parked(&signals[0], "no queue takes it")
            .await
            .unwrap();
        assert_eq!(ledger.backlog().await.unwrap(), backlog(0, 1));
    }
    ledger.released(&signals).await.unwrap();
    assert_eq!(ledger.unpublished(10).await.unwrap(), []);
    assert!(!is_new(&record_one(&ledger, &draft).await));
    // Published after all, by another replica.
    ledger.published(&signals).await.unwrap();
    assert_eq!(ledger.backlog().await.unwrap(), backlog(0, 0));
}

async fn pruning_never_removes_what_is_owed_or_parked(backend: Backend) {
    let ledger = backend
        .open_with(|settings| settings.retention = Duration::ZERO)
        .await;
    let [owed, parked, published] = ["owed", "parked", "published"].map(|id| {
        let mut draft = by_id("a", id, "");
        draft.keep_marks = Duration::ZERO;
        draft
    });
    let recorded = record_new(&ledger, &owed).await;
    ledger
        .parked(&record_new(&ledger, &parked).await, "refused")
        .await
        .unwrap();
    ledger
        .published(&[record_new(&ledger, &published).await])
        .await
        .unwrap();

    // Its marks and its signal gone, the published event could come again: that is how to see it.
    eventually("what is published goes", || async {
        ledger.prune().await.unwrap();
        is_new(&record_one(&ledger, &published).await).then_some(())
    })
    .await;
    assert_eq!(ledger.backlog().await.unwrap(), backlog(2, 1));
    assert_eq!(
        record_one(&ledger, &owed).await,
        Recorded::Duplicate(owed.signalid)
    );
    assert_eq!(
        record_one(&ledger, &parked).await,
        Recorded::Duplicate(parked.signalid)
    );
    ledger
        .released(std::slice::from_ref(&recorded))
        .await
        .unwrap();
    assert_eq!(ledger.unpublished(10).await.unwrap(), [recorded]);
}

async fn a_signal_outlives_its_marks_and_still_refuses_repeats(backend: Backend) {
    let ledger = backend.open().await;
    let mut draft = by_content("a", "evt_1", "content");
    draft.keep_marks = Duration::from_secs(1);
    let signal = record_new(&ledger, &draft).await;
    ledger.published(&[signal]).await.unwrap();

    // Content under another id is a replay as long as its mark tells the ids apart.
    let replay = by_content("a", "evt_2", "content");
    eventually("the mark runs out", || async {
        let recorded = record_one(&ledger, &replay).await;
        (recorded == Recorded::Duplicate(draft.signalid)).then_some(())
    })
    .await;
    assert_eq!(ledger.backlog().await.unwrap(), backlog(0, 0));
}

async fn every_signal_owed_is_leased_once_and_never_more_than_asked_for(backend: Backend) {
    let ledger = backend.open().await;
    let mut recorded = Vec::new();
    for n in 0..40 {
        let endpoint = ["a", "b", "c", "d", "e"][n % 5];
        recorded.push(record_new(&ledger, &by_id(endpoint, &format!("evt_{n}"), "")).await);
    }
    ledger.released(&recorded).await.unwrap();
    let mut leased = Vec::new();
    loop {
        let some = ledger.unpublished(7).await.unwrap();
        if some.is_empty() {
            break;
        }
        assert!(some.len() <= 7);
        leased.extend(some);
    }
    assert_eq!(leased.len(), 40);
    assert_eq!(ids(&leased), ids(&recorded));
}

async fn one_endpoint_can_have_a_whole_lease(backend: Backend) {
    let ledger = backend.open().await;
    let drafts: Vec<_> = (0..100)
        .map(|n| by_id("a", &format!("evt_{n}"), ""))
        .collect();
    let wanted: HashSet<_> = drafts.iter().map(|draft| draft.signalid).collect();
    let recorded = ledger.record(drafts).await.unwrap();
    let signals: Vec<_> = recorded
        .into_iter()
        .map(|recorded| match recorded {
            Recorded::New { signal, .. } => signal,
            other => panic!("{other:?}"),
        })
        .collect();
    ledger.released(&signals).await.unwrap();
    assert_eq!(ids(&ledger.unpublished(100).await.unwrap()), wanted);
}

async fn large_signals_are_leased_in_smaller_lots(backend: Backend) {
    let ledger = backend.open().await;
    let large = "x".repeat(3 << 20);
    let mut recorded = Vec::new();
    for n in 0..4 {
        recorded.push(record_new(&ledger, &by_id("a", &format!("evt_{n}"), &large)).await);
    }
    ledger.released(&recorded).await.unwrap();
    let first = ledger.unpublished(10).await.unwrap();
    assert!(!first.is_empty() && first.len() < 4, "{}", first.len());
    let mut leased = ids(&first);
    while leased.len() < 4 {
        let more = ledger.unpublished(10).await.unwrap();
        assert!(!more.is_empty());
        leased.extend(ids(&more));
    }
}

async fn a_long_reason_for_parking_is_taken(backend: Backend) {
    let ledger = backend.open().await;
    let signal = record_new(&ledger, &by_id("a", "evt_1", "")).await;
    ledger.parked(&signal, &"é".repeat(1 << 20)).await.unwrap();
    assert_eq!(ledger.backlog().await.unwrap(), backlog(0, 1));
}

async fn a_parked_signal_is_tried_by_one_at_a_time_until_it_is_published(backend: Backend) {
    let [one, other] = backend.open_twice().await;
    let signal = record_new(&one, &by_id("a", "evt_1", "")).await;
    one.parked(&signal, "no queue").await.unwrap();
    let tried = eventually("it is tried", || async {
        let tried = other.retry_parked(10, Duration::ZERO).await.unwrap();
        (!tried.is_empty()).then_some(tried)
    });
    assert_eq!(tried.await, std::slice::from_ref(&signal));
    assert_eq!(one.retry_parked(10, HOUR).await.unwrap(), []);

    // It stays parked, and refused again it changes nothing.
    one.parked(&signal, "still no queue").await.unwrap();
    assert_eq!(one.backlog().await.unwrap(), backlog(0, 1));
    assert_eq!(one.unpublished(10).await.unwrap(), []);
    one.published(&[signal]).await.unwrap();
    assert_eq!(one.backlog().await.unwrap(), backlog(0, 0));
    assert_eq!(other.retry_parked(10, Duration::ZERO).await.unwrap(), []);
}

async fn of_parked_signals_those_tried_longest_ago_come_first(backend: Backend) {
    let ledger = backend.open().await;
    for id in ["evt_1", "evt_2", "evt_3"] {
        let signal = record_new(&ledger, &by_id("a", id, "")).await;
        ledger.parked(&signal, "no queue").await.unwrap();
    }
    // Left alone for a moment, so that none is due again in the one in which it was tried; and with room
    // for all in any part of the ledger, so that the three are tried in one.
    let rest = Duration::from_millis(1);
    eventually("all are tried together", || async {
        let tried = ledger.retry_parked(100, rest).await.unwrap();
        (tried.len() == 3).then_some(())
    })
    .await;
    let mut seen = HashSet::new();
    for turn in 1..=3 {
        let tried = eventually("one is tried", || async {
            let tried = ledger.retry_parked(1, rest).await.unwrap();
            (!tried.is_empty()).then_some(tried)
        });
        seen.extend(ids(&tried.await));
        assert_eq!(seen.len(), turn);
    }
}

async fn a_parked_signal_that_was_left_alone_too_shortly_is_not_tried(backend: Backend) {
    let ledger = backend.open().await;
    let signal = record_new(&ledger, &by_id("a", "evt_1", "")).await;
    assert_eq!(ledger.retry_parked(10, Duration::ZERO).await.unwrap(), []);
    ledger.parked(&signal, "no queue").await.unwrap();
    assert_eq!(ledger.retry_parked(10, HOUR).await.unwrap(), []);
    assert_eq!(ledger.retry_parked(0, Duration::ZERO).await.unwrap(), []);
}
