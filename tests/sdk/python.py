"""Vendors' Python SDKs as live clients: they sign for the gateway, and verify what it signs.

Speaks JSON lines with tests/sdk/main.rs. `{"ask": "cases"}` is answered with every case; `sign` and
`verify` name a case and carry a request, and are answered with what is to be sent or with a verdict.
To add an SDK, add an entry to CASES, and its package to requirements.txt.
"""

import hashlib
import json
import sys
import uuid
from datetime import datetime, timezone
from urllib.parse import parse_qs, parse_qsl, urlencode

import Adyen.util
import braintree
import discord_interactions
import jwt
import pusher
import pusher.signature
import razorpay
import slack_sdk.signature
import standardwebhooks
import stripe
import telnyx
from messagebird.request_validator import RequestValidator
from nacl.encoding import Base64Encoder, HexEncoder
from nacl.signing import SigningKey
from plivo.utils import signature_v3 as plivo_v3
from square.utils.webhooks_helper import verify_signature as square_verify
from viberbot import Api as Viber
from viberbot.api.bot_configuration import BotConfiguration as ViberConfiguration

TEXT = "a secret of the tests, long enough for any SDK"
STANDARD = "whsec_aG9va2dhdGUgdGVzdHMgb2YgU0RLcw=="
KEY = SigningKey(hashlib.sha256(TEXT.encode()).digest())
PRIVATE = KEY.encode(HexEncoder).decode()
PUBLIC_HEX = KEY.verify_key.encode(HexEncoder).decode()
PUBLIC_BASE64 = KEY.verify_key.encode(Base64Encoder).decode()
ADYEN = hashlib.sha256(TEXT.encode()).hexdigest().upper()
PUSHER_KEY = "278d425bdf160c739803"
PUSHER = pusher.Pusher(app_id="4", key=PUSHER_KEY, secret=TEXT)
BRAINTREE_KEY = "integration_public_key"
BRAINTREE = braintree.BraintreeGateway(
    braintree.Configuration(
        environment=braintree.Environment.Sandbox,
        merchant_id="merchant",
        public_key=BRAINTREE_KEY,
        private_key=TEXT,
    )
)


class Request:
    """A request to sign or to verify: the public URL, headers by lower-case name, the body as text."""

    def __init__(self, asked, case):
        self.url, self.body, self.now = asked["url"], asked["body"], asked["now"]
        self.headers = asked["headers"]
        self.secret = case["secret"]


def stripe_sign(request):
    sign = stripe.WebhookSignature.generate_signature_header
    return {"stripe-signature": sign(request.body, request.secret, request.now)}


def stripe_verify(request):
    header = request.headers["stripe-signature"]
    return stripe.Webhook.construct_event(request.body, header, request.secret)


def slack_sign(request):
    verifier = slack_sdk.signature.SignatureVerifier(request.secret)
    now = str(request.now)
    signature = verifier.generate_signature(timestamp=now, body=request.body)
    return {"x-slack-request-timestamp": now, "x-slack-signature": signature}


def slack_verify(request):
    verifier = slack_sdk.signature.SignatureVerifier(request.secret)
    return verifier.is_valid_request(request.body, request.headers)


def standard_sign(request):
    name = f"msg_{uuid.uuid4().hex}"
    now = datetime.fromtimestamp(request.now, tz=timezone.utc)
    signature = standardwebhooks.Webhook(request.secret).sign(name, now, request.body)
    return {"webhook-id": name, "webhook-timestamp": str(request.now), "webhook-signature": signature}


def standard_verify(request):
    webhook = standardwebhooks.Webhook(request.secret)
    return webhook.verify(request.body, request.headers) is not None


def discord_sign(request):
    now = str(request.now)
    signature = KEY.sign((now + request.body).encode()).signature.hex()
    return {"x-signature-timestamp": now, "x-signature-ed25519": signature}


def discord_verify(request):
    signature = request.headers["x-signature-ed25519"]
    now = request.headers["x-signature-timestamp"]
    return discord_interactions.verify_key(request.body.encode(), signature, now, request.secret)


def telnyx_verify(request):
    telnyx.public_key = request.secret
    signature = request.headers["telnyx-signature-ed25519"]
    return telnyx.Webhook.construct_event(request.body, signature, request.headers["telnyx-timestamp"])


def viber(request):
    return Viber(ViberConfiguration(request.secret, "hookgate", ""))


def viber_sign(request):
    signature = viber(request)._calculate_message_signature(request.body.encode())
    return {"x-viber-content-signature": signature}


def viber_verify(request):
    signature = request.headers["x-viber-content-signature"]
    return viber(request).verify_signature(request.body.encode(), signature)


def razorpay_verify(request):
    client = razorpay.Client(auth=("key", "secret"))
    signature = request.headers["x-razorpay-signature"]
    return client.utility.verify_webhook_signature(request.body, signature, request.secret)


def adyen_sign(request):
    body = json.loads(request.body)
    for wrapped in body["notificationItems"]:
        item = wrapped["NotificationRequestItem"]
        signature = Adyen.util.generate_notification_sig(item, request.secret).decode()
        item.setdefault("additionalData", {})["hmacSignature"] = signature
    return {}, json.dumps(body)


