//! Tests of what is kept, for how long, and of what is not asked again.

use futures_util::FutureExt;
use futures_util::future::join_all;

use super::*;
use crate::keys::tests::{Server, URL, ask, at};
use crate::keys::{KeyAddress, Reading};

const HOUR: i64 = 60 * 60;
const DAY: i64 = 24 * HOUR;

async fn text(keys: &KeyCache<String>, seconds: i64) -> Result<String, KeyError> {
    let got = keys.get(&ask(URL), None, at(seconds)).await;
    got.map(|value| value.to_string())
}

async fn wanting(keys: &KeyCache<String>, want: &str, seconds: i64) -> String {
    let wanted = |value: &String| value == want;
    let got = keys.get(&ask(URL), Some(&wanted), at(seconds)).await;
    got.unwrap().to_string()
}

fn waits(result: Result<String, KeyError>) -> Option<u64> {
    match result {
        Err(KeyError::BackingOff { wait, .. }) => Some(wait.as_secs()),
        _ => None,
    }
}

#[tokio::test]
async fn keys_are_kept_for_as_long_as_the_answer_says_within_bounds() {
    for (fields, kept) in [
        ("", HOUR),
        ("cache-control: max-age=1200\r\n", 1200),
        ("cache-control: max-age=1\r\n", 300),
        ("cache-control: no-store\r\n", 300),
        ("cache-control: max-age=9999999\r\n", DAY),
    ] {
        let server = Server::start().await;
        let keys = server.keys();
        server.answers("200 OK", fields, "one");
        text(&keys, 0).await.unwrap();
        server.answers("200 OK", fields, "two");
        assert_eq!(text(&keys, kept - 1).await.unwrap(), "one", "{fields}");
        assert_eq!(server.hits(), 1);
        assert_eq!(text(&keys, kept).await.unwrap(), "two", "{fields}");
        assert_eq!(server.hits(), 2);
    }
}

#[tokio::test]
async fn many_who_ask_at_once_cause_one_fetch() {
    let server = Server::start().await;
    server.gate.forget_permits(1000);
    let keys = server.keys();
    let all = join_all((0..50).map(|_| text(&keys, 0)));
    let open = async {
        server.asked_times(1).await;
        server.gate.add_permits(1000);
    };
    let (all, ()) = tokio::join!(all, open);
    assert!(all.into_iter().all(|one| one.unwrap() == "one"));
    assert_eq!(server.hits(), 1);
}

#[tokio::test]
async fn many_who_ask_at_once_share_one_failure() {
    let server = Server::start().await;
    server.answers("500 x", "", "");
    let keys = server.keys();
    let all = join_all((0..50).map(|_| text(&keys, 0))).await;
    assert!(all.iter().all(Result::is_err));
    assert_eq!(server.hits(), 1);
}

#[tokio::test]
async fn whoever_goes_away_leaves_the_fetch_to_those_who_stay() {
    let server = Server::start().await;
    server.gate.forget_permits(1000);
    let keys = server.keys();
    {
        let mut gone = std::pin::pin!(text(&keys, 0));
        tokio::select! {
            _ = &mut gone => panic!("the gate is closed"),
            () = server.asked_times(1) => {}
        }
    }
    let mut stays = std::pin::pin!(text(&keys, 1));
    assert!((&mut stays).now_or_never().is_none());
    server.gate.add_permits(1);
    assert_eq!(stays.await.unwrap(), "one");
    assert_eq!(server.hits(), 1);
}

#[tokio::test]
async fn keys_past_their_lifetime_stand_in_for_a_day_while_fetching_fails() {
    let server = Server::start().await;
    let keys = server.keys();
    text(&keys, 0).await.unwrap();
    server.answers("500 x", "", "");
    assert_eq!(text(&keys, HOUR).await.unwrap(), "one");
    assert_eq!(text(&keys, HOUR + 9).await.unwrap(), "one");
    assert_eq!(server.hits(), 2, "failures are remembered");
    assert_eq!(text(&keys, HOUR + DAY - 1).await.unwrap(), "one");
    assert_eq!(server.hits(), 3);
    assert!(text(&keys, HOUR + DAY).await.is_err());
    server.answers("200 OK", "", "two");
    assert_eq!(text(&keys, HOUR + DAY + 300).await.unwrap(), "two");
}

#[tokio::test]
async fn while_fetching_fails_nobody_waits_for_another_who_tries() {
    let server = Server::start().await;
    let keys = server.keys();
    text(&keys, 0).await.unwrap();
    server.answers("500 x", "", "");
    text(&keys, HOUR).await.unwrap();
    server.gate.forget_permits(1000);
    let mut tries = std::pin::pin!(text(&keys, HOUR + 10));
    assert!((&mut tries).now_or_never().is_none());
    assert_eq!(
        text(&keys, HOUR + 10).now_or_never().unwrap().unwrap(),
        "one"
    );
    server.gate.add_permits(1);
    assert_eq!(tries.await.unwrap(), "one");
    assert_eq!(server.hits(), 3);
}

#[tokio::test]
async fn an_address_that_fails_is_left_alone_for_longer_and_longer() {
    let server = Server::start().await;
    server.answers("503 x", "", "");
    let keys = server.keys();
    let (mut now, mut hits) = (0, 0);
    for backoff in [10, 20, 40, 80, 160, 300, 300] {
        assert!(matches!(
            text(&keys, now).await,
            Err(KeyError::Failed { .. })
        ));
        hits += 1;
        assert_eq!(waits(text(&keys, now).await), Some(backoff));
        let backoff = i64::try_from(backoff).unwrap();
        assert_eq!(waits(text(&keys, now + backoff - 1).await), Some(1));
        assert_eq!(server.hits(), hits);
        now += backoff;
    }
    server.answers("200 OK", "", "one");
    assert_eq!(text(&keys, now).await.unwrap(), "one");
}

