// Verifies who published a message, and opens what is sealed in it. Kept beside a worker.
//
// A message that cannot be believed or opened is Refused; any other error says that the keys cannot be read.

import { readFile } from "node:fs/promises";
import { compactDecrypt, decodeProtectedHeader, flattenedVerify, importJWK } from "jose";

// Why a message is not to be acted on.
export class Refused extends Error {}

// Reads a JWK Set from a file, or from where https:// or http:// leads; by the keys' ids.
async function readKeys(place) {
  let text;
  if (/^https?:\/\//.test(place)) {
    const answer = await fetch(place, { signal: AbortSignal.timeout(10_000) });
    if (!answer.ok) throw new Error(`${place}: ${answer.status}`);
    text = await answer.text();
  } else {
    text = await readFile(place, "utf8");
  }
  return new Map(JSON.parse(text).keys.map((key) => [key.kid, key]));
}

// The keys of a JWK Set, which is read again when another key is asked for.
class Keys {
  static async read(place) {
    return Object.assign(new this(), { place, keys: place ? await readKeys(place) : new Map() });
  }

  async key(kid) {
    if (!this.keys.has(kid) && this.place) this.keys = await readKeys(this.place);
    return this.keys.get(kid);
  }
}

// The keys of the gateways whose messages are believed: what `hookgate keys` prints.
export class Signers extends Keys {

  // Verifies the header `hookgate-signature` over the body, to the letter: a detached JWS.
  async verify(signature, body) {
    if (signature === undefined) throw new Refused("it is not signed");
    const [encoded, ...rest] = String(signature).split("..");
    if (rest.length !== 1) throw new Refused("its signature is no detached JWS");
    const header = headerOf(encoded);
    if (header?.b64 !== false) throw new Refused("its signature is of another kind");
    const key = await this.key(header.kid);
    if (key === undefined) throw new Refused("its signature is by an unknown key");
    const message = { protected: encoded, payload: body, signature: rest[0] };
    try {
      await flattenedVerify(message, await importJWK(key, "EdDSA"), { algorithms: ["EdDSA"] });
    } catch {
      throw new Refused("its signature does not verify");
    }
  }
}

// The private keys that data may be sealed to. Keys before and after a rotation are here together.
export class Openers extends Keys {
  // Returns the data of a signal: JSON as a value, anything else as a Buffer.
  async data(signal) {
    if ("sealedfor" in signal) {
      const [data, mediaType] = await this.open(signal.data, signal.signalid);
      return isJson(mediaType) ? parse(data) : data;
    }
    return "data_base64" in signal ? Buffer.from(String(signal.data_base64), "base64") : signal.data;
  }

  // Opens sealed data, and refuses what was sealed for another signal. Returns it with its media type.
  async open(sealed, signalid) {
    const header = headerOf(String(sealed).split(".")[0]);
    if (header === null) throw new Refused("its data has no header");
    const key = await this.key(header.kid);
    if (key === undefined) throw new Refused("its data is sealed for another key");
    let opened;
    try {
      opened = await compactDecrypt(sealed, await importJWK(key, "ECDH-ES"), {
        keyManagementAlgorithms: ["ECDH-ES"],
        contentEncryptionAlgorithms: ["A256GCM"],
      });
    } catch {
      throw new Refused("its data was changed");
    }
    if (header.signalid !== signalid) throw new Refused("its data was sealed for another signal");
    return [Buffer.from(opened.plaintext), String(header.cty ?? "")];
  }
}

function headerOf(encoded) {
  try {
    return decodeProtectedHeader({ protected: encoded });
  } catch {
    return null;
  }
}

function parse(data) {
  try {
    return JSON.parse(data);
  } catch {
    throw new Refused("its data is no JSON");
  }
}

function isJson(mediaType) {
  return ["application/json", "text/json"].includes(mediaType) || mediaType.endsWith("+json");
}
