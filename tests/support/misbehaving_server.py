"""A real server on loopback that breaks off, stalls, lies and resets connections."""

import hashlib
import random
import re
import socket
import struct
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from data.archives.fetch import fetch
from tests.support.archives import DATA

OTHER = random.Random(1).randbytes(len(DATA))
MD5 = hashlib.md5(DATA).hexdigest()


def get(url, target, **options):
    """Fetches with the patience of a test."""
    return fetch(url, target, **{"timeout": 2.0, "backoff": 0.01, "retries": 3, **options})


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        asked = self.server.asked.setdefault(self.path, [])
        asked.append(self.headers.get("Range"))
        try:
            self.server.answers[self.path](self, len(asked))
        except ConnectionError:
            self.close_connection = True

    def log_message(self, *_):
        pass

    def head(self, status, **headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()

    def file(self, content=DATA, *, ranges=True, etag='"one"', send=None, stall=0.0, **headers):
        """Serves `content` as RFC 9110 has it; hangs up after `send` bytes of body and a stall."""
        start = 0
        match = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        if etag:
            headers["ETag"] = etag
        if ranges and match and self.headers.get("If-Range", etag) == etag:
            start = int(match[1])
            headers.setdefault("Content_Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        if start == len(content):
            self.head(416, Content_Range=f"bytes */{len(content)}", Content_Length=0)
            return
        headers.setdefault("Content_Length", len(content) - start)
        self.head(206 if start else 200, **headers)
        self.wfile.write(content[start : None if send is None else start + send])
        if send is not None:
            self.wfile.flush()
            time.sleep(stall)
            self.close_connection = True

    def reset(self):
        """Ends the connection with RST, as a crashed machine does."""
        linger = struct.pack("ii", 1, 0)
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.connection.close()
        raise ConnectionError


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.answers, self.asked, self.errors = {}, {}, []

    def handle_error(self, request, client_address):
        error = sys.exc_info()[1]
        if not isinstance(error, ConnectionError):
            self.errors.append(error)

    def at(self, answer, path="/cholec80.tar.gz"):
        """Has `answer(handler, number of the request)` speak for `path`; returns the address."""
        self.answers[path] = answer
        return f"http://127.0.0.1:{self.server_port}{path}"

    def ranges(self, path="/cholec80.tar.gz"):
        """First bytes asked for, one per request; 0 where all was asked for."""
        return [int(asked[6:-1]) if asked else 0 for asked in self.asked.get(path, [])]
