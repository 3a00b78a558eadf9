//! The Redis ledger: a private server, and its own account of CPU time and memory.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, ensure};
use hookgate::signal::Draft;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, Script, cmd};

use crate::{RECORDED, SIZES, STEPS, draft, open, record, say};

/// How many marks one script puts in.
const AT_ONCE: u64 = 10_000;

/// Of how many endpoints the marks are.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Endpoints {
    /// Of one, and so all in one shard.
    One,
    /// Of many, in all 16 shards.
    Many,
}

/// Records beside more and more marks.
pub(crate) async fn marks(dir: &Path, endpoints: Endpoints) -> anyhow::Result<()> {
    say(&format!("\nredis, marks of endpoints: {endpoints:?}"));
    let mut server = Server::start(dir).await?;
    let ledger = open(&server.url).await?;
    record(&ledger, draft::some(256, 500)).await?;
    let tag = server.tag_of_recorded().await?;
    let (mut marks, mut bytes) = (0, 0);
    for step in STEPS {
        let before = server.memory().await?;
        server.fill(endpoints, &tag, marks, step).await?;
        if step > 0 {
            bytes += server.memory().await?.saturating_sub(before);
        }
        marks = step;
        let (script, cpu) = (server.scripts().await?, server.cpu().await?);
        let took = record(&ledger, draft::some(256, RECORDED)).await?;
        let each = |spent: f64| spent / RECORDED as f64;
        say(&format!(
            "  {step:>9} marks of {:5.1} bytes; a record takes {took}, {:5.1} µs of it in the script, and \
             {:5.1} µs of redis's CPU time",
            bytes as f64 / marks.max(1) as f64,
            each(server.scripts().await? - script),
            each(server.cpu().await? - cpu),
        ));
    }
    ledger.close().await;
    Ok(())
}

/// Records signals of several sizes.
pub(crate) async fn signals(dir: &Path) -> anyhow::Result<()> {
    say("\nredis, memory of a signal");
    let mut server = Server::start(dir).await?;
    let ledger = open(&server.url).await?;
    for size in SIZES {
        let drafts: Vec<Draft> = draft::some(size, RECORDED).collect();
        let raw = drafts[0].envelope.whole(false);
        let before = server.memory().await?;
        let took = record(&ledger, drafts.into_iter()).await?;
        let bytes = server.memory().await?.saturating_sub(before) / RECORDED as u64;
        let plain = server.usage("SET", &[&raw]).await?;
        let hash = server.usage("HSET", &[b"envelope", &raw]).await?;
        say(&format!(
            "  envelope of {:>6} bytes: {bytes:>6} with its mark, its duty and the log; as it is, alone: \
             {plain} as a string, {hash} in a hash; a record takes {took}",
            raw.len()
        ));
    }
    ledger.close().await;
    Ok(())
}

/// A server that keeps nothing on disk, and ends when this is dropped.
struct Server {
    process: Child,
    connection: MultiplexedConnection,
    url: String,
}

