//! What ledgers keep, value by value and unpacked: a signal that is long is compressed.

use std::path::Path;

use rusqlite::Connection;
use rusqlite::types::Value as Column;

use super::Watch;

/// Keeps every key of a Redis with its value.
pub(super) fn keep_redis(watch: &mut Watch, url: &str) {
    let client = redis::Client::open(url).unwrap();
    let mut connection = client.get_connection().unwrap();
    let keys: Vec<Vec<u8>> = redis::cmd("KEYS").arg("*").query(&mut connection).unwrap();
    assert!(!keys.is_empty());
    for key in keys {
        let mut ask = |words: &[&str]| -> redis::Value {
            let mut command = redis::cmd(words[0]);
            command.arg(&key).arg(&words[1..]);
            command.query(&mut connection).unwrap()
        };
        let value = match ask(&["TYPE"]) {
            redis::Value::SimpleString(kind) => match kind.as_str() {
                "string" => ask(&["GET"]),
                "hash" => ask(&["HGETALL"]),
                "zset" => ask(&["ZRANGE", "0", "-1", "WITHSCORES"]),
                "stream" => ask(&["XRANGE", "-", "+"]),
                // It has come to its end meanwhile.
                "none" => continue,
                other => panic!("a key is a {other}"),
            },
            other => panic!("no type: {other:?}"),
        };
        watch.saw("redis", key.clone());
        keep_value(watch, &value);
    }
}

fn keep_value(watch: &mut Watch, value: &redis::Value) {
    match value {
        redis::Value::BulkString(bytes) => keep(watch, "redis", bytes),
        redis::Value::Array(values) | redis::Value::Set(values) => {
            values.iter().for_each(|value| keep_value(watch, value));
        }
        redis::Value::Map(pairs) => pairs.iter().for_each(|(name, value)| {
            keep_value(watch, name);
            keep_value(watch, value);
        }),
        other => watch.saw("redis", format!("{other:?}")),
    }
}

/// Keeps every row of every table in a file of SQLite.
pub(super) fn keep_sqlite(watch: &mut Watch, path: &Path) {
    let db = Connection::open(path).unwrap();
    let named = "SELECT name FROM sqlite_master WHERE type = 'table'";
    let mut named = db.prepare(named).unwrap();
    let tables = named.query_map((), |row| row.get::<_, String>(0)).unwrap();
    for table in tables.map(Result::unwrap) {
        let mut all = db.prepare(&format!("SELECT * FROM \"{table}\"")).unwrap();
        let columns = all.column_count();
        let mut rows = all.query(()).unwrap();
        while let Some(row) = rows.next().unwrap() {
            for column in 0..columns {
                match row.get(column).unwrap() {
                    Column::Text(text) => keep(watch, "sqlite", text.as_bytes()),
                    Column::Blob(bytes) => keep(watch, "sqlite", &bytes),
                    _ => {}
                }
            }
        }
    }
}

fn keep(watch: &mut Watch, what: &str, bytes: &[u8]) {
    watch.saw(what, bytes);
    if let Some(whole) = unpacked(bytes) {
        watch.saw(&format!("{what}, unpacked"), whole);
    }
}

/// Unpacks an envelope that is kept compressed: 01, the length of its tail, its beginning, 00, the tail.
fn unpacked(bytes: &[u8]) -> Option<Vec<u8>> {
    let (length, rest) = bytes.strip_prefix(&[1])?.split_first_chunk()?;
    let length = usize::try_from(u32::from_le_bytes(*length)).unwrap();
    let end = rest.iter().position(|byte| *byte == 0)?;
    let tail = lz4_flex::block::decompress(&rest[end + 1..], length).unwrap();
    Some([&rest[..end], &tail].concat())
}
