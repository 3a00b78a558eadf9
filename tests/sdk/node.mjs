// Vendors' JavaScript SDKs as live clients: they sign for the gateway, and verify what it signs.
//
// Speaks JSON lines with tests/sdk/main.rs, as python.py does. To add an SDK, add an entry to `cases`, and
// its package with `npm install --save-exact --omit-lockfile-registry-resolved --ignore-scripts`.

import { createHash, generateKeyPairSync, randomUUID, webcrypto } from "node:crypto";
import { createRequire } from "node:module";
import { createInterface } from "node:readline";

import * as line from "@line/bot-sdk";
import { LinearWebhookClient } from "@linear/sdk/webhooks";
import notion from "@notionhq/client";
import * as octokit from "@octokit/webhooks-methods";
import { Paddle } from "@paddle/paddle-node-sdk";
import * as sanity from "@sanity/webhook";
import sendgrid from "@sendgrid/eventwebhook";
import * as vonage from "@vonage/jwt";
import { WorkOS } from "@workos-inc/node";
import discord from "discord-interactions";
import { validateWebhook as replicate } from "replicate";
import { Resend } from "resend";
import * as standard from "standardwebhooks";
import * as svix from "svix";

// Node.js 18 has it under another name.
globalThis.crypto ??= webcrypto;

const require = createRequire(import.meta.url);
// The functions alone: the package itself loads a client of every API that there is.
const twilio = require("twilio/lib/webhooks/webhooks");
// What the SDKs verify with signs here, where they only verify.
const jsonwebtoken = require("jsonwebtoken");
const { Ecdsa, PrivateKey } = require("starkbank-ecdsa");

const TEXT = "a secret of the tests, long enough for any SDK";
const STANDARD = "whsec_aG9va2dhdGUgdGVzdHMgb2YgU0RLcw==";
const workos = new WorkOS("sk_of_the_tests").webhooks;
const paddle = new Paddle("key_of_the_tests").webhooks;
const resend = new Resend("re_of_the_tests").webhooks;
const ed25519 = hexKeys("ed25519");
const ecdsa = generateKeyPairSync("ec", { namedCurve: "P-256" });
const ecdsaPublic = ecdsa.publicKey.export({ type: "spki", format: "der" }).toString("base64");
const ecdsaPrivate = PrivateKey.fromPem(ecdsa.privateKey.export({ type: "sec1", format: "pem" }));

function hexKeys(kind) {
  const { privateKey } = generateKeyPairSync(kind);
  const { d, x } = privateKey.export({ format: "jwk" });
  const hex = (text) => Buffer.from(text, "base64url").toString("hex");
  return { private: hex(d), public: hex(x) };
}

// A name that stands twice has all of its values.
const form = (body) => {
  const fields = new URLSearchParams(body);
  return Object.fromEntries([...fields.keys()].map((name) => [name, fields.getAll(name)]));
};
const sha256 = (text) => createHash("sha256").update(text).digest("hex");
// Of the SDKs of providers that send through Svix, or as Standard Webhooks say.
const signedBy = ({ Webhook }, prefix) => ({ body, now, secret }) => {
  const id = `msg_${randomUUID()}`;
  const signature = new Webhook(secret).sign(id, new Date(now * 1000), body);
  return { headers: { [`${prefix}-id`]: id, [`${prefix}-timestamp`]: `${now}`, [`${prefix}-signature`]: signature } };
};
const verifiedBy = ({ Webhook }) => ({ body, headers, secret }) => new Webhook(secret).verify(body, headers);