impl Server {
    async fn start(dir: &Path) -> anyhow::Result<Self> {
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let mut process = Command::new("redis-server")
            .args(["--bind", "127.0.0.1", "--save", "", "--port"])
            .arg(port.to_string())
            .arg("--dir")
            .arg(dir)
            .stdout(Stdio::null())
            .spawn()
            .context("redis-server is not installed")?;
        let url = format!("redis://127.0.0.1:{port}");
        let client = Client::open(url.as_str())?;
        for _ in 0..100 {
            let patient = AsyncConnectionConfig::new().set_response_timeout(None);
            let connected = client.get_multiplexed_async_connection_with_config(&patient);
            if let Ok(connection) = connected.await {
                return Ok(Self {
                    process,
                    connection,
                    url,
                });
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        process.kill()?;
        anyhow::bail!("redis-server does not start")
    }

    /// Finds out which hash tag recording has used, and makes sure that marks are laid out as
    /// `fill.lua` does it.
    async fn tag_of_recorded(&mut self) -> anyhow::Result<String> {
        let mut scan = cmd("KEYS");
        scan.arg("*:m:????");
        let keys: Vec<String> = scan.query_async(&mut self.connection).await?;
        let key = keys.first().context("recording has left no bucket")?;
        let mut get = cmd("HGETALL");
        get.arg(key);
        let marks: Vec<(Vec<u8>, Vec<u8>)> = get.query_async(&mut self.connection).await?;
        let as_filled = |(field, end): &(Vec<u8>, Vec<u8>)| field.len() == 15 && end.len() == 4;
        ensure!(
            key.starts_with("{hookgate:1:") && marks.iter().all(as_filled),
            "marks have another layout now: bring fill.lua up to it"
        );
        let (tag, _) = key.split_once(":m:").context("no such key")?;
        Ok(tag.to_owned())
    }

    /// Puts marks in, beside those that are there.
    async fn fill(
        &mut self,
        endpoints: Endpoints,
        tag: &str,
        from: u64,
        to: u64,
    ) -> anyhow::Result<()> {
        let shards = match endpoints {
            Endpoints::One => 1,
            Endpoints::Many => 16,
        };
        let script = Script::new(include_str!("fill.lua"));
        let end = u32::MAX.to_be_bytes();
        for first in (from..to).step_by(AT_ONCE as usize) {
            let mut filling = script.arg(AT_ONCE.min(to - first));
            filling.arg(first).arg(shards).arg(&end[..]).arg(tag);
            let (): () = filling.invoke_async(&mut self.connection).await?;
        }
        Ok(())
    }

    /// Returns what a key takes that such a command makes.
    async fn usage(&mut self, name: &str, values: &[&[u8]]) -> anyhow::Result<u64> {
        // As long as a signal's key.
        let key = "{hookgate:1:7}:s:8f0c6d0e-0000-8000-8000-000000000000";
        let mut make = cmd(name);
        make.arg(key);
        for value in values {
            make.arg(*value);
        }
        let (_, bytes, ()): (redis::Value, u64, ()) = redis::pipe()
            .add_command(make)
            .add_command(cmd("MEMORY").arg("USAGE").arg(key).to_owned())
            .add_command(cmd("DEL").arg(key).to_owned())
            .query_async(&mut self.connection)
            .await?;
        Ok(bytes)
    }

    async fn memory(&mut self) -> anyhow::Result<u64> {
        Ok(self.number("memory", "used_memory:").await? as u64)
    }

    /// Returns how long scripts have run, in microseconds; being preempted counts.
    async fn scripts(&mut self) -> anyhow::Result<f64> {
        let info = self.info("commandstats").await?;
        let of_scripts = info
            .lines()
            .filter(|line| line.starts_with("cmdstat_evalsha:"));
        let fields = of_scripts.flat_map(|line| line.split(','));
        let mut times = fields.filter_map(|field| field.strip_prefix("usec="));
        Ok(times.next().context("no script was run")?.parse()?)
    }

    /// Returns the CPU time that the server's main thread has used, in microseconds.
    async fn cpu(&mut self) -> anyhow::Result<f64> {
        let user = self.number("cpu", "used_cpu_user_main_thread:").await?;
        let system = self.number("cpu", "used_cpu_sys_main_thread:").await?;
        Ok((user + system) * 1e6)
    }

    async fn number(&mut self, section: &str, name: &str) -> anyhow::Result<f64> {
        let info = self.info(section).await?;
        let line = info.lines().find_map(|line| line.strip_prefix(name));
        Ok(line.context("no such figure")?.trim().parse()?)
    }

    async fn info(&mut self, section: &str) -> anyhow::Result<String> {
        let mut info = cmd("INFO");
        info.arg(section);
        Ok(info.query_async(&mut self.connection).await?)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
