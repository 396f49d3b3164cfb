# SPDX-License-Identifier: Apache-2.0
"""not MongoDB: a small double of it, for machines without a MongoDB, and for
answers that no real server gives. Equality, $in, $or, $gt, $exists in selectors;
$set; projections that leave keys out; logins (mongod_login) and TLS.

    with Double(auth="admin") as server:    # the user is one of that database
        server.settings()                   # with login and password
        server.stop()                       # and later, with the same data
        server.start()

`tls`: a pair (certificate, key) of files. `spoil(command, document)` may return
bytes that are sent in place of the answer, or None.
"""

import itertools
import os
import socket
import struct
import threading

from . import bson, certs
from .mongod_login import HASHES, Login

# Files of tests that used one, for the summary.
used_by = set()

HELLO = {"ismaster": True, "isWritablePrimary": True, "minWireVersion": 0,
         "maxWireVersion": 17, "maxBsonObjectSize": 16 << 20,
         "maxMessageSizeBytes": 48 << 20, "maxWriteBatchSize": 100000}


class Double:
    what = "not MongoDB"
    user, password, database = "pinfold", "s3cret", "pinfold"

    def __init__(self, spoil=None, auth=None, tls=None, mechanisms=tuple(HASHES)):
        self.spoil, self.auth, self.mechanisms = spoil, auth, mechanisms
        self.tls = certs.server_context(*tls) if tls else None
        self.collections, self.cursors = {}, {}
        self.cursor_ids = itertools.count(1000)
        self.lock = threading.Lock()
        self.links = set()
        self.port = 0

    def __enter__(self):
        used_by.add(os.environ.get("PYTEST_CURRENT_TEST", "").split("::")[0])
        self.start()
        return self

    def __exit__(self, *_):
        self.stop()

    def start(self):
        self.listener = socket.create_server(("127.0.0.1", self.port))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, args=(self.listener,),
                         daemon=True).start()

    def stop(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        for link in list(self.links):
            try:
                link.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def settings(self, **more):
        settings = {"host": "127.0.0.1", "port": self.port, "database": self.database}
        if self.auth:
            settings.update(login=self.user, password=self.password)
        return {**settings, **more}

    def _accept(self, listener):
        while True:
            try:
                link = listener.accept()[0]
            except OSError:
                return
            threading.Thread(target=self._serve, args=(listener, link),
                             daemon=True).start()

    def _serve(self, listener, link):
        users = {(self.auth, self.user): self.password} if self.auth else None
        login = Login(users, self.mechanisms)
        try:
            if self.tls:
                link = self.tls.wrap_socket(link, server_side=True)
            self.links.add(link)
            while listener.fileno() >= 0:       # not stopped meanwhile
                link.sendall(self._exchange(*bson.read_message(link), login))
        except (OSError, EOFError):
            pass
        finally:
            self.links.discard(link)
            link.close()

    def _exchange(self, ident, op, doc, login):
        name = next(iter(doc))
        spoilt = self.spoil and self.spoil(name, doc)
        if spoilt:
            return spoilt
        with self.lock:
            answer = self._answer(name.lower(), doc, login)
        if doc.get("writeConcern", {}).get("w") == 0:
            return b""
        if op == bson.OP_QUERY:
            body = struct.pack("<iqii", 8, 0, 0, 1) + bson.encode(answer)
            return bson.message(bson.OP_REPLY, body, ident)
        return bson.msg(answer, ident)

    def _answer(self, name, doc, login):
        try:
            login.check(name)
            if name in ("hello", "ismaster"):
                return {"ok": 1.0, **HELLO, **login.greeting(doc)}
            of = login if name.startswith("sasl") else self
            run = getattr(of, "do_" + name, lambda _: None)
            return {"ok": 1.0, **(run(doc) or {})}
        except ValueError as error:
            return {"ok": 0.0, "errmsg": str(error), "code": getattr(error, "code", 2)}

    def do_insert(self, doc):
        docs = self._docs(doc, "insert")
        for new in doc["documents"]:
            if any(old["_id"] == new["_id"] for old in docs):
                return {"n": 0, "writeErrors": [{"index": 0, "code": 11000,
                                                 "errmsg": "E11000 duplicate key"}]}
            docs.append(new)
        return {"n": len(doc["documents"])}

    def do_update(self, doc):
        n = 0
        for update in doc["updates"]:
            for old in self._docs(doc, "update"):
                if matches(old, update["q"]):
                    old.update(update["u"]["$set"])
                    n += 1
                    break
        return {"n": n, "nModified": n}

    def do_delete(self, doc):
        docs = self._docs(doc, "delete")
        before = len(docs)
        docs[:] = [d for d in docs if not matches(d, doc["deletes"][0]["q"])]
        return {"n": before - len(docs)}

    def do_find(self, doc):
        found = [d for d in self._docs(doc, "find")
                 if matches(d, doc.get("filter", {}))]
        found = found[doc.get("skip", 0):]
        if doc.get("limit"):
            found = found[:doc["limit"]]
        hidden = [k for k, v in doc.get("projection", {}).items() if not v]
        found = [{k: v for k, v in d.items() if k not in hidden} for d in found]
        return self._batch(f"{doc['$db']}.{doc['find']}", found,
                           doc.get("batchSize", 101), "firstBatch")

    def _docs(self, doc, command):
        """The documents of the collection that the command names."""
        return self.collections.setdefault((doc["$db"], doc[command]), [])

    def _batch(self, name, docs, size, key):
        ident = 0
        if len(docs) > size:
            ident = next(self.cursor_ids)
            self.cursors[ident] = docs[size:]
        return {"cursor": {key: docs[:size], "ns": name,
                           "id": bson.Raw(0x12, struct.pack("<q", ident))}}

    def do_getmore(self, doc):
        if doc["getMore"] not in self.cursors:
            raise ValueError("cursor not found")
        docs = self.cursors.pop(doc["getMore"])
        return self._batch(f"{doc['$db']}.{doc['collection']}", docs,
                           doc.get("batchSize", 1000), "nextBatch")

    def do_killcursors(self, doc):
        for ident in doc["cursors"]:
            self.cursors.pop(ident, None)


def matches(doc, selector):
    return all(_one(doc, key, want) for key, want in selector.items())


def _one(doc, key, want):
    if key == "$or":
        return any(matches(doc, s) for s in want)
    if key.startswith("$"):
        raise ValueError(f"unknown operator: {key}")
    have = doc.get(key)
    if isinstance(want, dict) and any(k.startswith("$") for k in want):
        return all(_operator(doc, key, have, op, v) for op, v in want.items())
    return have == want


def _operator(doc, key, have, op, value):
    if op == "$in":
        return have in value
    if op == "$gt":
        return isinstance(have, (int, float)) and have > value
    if op == "$exists":
        return (key in doc) == value
    raise ValueError(f"unknown operator: {op}")