#[tokio::test]
async fn a_document_that_cannot_be_read_is_a_failure_too_even_where_reading_panics() {
    let server = Server::start().await;
    server.answers("200 OK", "", "panic");
    let keys = server.keys();
    assert!(matches!(text(&keys, 0).await, Err(KeyError::Failed { .. })));
    assert_eq!(waits(text(&keys, 1).await), Some(9));
    server.answers("200 OK", "", "one");
    assert_eq!(text(&keys, 10).await.unwrap(), "one");
}

#[tokio::test]
async fn a_key_that_is_missed_has_the_keys_fetched_again_once_a_minute() {
    let server = Server::start().await;
    let keys = server.keys();
    assert_eq!(wanting(&keys, "two", 0).await, "one");
    assert_eq!(
        server.hits(),
        1,
        "what was just fetched is not fetched again"
    );
    assert_eq!(wanting(&keys, "two", 1).await, "one");
    assert_eq!(server.hits(), 2);
    server.answers("200 OK", "", "two");
    assert_eq!(wanting(&keys, "two", 60).await, "one");
    assert_eq!(server.hits(), 2);
    assert_eq!(wanting(&keys, "two", 61).await, "two");
    assert_eq!(wanting(&keys, "two", 62).await, "two");
    assert_eq!(server.hits(), 3);
    server.answers("500 x", "", "");
    assert_eq!(wanting(&keys, "three", 200).await, "two");
    assert_eq!(text(&keys, 200).await.unwrap(), "two");
    assert_eq!(server.hits(), 4);
}

#[tokio::test]
async fn all_who_miss_a_key_at_once_get_it_from_one_fetch() {
    let server = Server::start().await;
    let keys = server.keys();
    text(&keys, 0).await.unwrap();
    server.answers("200 OK", "", "two");
    let all = join_all((0..50).map(|_| wanting(&keys, "two", 10))).await;
    assert!(all.iter().all(|one| one == "two"));
    assert_eq!(server.hits(), 2);
    // Those who wait for the first keys, which miss what they want, do not ask in turn.
    let other = server.keys();
    let all = join_all((0..50).map(|_| wanting(&other, "three", 10))).await;
    assert!(all.iter().all(|one| one == "two"));
    assert_eq!(server.hits(), 3);
}

#[tokio::test]
async fn one_address_read_in_two_ways_is_kept_twice() {
    let server = Server::start().await;
    let keys = server.keys();
    text(&keys, 0).await.unwrap();
    let address = KeyAddress::fixed(URL).unwrap();
    let shouted = Reading::new("shouted", |document, now| {
        Ok(format!(
            "{} {now}",
            String::from_utf8_lossy(document).to_uppercase()
        ))
    });
    let request = KeyRequest::get(address, shouted);
    let got = keys.get(&request, None, at(0)).await.unwrap();
    assert_eq!(*got, format!("ONE {}", at(0).as_second()));
    assert_eq!(text(&keys, 1).await.unwrap(), "one");
    assert_eq!(server.hits(), 2);
}

#[tokio::test]
async fn addresses_that_callers_make_up_are_fetched_at_a_bounded_rate() {
    let server = Server::start().await;
    let keys = server.keys();
    text(&keys, 0).await.unwrap();
    server.answers("404 x", "", "");
    for made_up in 0..100 {
        let request = ask(&format!("{URL}/{made_up}"));
        assert!(keys.get(&request, None, at(1)).await.is_err());
    }
    assert_eq!(server.hits(), 60);
    assert_eq!(text(&keys, 2).await.unwrap(), "one");
    let request = ask(&format!("{URL}/new"));
    assert_eq!(
        waits(
            keys.get(&request, None, at(59))
                .await
                .map(|_| String::new())
        ),
        Some(1)
    );
    server.answers("200 OK", "", "new");
    assert_eq!(*keys.get(&request, None, at(60)).await.unwrap(), "new");
}

#[test]
fn entries_have_a_bound_and_those_that_hold_keys_stay_longest() {
    let mut entries = Entries::<String>::default();
    let request = |name: usize| ask(&format!("{URL}/{name}"));
    let fill = |entry: &Entry<String>| {
        let held = Held {
            value: Arc::new("one".to_owned()),
            since: at(0),
            lifetime: LIFETIME,
        };
        entry.state().ended(Ok(held), false, at(0)).unwrap();
    };
    for name in 0..10 {
        fill(&entries.entry(&request(name)));
    }
    for name in 10..1000 {
        entries.entry(&request(name));
    }
    assert_eq!(entries.slots.len(), MAX_ENTRIES);
    assert!((0..10).all(|name| entries.entry(&request(name)).state().holds_any()));
    // Among those that hold keys, the one used longest ago goes.
    for name in 1000..1000 + MAX_ENTRIES - 9 {
        fill(&entries.entry(&request(name)));
    }
    assert_eq!(entries.slots.len(), MAX_ENTRIES);
    assert!((1..10).all(|name| entries.entry(&request(name)).state().holds_any()));
    assert!(!entries.entry(&request(0)).state().holds_any());
}

#[test]
fn a_clock_that_is_set_back_stretches_nothing() {
    let second = Duration::from_secs(1);
    assert_eq!(left(at(0), 10 * second, at(4)), Some(6 * second));
    assert_eq!(left(at(0), 10 * second, at(10)), None);
    assert_eq!(left(at(0), 10 * second, at(-60)), Some(10 * second));
    assert_eq!(left(at(0), 10 * second, at(-61)), None);
}
