"""Verifies who published a message, and opens what is sealed in it. Kept beside a worker.

A message that cannot be believed or opened is Refused; any other exception says that the keys cannot be read.
"""

import base64
import json
import re
import urllib.request

from jwcrypto.jwe import JWE
from jwcrypto.jwk import JWKSet
from jwcrypto.jws import JWS

# Compact serialisation and nothing else: in it, the whole header is protected.
SIGNATURE = re.compile(r"[\w-]+\.\.[\w-]+", re.ASCII)
SEALED = re.compile(r"[\w-]+\.\.[\w-]+\.[\w-]*\.[\w-]+", re.ASCII)


class Refused(Exception):
    """Why a message is not to be acted on."""


def read_keys(place):
    """Reads a JWK Set from a file, or from where https:// or http:// leads."""
    if place.startswith(("https://", "http://")):
        with urllib.request.urlopen(place, timeout=10) as answer:
            return JWKSet.from_json(answer.read())
    with open(place) as file:
        return JWKSet.from_json(file.read())


class Keys:
    """The keys of a JWK Set, which is read again when another key is asked for."""

    def __init__(self, place):
        self.place = place
        self.keys = read_keys(place) if place else JWKSet()

    def key(self, kid):
        key = self.keys.get_key(kid)
        if key is None and self.place:
            self.keys = read_keys(self.place)
            key = self.keys.get_key(kid)
        return key


class Signers(Keys):
    """The keys of the gateways whose messages are believed: what `hookgate keys` prints."""

    def verify(self, signature, body):
        """Verifies the header `hookgate-signature` over the body, to the letter: a detached JWS."""
        if signature is None:
            raise Refused("it is not signed")
        if not isinstance(signature, str) or not SIGNATURE.fullmatch(signature):
            raise Refused("its signature is no detached JWS")
        token = JWS()
        token.allowed_algs = ["EdDSA"]
        try:
            token.deserialize(signature)
            header = token.jose_header
            kid = str(header.get("kid"))
        except Exception as error:  # whatever a forged one makes the library say
            raise Refused("its signature has no header") from error
        if header.get("b64") is not False:
            raise Refused("its signature is of another kind")
        key = self.key(kid)
        if key is None:
            raise Refused("its signature is by an unknown key")
        try:
            token.verify(key, detached_payload=body)
        except Exception as error:
            raise Refused("its signature does not verify") from error


class Openers(Keys):
    """The private keys that data may be sealed to. Keys before and after a rotation are here together."""

    def data(self, signal):
        """Returns the data of a signal: JSON as Python's values, anything else as bytes."""
        if "sealedfor" in signal:
            data, media_type = self.open(signal["data"], signal["signalid"])
            return parse(data) if is_json(media_type) else data
        if "data_base64" in signal:
            return base64.b64decode(signal["data_base64"])
        return signal["data"]

    def open(self, sealed, signalid):
        """Opens sealed data, and refuses what was sealed for another signal. Returns it with its media type."""
        if not isinstance(sealed, str) or not SEALED.fullmatch(sealed):
            raise Refused("its data is no JWE with a key that was agreed on")
        token = JWE()
        token.allowed_algs = ["ECDH-ES", "A256GCM"]
        try:
            token.deserialize(sealed)
            header = token.jose_header
            kid = str(header.get("kid"))
        except Exception as error:
            raise Refused("its data has no header") from error
        key = self.key(kid)
        if key is None:
            raise Refused("its data is sealed for another key")
        try:
            token.decrypt(key)
        except Exception as error:
            raise Refused("its data was changed") from error
        if header.get("signalid") != signalid:
            raise Refused("its data was sealed for another signal")
        return token.payload, str(header.get("cty", ""))


def parse(data):
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:
        raise Refused("its data is no JSON") from error


def is_json(media_type):
    return media_type in ("application/json", "text/json") or media_type.endswith("+json")