// `private` is what the gateway signs with where that is not the secret, `scheme` what it is pinned to,
// and `ahead` how many seconds ahead of now it signs.
const cases = [
  {
    provider: "github",
    secret: TEXT,
    sign: async ({ body, secret }) => ({ headers: { "x-hub-signature-256": await octokit.sign(secret, body) } }),
    verify: ({ body, headers, secret }) => octokit.verify(secret, body, headers["x-hub-signature-256"]),
  },
  {
    provider: "standard-webhooks",
    secret: STANDARD,
    sign: signedBy(standard, "webhook"),
    verify: verifiedBy(standard),
  },
  { provider: "clerk", secret: STANDARD, sign: signedBy(svix, "svix"), verify: verifiedBy(svix) },
  {
    provider: "resend",
    secret: STANDARD,
    sign: signedBy(svix, "svix"),
    verify: ({ body, headers, secret }) =>
      resend.verify({
        payload: body,
        headers: {
          id: headers["svix-id"],
          timestamp: headers["svix-timestamp"],
          signature: headers["svix-signature"],
        },
        webhookSecret: secret,
      }),
  },
  {
    provider: "replicate",
    secret: STANDARD,
    sign: signedBy(standard, "webhook"),
    verify: ({ body, headers, secret }) => replicate({ body, headers }, secret),
  },
  {
    provider: "twilio",
    secret: TEXT,
    sign: ({ url, body, secret }) => ({
      headers: { "x-twilio-signature": twilio.getExpectedTwilioSignature(secret, url, form(body)) },
    }),
    verify: ({ url, body, headers, secret }) =>
      twilio.validateRequest(secret, headers["x-twilio-signature"], url, form(body)),
  },
  {
    name: "twilio, a form out of the ordinary",
    provider: "twilio",
    secret: TEXT,
    sign: ({ url, secret, now }) => {
      const signed = `${url}?foo=%C3%A9&bar=a+b&foo=2`;
      const body = `To=%2b1&Body=caf%C3%A9+%26+%f0%9f%98%80&Empty=&a=2&a=10&a=2&B=x&_=%3D&MessageSid=SM${now}`;
      const signature = twilio.getExpectedTwilioSignature(secret, signed, form(body));
      return { url: signed, body, headers: { "x-twilio-signature": signature } };
    },
  },
  {
    name: "twilio, JSON",
    provider: "twilio",
    secret: TEXT,
    sign: ({ url, secret, now }) => {
      const body = JSON.stringify({ property: `${now}`, boolean: true });
      const signed = `${url}?foo=1&bodySHA256=${twilio.getExpectedBodyHash(body)}`;
      const signature = twilio.getExpectedTwilioSignature(secret, signed, {});
      return { url: signed, body, headers: { "content-type": "application/json", "x-twilio-signature": signature } };
    },
  },
  {
    provider: "discord",
    secret: ed25519.public,
    private: ed25519.private,
    verify: ({ body, headers, secret }) =>
      discord.verifyKey(body, headers["x-signature-ed25519"], headers["x-signature-timestamp"], secret),
  },
  {
    provider: "workos",
    secret: TEXT,
    // The SDK takes the body parsed, and writes it anew without white space.
    sign: async ({ body, now, secret }) => {
      const time = now * 1000;
      const signature = await workos.computeSignature(time, JSON.parse(body), secret);
      return { headers: { "workos-signature": `t=${time}, v1=${signature}` } };
    },
    verify: ({ body, headers, secret }) =>
      workos.verifyHeader({ payload: JSON.parse(body), sigHeader: headers["workos-signature"], secret }),
  },
  {
    provider: "paddle",
    secret: TEXT,
    // The SDK takes 5 seconds at most, which a slow machine may need to start the sender.
    ahead: 60,
    verify: ({ body, headers, secret }) => paddle.isSignatureValid(body, secret, headers["paddle-signature"]),
  },
  { provider: "svix", secret: STANDARD, sign: signedBy(svix, "svix"), verify: verifiedBy(svix) },
  {
    provider: "line",
    secret: TEXT,
    verify: ({ body, headers, secret }) => line.validateSignature(body, secret, headers["x-line-signature"]),
  },
  {
    provider: "linear",
    secret: TEXT,
    verify: ({ body, headers, secret }) =>
      new LinearWebhookClient(secret).verify(Buffer.from(body), headers["linear-signature"]),
  },
  {
    provider: "notion",
    secret: TEXT,
    sign: async ({ body, secret }) => ({
      headers: { "x-notion-signature": await notion.signWebhookPayload({ body, verificationToken: secret }) },
    }),
    verify: ({ body, headers, secret }) =>
      notion.verifyWebhookSignature({ body, signature: headers["x-notion-signature"], verificationToken: secret }),
  },
  {
    provider: "sanity",
    secret: TEXT,
    sign: async ({ body, now, secret }) => ({
      headers: { [sanity.SIGNATURE_HEADER_NAME]: await sanity.encodeSignatureHeader(body, now * 1000, secret) },
    }),
    verify: ({ body, headers, secret }) =>
      sanity.isValidSignature(body, headers[sanity.SIGNATURE_HEADER_NAME], secret),
  },
  {
    provider: "sendgrid",
    secret: ecdsaPublic,
    sign: ({ body, now, secret }) => {
      const signature = Ecdsa.sign(`${now}${body}`, ecdsaPrivate).toBase64();
      const sdk = new sendgrid.EventWebhook();
      // What goes out is what the SDK takes.
      if (!sdk.verifySignature(sdk.convertPublicKeyToECDSA(secret), body, signature, `${now}`)) throw Error();
      return {
        headers: {
          [sendgrid.EventWebhookHeader.SIGNATURE()]: signature,
          [sendgrid.EventWebhookHeader.TIMESTAMP()]: `${now}`,
        },
      };
    },
  },
  {
    provider: "vonage",
    secret: TEXT,
    scheme: "jwt",
    sign: ({ body, now, secret }) => {
      const claims = {
        iat: now,
        jti: randomUUID(),
        iss: "Vonage",
        payload_hash: sha256(body),
        api_key: "a1b2c3d",
        application_id: "aaaaaaaa-bbbb-4ccc-8ddd-0123456789ab",
      };
      const token = jsonwebtoken.sign(claims, secret, { algorithm: "HS256" });
      // What goes out is what the SDK takes.
      if (!vonage.verifySignature(token, secret)) throw Error();
      return { headers: { authorization: `Bearer ${token}` } };
    },
  },
];

const named = (one) => one.name ?? one.provider;

async function answer(asked) {
  if (asked.ask === "cases") {
    return cases.map(({ sign, verify, ...told }) => ({ ...told, signs: Boolean(sign), verifies: Boolean(verify) }));
  }
  const found = cases.find((one) => named(one) === asked.case);
  const request = { ...asked, secret: found.secret };
  if (asked.ask === "sign") return { body: asked.body, url: asked.url, ...(await found.sign(request)) };
  try {
    return { valid: Boolean(await found.verify(request)) };
  } catch (error) {
    // Each SDK refuses in its own way.
    return { valid: false, why: `${error}` };
  }
}

// What an SDK prints must not stand between the answers.
console.log = console.info = console.error;
for await (const asked of createInterface({ input: process.stdin })) {
  process.stdout.write(`${JSON.stringify(await answer(JSON.parse(asked)))}\n`);
}
