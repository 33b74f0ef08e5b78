"""As much of the Hugging Face Hub as its client needs to fetch a repository, on loopback.

`python -m tests.support.hub_server FOLDER` serves FOLDER/owner/name as that repository, prints its
port, and a line for each request. Its one other revision is "v2"; token "secret" opens a repository
whose name begins with "private".
"""

import hashlib
import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote

COMMITS = {"main": "a" * 40, "v2": "b" * 40}


class Handler(BaseHTTPRequestHandler):
    def log_message(self, *_):
        print(self.command, self.path, flush=True)

    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):
        parts = unquote(self.path).partition("?")[0].strip("/").split("/")
        if parts[:2] == ["api", "models"] and len(parts) >= 6:
            repository, kind, revision = "/".join(parts[2:4]), parts[4], parts[5]
        elif len(parts) >= 5 and parts[2] == "resolve":
            repository, kind, revision = "/".join(parts[:2]), "resolve", parts[3]
        else:
            return self.answer(404)
        folder = Path(sys.argv[1], repository)
        is_open = self.headers.get("Authorization") == "Bearer secret"
        if not folder.is_dir() or (parts[-1].startswith("private") and not is_open):
            return self.answer(404, error="RepoNotFound")
        if "private" in repository and not is_open:
            return self.answer(401, error="RepoNotFound")
        commit = COMMITS.get(revision, revision)
        if commit not in COMMITS.values():
            return self.answer(404, error="RevisionNotFound")
        files = {path.name: path.read_bytes() for path in folder.iterdir()}
        if kind == "resolve":
            content = files[parts[4]]
            return self.answer(200, content, ETag=f'"{oid(content)}"', **{"X-Repo-Commit": commit})
        found = {
            "revision": {
                "id": repository,
                "sha": commit,
                "siblings": [{"rfilename": n} for n in files],
            },
            "tree": [
                {"type": "file", "path": name, "size": len(content), "oid": oid(content)}
                for name, content in files.items()
            ],
        }[kind]
        return self.answer(200, json.dumps(found).encode(), **{"Content-Type": "application/json"})

    def answer(self, code, body=b"", error=None, **headers):
        self.send_response(code)
        for name, value in (headers | ({"X-Error-Code": error} if error else {})).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)


def oid(content):
    return hashlib.sha1(content).hexdigest()


if __name__ == "__main__":
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    print(server.server_port, flush=True)
    server.serve_forever()
