//! Publishes to standard output: one JSON line per signal and nothing else.
//!
//! The embedded default. Taken responsibility for means written and flushed. Logs go to standard
//! error, so the output can be piped.

use std::fmt;
use std::io::{self, Write};
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::{Mutex, watch};

use super::{PublishError, Publisher};
use crate::signal::Signal;

/// Writes signals to standard output.
pub struct Stdout {
    out: Arc<Mutex<Box<dyn Write + Send>>>,
    ready: watch::Sender<bool>,
}

impl Stdout {
    /// Creates the publisher. Nothing is written before the first signal.
    pub fn new() -> Self {
        Self::to(std::io::stdout())
    }

    fn to(out: impl Write + Send + 'static) -> Self {
        Self {
            out: Arc::new(Mutex::new(Box::new(out))),
            ready: watch::Sender::new(true),
        }
    }
}

impl Default for Stdout {
    fn default() -> Self {
        Self::new()
    }
}

#[async_trait]
impl Publisher for Stdout {
    async fn publish(&self, signal: &Signal) -> Result<(), PublishError> {
        let line = line(&signal.envelope);
        let mut out = Arc::clone(&self.out).lock_owned().await;
        // A reader that is slow must not hold up the runtime, and a caller that goes away must not
        // leave half a line: what is begun on the blocking thread is finished.
        let written =
            tokio::task::spawn_blocking(move || out.write_all(&line).and_then(|()| out.flush()));
        match written.await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(source)) => Err(unavailable(source)),
            // What the error says of a panic would be the panic's message.
            Err(_) => Err(unavailable(io::Error::other("writing ended in a panic"))),
        }
    }

    fn ready(&self) -> watch::Receiver<bool> {
        self.ready.subscribe()
    }

    async fn probe(&self) -> Result<Vec<String>, PublishError> {
        Ok(vec![
            "signals go to standard output, one JSON line each".to_owned(),
        ])
    }

    async fn close(&self) {}
}

impl fmt::Debug for Stdout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stdout").finish_non_exhaustive()
    }
}

fn unavailable(source: impl std::error::Error + Send + Sync + 'static) -> PublishError {
    let what = "standard output cannot be written".to_owned();
    PublishError::Unavailable {
        what,
        source: Some(Box::new(source)),
    }
}

/// Makes a line of an envelope. A raw line break in JSON is only ever white space between tokens,
/// so a blank says the same.
fn line(envelope: &Bytes) -> Vec<u8> {
    let blank = |&byte: &u8| {
        if matches!(byte, b'\n' | b'\r') {
            b' '
        } else {
            byte
        }
    };
    envelope.iter().map(blank).chain([b'\n']).collect()
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::Mutex as Lock;

    use super::*;

    #[derive(Clone, Default)]
    struct Shared(Arc<Lock<Vec<u8>>>);

    impl Write for Shared {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            // One byte at a time: lines mix unless each is written under the lock.
            self.0.lock().unwrap().push(bytes[0]);
            Ok(1)
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    struct Closed;

    impl Write for Closed {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn signal(data: &str) -> Signal {
        let json = format!(
            r#"{{"type":"p.x","tenant":"t","endpoint":"n","provider":"p","signalid":"8f0c6d0e-0000-8000-8000-000000000000","receivedtime":"2026-01-05T10:00:00.412Z","traceparent":"","data":{data}}}"#
        );
        Signal::from_envelope(json.into()).unwrap()
    }

    #[tokio::test]
    async fn each_signal_is_one_line_even_when_its_data_has_line_breaks() {
        let out = Shared::default();
        let publisher = Stdout::to(out.clone());
        publisher
            .publish(&signal("{\n  \"a\":\r\n 1}"))
            .await
            .unwrap();
        publisher.publish(&signal("2")).await.unwrap();

        let text = String::from_utf8(out.0.lock().unwrap().clone()).unwrap();
        let lines: Vec<serde_json::Value> = text
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        assert_eq!(lines.len(), 2);
        assert_eq!(lines[0]["data"]["a"], 1);
        assert_eq!(lines[1]["data"], 2);
    }

    #[tokio::test]
    async fn lines_of_many_tasks_do_not_mix() {
        let out = Shared::default();
        let publisher = Stdout::to(out.clone());
        let signals: Vec<Signal> = (0..50).map(|n| signal(&n.to_string())).collect();
        let written = signals.iter().map(|signal| publisher.publish(signal));
        futures_util::future::try_join_all(written).await.unwrap();

        let text = String::from_utf8(out.0.lock().unwrap().clone()).unwrap();
        assert_eq!(text.lines().count(), 50);
        assert!(
            text.lines()
                .all(|line| serde_json::from_str::<serde_json::Value>(line).is_ok())
        );
    }

    #[tokio::test]
    async fn a_closed_pipe_means_try_again_later() {
        let error = Stdout::to(Closed).publish(&signal("1")).await.unwrap_err();
        assert!(matches!(error, PublishError::Unavailable { .. }), "{error}");
    }

    #[test]
    fn standard_output_is_always_ready() {
        assert!(*Stdout::new().ready().borrow());
    }
}
