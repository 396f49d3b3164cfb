# SPDX-License-Identifier: Apache-2.0
"""How clients log in to mongod_double: SCRAM (RFC 5802, RFC 7677), the server's
side, in MongoDB's commands saslStart and saslContinue, and in its greeting."""

import base64
import hashlib
import hmac
import os

HASHES = {"SCRAM-SHA-1": "sha1", "SCRAM-SHA-256": "sha256"}
ROUNDS = 4096                   # libmongoc takes no fewer
# Without a login.
FREE = {"hello", "ismaster", "ping", "saslstart", "saslcontinue"}


class Refused(ValueError):
    """An answer with ok = 0 and this code."""

    def __init__(self, text, code=18):
        super().__init__(text)
        self.code = code


def fields(message):
    return dict(part.split("=", 1) for part in message.split(","))


def exclusive_or(a, b):
    return bytes(x ^ y for x, y in zip(a, b))


class Scram:
    """One exchange: the client's first message, and its second, which must
    prove that it knows the password; `secret(name)` gives that, or None."""

    def __init__(self, mechanism, first, secret):
        if mechanism not in HASHES:
            raise Refused(f"no such mechanism: {mechanism}", 2)
        self.hash = HASHES[mechanism]
        self.bare = first.removeprefix("n,,")
        asked = fields(self.bare)
        self.user = asked["n"].replace("=2C", ",").replace("=3D", "=")
        self.password = secret(self.user)
        if self.password is None:
            raise Refused("Authentication failed.")
        if self.hash == "sha1":
            text = f"{self.user}:mongo:{self.password}"
            self.password = hashlib.md5(text.encode()).hexdigest()
        self.salt = os.urandom(hashlib.new(self.hash).digest_size - 4)
        self.nonce = asked["r"] + base64.b64encode(os.urandom(18)).decode()
        salt = base64.b64encode(self.salt).decode()
        self.challenge = f"r={self.nonce},s={salt},i={ROUNDS}"

    def keyed(self, key, text):
        return hmac.digest(key, text.encode(), self.hash)

    def proven(self, second):
        """What the server proves in return."""
        given = fields(second)
        text = ",".join([self.bare, self.challenge, second.rpartition(",p=")[0]])
        salted = hashlib.pbkdf2_hmac(self.hash, self.password.encode(), self.salt,
                                     ROUNDS)
        stored = hashlib.new(self.hash, self.keyed(salted, "Client Key")).digest()
        key = exclusive_or(base64.b64decode(given["p"]), self.keyed(stored, text))
        if given["r"] != self.nonce or hashlib.new(self.hash, key).digest() != stored:
            raise Refused("Authentication failed.")
        signature = self.keyed(self.keyed(salted, "Server Key"), text)
        return "v=" + base64.b64encode(signature).decode()


class Login:
    """One connection's. `users`: {(database, name): password}, or None: nobody
    is asked; `mechanisms`: those that the greeting names and that work."""

    def __init__(self, users, mechanisms):
        self.users, self.mechanisms = users or {}, mechanisms
        self.scram, self.done = None, users is None

    def check(self, command):
        if not self.done and command not in FREE:
            raise Refused(f"command {command} requires authentication", 13)

    def greeting(self, doc):
        """What a hello adds for one who is about to log in."""
        database, _, name = doc.get("saslSupportedMechs", "").partition(".")
        more = {}
        if (database, name) in self.users:
            more["saslSupportedMechs"] = list(self.mechanisms)
        early = doc.get("speculativeAuthenticate")
        if self.users and early:
            try:
                more["speculativeAuthenticate"] = self.do_saslstart(
                    {"$db": early["db"], **early})
            except Refused:
                pass            # it asks again, and is told then
        return more

    def do_saslstart(self, doc):
        if doc["mechanism"] not in self.mechanisms:
            raise Refused("the mechanism is not enabled", 334)
        self.skips = doc.get("options", {}).get("skipEmptyExchange", False)
        self.scram = Scram(doc["mechanism"], doc["payload"].decode(),
                           lambda name: self.users.get((doc["$db"], name)))
        return self.answer(False, self.scram.challenge)

    def do_saslcontinue(self, doc):
        if self.done and not doc["payload"]:
            return self.answer(True, "")
        scram, self.scram = self.scram, None
        if scram is None:
            raise Refused("no login has been begun", 17)
        proof = scram.proven(doc["payload"].decode())
        self.done = True
        return self.answer(self.skips, proof)

    @staticmethod
    def answer(done, payload):
        return {"conversationId": 1, "done": done, "payload": payload.encode()}
