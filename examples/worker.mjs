// Applies the effect of each signal of a queue once, however often the signal comes.
//
//     npm ci && AMQP_URL=amqp://localhost QUEUE=hookgate DB=worker.db node worker.mjs

import amqp from "amqplib";
import Database from "libsql";

const { AMQP_URL = "amqp://localhost", QUEUE = "hookgate", DB = "worker.db" } = process.env;
const PREFETCH = 16; // signals that the broker sends ahead of their acknowledgement
const [SHORTEST_PAUSE, LONGEST_PAUSE] = [500, 10_000]; // ms between attempts to reach the broker

const db = new Database(DB);
db.exec(`
  PRAGMA journal_mode = WAL;
  PRAGMA synchronous = FULL;
  CREATE TABLE IF NOT EXISTS seen (signalid TEXT PRIMARY KEY);
  CREATE TABLE IF NOT EXISTS effects (signalid TEXT NOT NULL, type TEXT NOT NULL, event TEXT NOT NULL);
`);
const note = db.prepare("INSERT OR IGNORE INTO seen VALUES (?)");
const insert = db.prepare("INSERT INTO effects VALUES (?, ?, ?)");

// What this worker is for. Whatever it does, it does in this transaction.
function effect(signal) {
  insert.run(signal.signalid, signal.type, signal.id);
}

// Takes note of the signal and applies its effect: both, or neither. False if it is a repeat.
const apply = db.transaction((signal) => {
  const isNew = note.run(signal.signalid).changes === 1;
  if (isNew) effect(signal);
  return isNew;
});

// Returns the signal, or null where it is none and never will be.
function read(body) {
  try {
    const signal = JSON.parse(body);
    const names = [signal.signalid, signal.type, signal.id];
    return names.every((name) => typeof name === "string") ? signal : null;
  } catch {
    return null;
  }
}

function work(channel, message) {
  const signal = read(message.content);
  if (signal === null) {
    channel.reject(message, false); // to the dead letters
    return;
  }
  if (apply(signal)) console.log(signal.type, signal.id);
  channel.ack(message); // after the commit: a crash in between makes a repeat, which is dropped
}

let stopping = false;
let stop = () => {}; // ends what is being waited for
for (const name of ["SIGTERM", "SIGINT"]) {
  process.on(name, () => {
    stopping = true;
    stop();
  });
}

// Works until the broker goes away or the process is to stop.
async function consume() {
  const connection = await amqp.connect(AMQP_URL, { timeout: 10_000 });
  const ended = new Promise((resolve) => connection.once("close", resolve));
  connection.on("error", complain); // "close" follows
  const close = () => connection.close().catch(() => {});
  stop = close;
  if (stopping) close();
  try {
    const channel = await connection.createChannel();
    channel.on("error", (error) => {
      complain(error);
      close();
    });
    await channel.prefetch(PREFETCH);
    await channel.consume(QUEUE, (message) => {
      if (message === null) return close(); // the queue was deleted
      if (stopping) return; // it goes back to the queue
      work(channel, message);
    });
    await ended;
  } finally {
    await close();
  }
}

function complain(error) {
  console.error("broker:", error.message);
}

let pause = SHORTEST_PAUSE;
while (!stopping) {
  const began = Date.now();
  try {
    await consume();
  } catch (error) {
    complain(error);
  }
  if (stopping) break;
  pause = Date.now() - began > LONGEST_PAUSE ? SHORTEST_PAUSE : Math.min(2 * pause, LONGEST_PAUSE);
  await new Promise((resolve) => {
    stop = resolve;
    setTimeout(resolve, (pause * (1 + Math.random())) / 2);
  });
}
db.close();
process.exit(0);
