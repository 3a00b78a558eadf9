// Applies the effect of each signal of a queue once, however often the signal comes.
//
//     npm ci && AMQP_URL=amqp://localhost QUEUE=hookgate DB=worker.db node worker.mjs
//
// With SIGNED_BY (a file or URL of public keys) it refuses what the gateway did not sign; with OPEN_WITH (a file
// of private keys) it opens what is sealed.

import amqp from "amqplib";
import Database from "libsql";
import { Openers, Refused, Signers } from "./trust.mjs";

const { AMQP_URL = "amqp://localhost", QUEUE = "hookgate", DB = "worker.db" } = process.env;
const { SIGNED_BY, OPEN_WITH } = process.env;
const signers = SIGNED_BY ? await Signers.read(SIGNED_BY) : null;
const openers = await Openers.read(OPEN_WITH);
const SIGNATURE = "hookgate-signature"; // the header
const PREFETCH = 16; // signals that the broker sends ahead of their acknowledgement
const [SHORTEST_PAUSE, LONGEST_PAUSE] = [500, 10_000]; // ms between attempts to reach the broker

const db = new Database(DB);
db.exec(`
  PRAGMA journal_mode = WAL;
  PRAGMA synchronous = FULL;
  CREATE TABLE IF NOT EXISTS seen (signalid TEXT PRIMARY KEY);
  CREATE TABLE IF NOT EXISTS effects (signalid TEXT NOT NULL, type TEXT NOT NULL, event TEXT NOT NULL, data ANY);
`);
const note = db.prepare("INSERT OR IGNORE INTO seen VALUES (?)");
const insert = db.prepare("INSERT INTO effects VALUES (?, ?, ?, ?)");

// What this worker is for. Whatever it does, it does in this transaction.
function effect(signal, data) {
  const text = Buffer.isBuffer(data) ? data : JSON.stringify(data);
  insert.run(signal.signalid, signal.type, signal.id, text);
}

// Takes note of the signal and applies its effect: both, or neither. False if it is a repeat.
const apply = db.transaction((signal, data) => {
  const isNew = note.run(signal.signalid).changes === 1;
  if (isNew) effect(signal, data);
  return isNew;
});

// Returns the signal and its data. Refuses what is no signal that can be believed, and never will be.
async function read(headers, body) {
  await signers?.verify(headers[SIGNATURE], body);
  const signal = parse(body);
  const names = [signal?.signalid, signal?.type, signal?.id];
  if (!names.every((name) => typeof name === "string")) throw new Refused("it is no signal");
  return [signal, await openers.data(signal)];
}

function parse(body) {
  try {
    return JSON.parse(body);
  } catch {
    return null;
  }
}

async function work(channel, message) {
  let signal, data;
  try {
    [signal, data] = await read(message.properties.headers ?? {}, message.content);
  } catch (why) {
    if (!(why instanceof Refused)) throw why;
    console.error("refused:", why.message);
    settle(() => channel.reject(message, false)); // to the dead letters
    return;
  }
  if (stopping) return; // it goes back to the queue
  if (apply(signal, data)) console.log(signal.type, signal.id);
  settle(() => channel.ack(message)); // after the commit: a crash in between makes a repeat, which is dropped
}

// The channel may have gone meanwhile: then the message comes again.
function settle(answer) {
  try {
    answer();
  } catch (error) {
    complain(error);
  }
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
      work(channel, message); // what fails in it ends the process
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
