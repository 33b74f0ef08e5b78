"""As much of the Hugging Face Hub as its client needs to fetch and fill a repository, on loopback.

`python -m tests.support.hub_server FOLDER` serves FOLDER/owner/name as that repository, prints its
port, and a line for each request. Its one other revision is "v2"; token "secret" opens a repository
whose name begins with "private", and may write in FOLDER, but not in repositories whose name begins
with "theirs"; "reader" may not. Weights go as to the Hub: as LFS objects, to an address that the
server gives. While there is FOLDER/full, it takes no commit. FOLDER/commits has their titles.
"""

import base64
import hashlib
import json
import shutil
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote

VISIBILITY = ".visibility"  # of a repository: a file that only this server sees
COMMITS = {"main": "a" * 40, "v2": "b" * 40}


class Handler(BaseHTTPRequestHandler):
    def log_message(self, *_):
        print(self.command, self.path, flush=True)

    def do_HEAD(self):
        self.do_GET()

    def do_POST(self):
        content = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        parts = unquote(self.path).partition("?")[0].strip("/").split("/")
        token = self.headers.get("Authorization", "").removeprefix("Bearer ")
        if parts == ["api", "validate-yaml"]:
            return self.answer_json(200, {"errors": [], "warnings": []})
        if token != "secret":
            return self.answer_json(403 if token == "reader" else 401, {"error": "no"})
        if parts[-3:] == ["lfs", "objects", "batch"]:
            objects = json.loads(content)["objects"]
            for one in objects:
                href = f"http://127.0.0.1:{self.server.server_port}/lfs/{one['oid']}"
                one["actions"] = {"upload": {"href": href}}
            return self.answer_json(200, {"transfer": "basic", "objects": objects})
        if parts == ["api", "repos", "create"]:
            asked = json.loads(content)
            folder = Path(sys.argv[1], asked["organization"], asked["name"])
            if folder.exists():
                return self.answer_json(409, {"error": "exists"})
            folder.mkdir(parents=True)
            (folder / VISIBILITY).write_text(asked.get("visibility", "public"))
            (folder / ".gitattributes").write_text("*.h5 filter=lfs\n")  # as the Hub makes it
            page = f"http://127.0.0.1:{self.server.server_port}/{'/'.join(folder.parts[-2:])}"
            return self.answer_json(200, {"url": page})
        folder = Path(sys.argv[1], *parts[2:4])
        if parts[4] == "preupload":
            files = [
                {"path": f["path"], "shouldIgnore": False, "uploadMode": mode_of(f["path"])}
                for f in json.loads(content)["files"]
            ]
            return self.answer_json(200, {"files": files})
        if Path(sys.argv[1], "full").exists():
            return self.answer_json(507, {"error": "Insufficient storage"})
        for line in map(json.loads, content.splitlines()):
            if line["key"] == "header":
                with Path(sys.argv[1], "commits").open("a") as file:
                    file.write(line["value"]["summary"] + "\n")
                continue
            path = folder / line["value"].get("path", "")
            path.parent.mkdir(parents=True, exist_ok=True)
            if line["key"] == "file":
                path.write_bytes(base64.b64decode(line["value"]["content"]))
            elif line["key"] == "lfsFile":
                shutil.copyfile(Path(sys.argv[1], line["value"]["oid"]), path)
        page = f"http://127.0.0.1:{self.server.server_port}/{'/'.join(parts[2:4])}"
        commit = {"commitUrl": f"{page}/commit/{COMMITS['main']}", "commitOid": COMMITS["main"]}
        return self.answer_json(200, commit)

    def do_PUT(self):
        content = self.rfile.read(int(self.headers["Content-Length"]))
        Path(sys.argv[1], self.path.rpartition("/")[2]).write_bytes(content)
        self.answer(200)

    def answer_json(self, code, found):
        self.answer(code, json.dumps(found).encode(), **{"Content-Type": "application/json"})

    def do_GET(self):
        token = self.headers.get("Authorization", "").removeprefix("Bearer ")
        if self.path == "/api/whoami-v2":
            known = token in ("secret", "reader")
            return self.answer_json(200 if known else 401, {"name": "owner", "type": "user"})
        parts = unquote(self.path).partition("?")[0].strip("/").split("/")
        if parts[-2:] == ["auth-check", "write"]:
            if token != "secret" or parts[3].startswith("theirs"):
                return self.answer_json(403, {"error": "no"})
            return self.answer_json(200, {})
        if parts[:2] == ["api", "models"] and len(parts) == 4:
            parts += ["revision", "main"]
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
        files = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
        visibility = files.pop(VISIBILITY, b"public").decode()
        if kind == "resolve":
            content = files[parts[4]]
            return self.answer(200, content, ETag=f'"{oid(content)}"', **{"X-Repo-Commit": commit})
        found = {
            "revision": {
                "id": repository,
                "sha": commit,
                "private": visibility == "private",
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
        if self.command != "HEAD":
            self.wfile.write(body)


def mode_of(path):
    return "lfs" if path.endswith((".h5", ".safetensors")) else "regular"


def oid(content):
    return hashlib.sha1(content).hexdigest()


if __name__ == "__main__":
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    print(server.server_port, flush=True)
    server.serve_forever()