def adyen_verify(request):
    return Adyen.util.is_valid_hmac_notification(json.loads(request.body), request.secret)


def braintree_sign(request):
    kind = braintree.WebhookNotification.Kind.SubscriptionWentPastDue
    sample = BRAINTREE.webhook_testing.sample_notification(kind, f"sub_{uuid.uuid4().hex}")
    return {"content-type": "application/x-www-form-urlencoded"}, urlencode(sample)


def braintree_verify(request):
    form = dict(parse_qsl(request.body))
    return BRAINTREE.webhook_notification.parse(form["bt_signature"], form["bt_payload"])


def plivo_sign(request):
    nonce = uuid.uuid4().hex[:20]
    signed = plivo_v3.construct_post_url(request.url, parse_qs(request.body, keep_blank_values=True))
    signature = plivo_v3.get_signature_v3(request.secret, signed.decode(), nonce).decode()
    return {"x-plivo-signature-v3-nonce": nonce, "x-plivo-signature-v3": signature}


def plivo_verify(request):
    nonce = request.headers["x-plivo-signature-v3-nonce"]
    signature = request.headers["x-plivo-signature-v3"]
    form = parse_qs(request.body, keep_blank_values=True)
    verify = plivo_v3.validate_v3_signature
    return verify("POST", request.url, nonce, request.secret, signature, form)


def pusher_sign(request):
    body = json.dumps({**json.loads(request.body), "time_ms": request.now * 1000})
    signature = pusher.signature.sign(TEXT, body)
    return {"x-pusher-key": PUSHER_KEY, "x-pusher-signature": signature}, body


def pusher_verify(request):
    signature = request.headers["x-pusher-signature"]
    return PUSHER.validate_webhook(request.headers["x-pusher-key"], signature, request.body)


def messagebird_sign(request):
    # The SDK only verifies. What it verifies with signs here.
    claims = {
        "iss": "MessageBird",
        "nbf": request.now,
        "exp": request.now + 60,
        "jti": str(uuid.uuid4()),
        "url_hash": hashlib.sha256(request.url.encode()).hexdigest(),
        "payload_hash": hashlib.sha256(request.body.encode()).hexdigest(),
    }
    token = jwt.encode(claims, request.secret, algorithm="HS256")
    # What goes out is what the SDK takes.
    RequestValidator(request.secret).validate_signature(token, request.url, request.body.encode())
    return {"messagebird-signature-jwt": token}


def square(request):
    return square_verify(
        request_body=request.body,
        signature_header=request.headers["x-square-hmacsha256-signature"],
        signature_key=request.secret,
        notification_url=request.url,
    )


def case(provider, secret, sign=None, verify=None, **settings):
    """What main.rs is told of a case, and the functions that it asks for by name.

    Settings: `private`, what the gateway signs with where that is not the secret; `params`, `scheme`
    and `headers` (of `hookgate send`); `changed`, the text behind which a byte is changed, where not
    every byte is signed.
    """
    functions = {"sign": sign, "verify": verify}
    told = {"provider": provider, "secret": secret, **settings}
    told |= {"signs": sign is not None, "verifies": verify is not None}
    return {"told": told, **functions}


CASES = [
    case("stripe", TEXT, stripe_sign, stripe_verify),
    case("slack", TEXT, slack_sign, slack_verify),
    case("standard-webhooks", STANDARD, standard_sign, standard_verify),
    case("openai", STANDARD, standard_sign, standard_verify),
    case("supabase", STANDARD, standard_sign, standard_verify),
    case("discord", PUBLIC_HEX, discord_sign, discord_verify, private=PRIVATE),
    case("telnyx", PUBLIC_BASE64, None, telnyx_verify, private=PRIVATE),
    case("viber", TEXT, viber_sign, viber_verify),
    case("razorpay", TEXT, None, razorpay_verify),
    case("adyen", ADYEN, adyen_sign, adyen_verify, changed='"pspReference":'),
    case(
        "braintree",
        TEXT,
        braintree_sign,
        braintree_verify,
        params={"public_key": BRAINTREE_KEY},
        changed="bt_payload=",
    ),
    case("plivo", TEXT, plivo_sign, plivo_verify),
    case("pusher", f"{PUSHER_KEY}:{TEXT}", pusher_sign, pusher_verify),
    case("messagebird", TEXT, messagebird_sign, None, scheme="jwt"),
    case("square", TEXT, None, square),
]


def answer(asked):
    if asked["ask"] == "cases":
        return [case["told"] for case in CASES]
    case = next(case for case in CASES if case["told"]["provider"] == asked["case"])
    request = Request(asked, case["told"])
    if asked["ask"] == "sign":
        signed = case["sign"](request)
        headers, body = signed if isinstance(signed, tuple) else (signed, request.body)
        return {"headers": headers, "body": body, "url": asked["url"]}
    try:
        return {"valid": bool(case["verify"](request))}
    except Exception as error:  # as each SDK refuses in its own way
        return {"valid": False, "why": repr(error)}


# What an SDK prints must not stand between the answers.
answers, sys.stdout = sys.stdout, sys.stderr
for line in sys.stdin:
    print(json.dumps(answer(json.loads(line))), file=answers, flush=True)
