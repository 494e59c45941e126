"""A Hugging Face Hub on the loopback: what brainfm asks of it, and a list of all that was asked."""

import base64
import hashlib
import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

import yaml


class Repository:
    """Commits of one repository; each is a whole tree of path to bytes."""

    def __init__(self, private):
        self.private = private
        self.commits = {}  # hash -> files, in order
        pickle = b"\x80\x04cos\nsystem\n."  # nobody may fetch these
        self.commit({"pytorch_model.bin": pickle, "sub/config.json": b"{}", ".gitattributes": b""})

    @property
    def head(self):
        """Hash of the last commit."""
        return list(self.commits)[-1]

    def commit(self, changed):
        """Add a commit that changes some files; return its hash."""
        files = {**(self.commits[self.head] if self.commits else {}), **changed}
        told = repr([len(self.commits), *sorted(files.items())]).encode()
        name = hashlib.sha1(told).hexdigest()  # noqa: S324
        self.commits[name] = files
        return name


class Hub:
    """The state of the server: repositories, large files, tokens that may write, requests."""

    def __init__(self):
        self.repositories = {}
        self.large = {}
        self.token = "hf_writer"  # noqa: S105
        self.requests = []
        self.endpoint = None


@contextmanager
def serving():
    """Yield a :class:`Hub` that answers at ``hub.endpoint``."""
    hub = Hub()
    handler = type("Handler", (_Handler,), {"hub": hub})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    hub.endpoint = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub = None

    def log_message(self, *_):
        pass

    def do_GET(self):
        self._answer()

    do_HEAD = do_POST = do_PUT = do_GET  # noqa: N815

    def _answer(self):
        path = unquote(urlsplit(self.path).path)
        self.hub.requests.append(f"{self.command} {path}")
        body = self._body()
        parts = path.strip("/").split("/")
        if path == "/api/repos/create":
            self._create(json.loads(body))
        elif path == "/api/validate-yaml":
            self._validate(json.loads(body)["content"])
        elif parts[0] == "large":
            self._store(parts[1], body)
        elif path.endswith(".git/info/lfs/objects/batch"):
            self._batch(json.loads(body))
        elif parts[:2] == ["api", "models"]:
            self._api("/".join(parts[2:4]), parts[4:], body)
        elif parts[2:3] == ["resolve"]:
            self._resolve("/".join(parts[:2]), parts[3], "/".join(parts[4:]))
        else:
            self._say(404, {"error": "no such page"})

    def _body(self):
        if self.headers.get("Transfer-Encoding") == "chunked":
            body = b""
            while size := int(self.rfile.readline(), 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return body
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def _may_write(self):
        return self.headers.get("Authorization") == f"Bearer {self.hub.token}"

    def _say(self, status, data, **headers):
        body = data if isinstance(data, bytes) else json.dumps(data).encode()
        self.send_response(status)
        for name, value in {"Content-Length": len(body), **headers}.items():
            self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _create(self, asked):
        name = f"{asked['organization']}/{asked['name']}"
        if not self._may_write():
            self._say(401, {"error": "Invalid username or password."})
        elif name in self.hub.repositories:
            self._say(
                409, {"error": "You already created it", "url": f"{self.hub.endpoint}/{name}"}
            )
        else:
            private = asked.get("private", asked.get("visibility") == "private")
            self.hub.repositories[name] = Repository(private)
            self._say(200, {"url": f"{self.hub.endpoint}/{name}"})

    def _validate(self, content):
        head = yaml.safe_load(content.split("---\n")[1]) if content.startswith("---\n") else {}
        errors = [] if "license" in head else [{"message": '"license" is required'}]
        self._say(400 if errors else 200, {"errors": errors, "warnings": []})

    def _batch(self, asked):
        actions = [
            {
                **one,
                "actions": {"upload": {"href": f"{self.hub.endpoint}/large/{one['oid']}"}},
            }
            for one in asked["objects"]
        ]
        self._say(200, {"transfer": "basic", "objects": actions})

    def _store(self, oid, body):
        assert hashlib.sha256(body).hexdigest() == oid
        self.hub.large[oid] = body
        self._say(200, {})

    def _repository(self, name):
        """Return a repository that may be read, or say that there is none."""
        found = self.hub.repositories.get(name)
        if found is None or (found.private and not self._may_write()):
            code = {"X_Error_Code": "RepoNotFound", "X_Error_Message": "Repository not found"}
            self._say(401 if self.headers.get("Authorization") is None else 404, {}, **code)
            return None
        return found

    def _revision(self, repository, revision):
        commit = repository.head if revision == "main" else revision
        if commit not in repository.commits:
            self._say(404, {"error": "Invalid rev id"}, X_Error_Code="RevisionNotFound")
            return None
        return commit

    def _api(self, name, rest, body):
        repository = self._repository(name)
        if repository is None:
            return
        kind, revision = rest or ("revision", "main")
        commit = self._revision(repository, revision)
        if commit is None:
            return
        if kind == "revision":
            facts = {"id": name, "modelId": name, "sha": commit, "private": repository.private}
            self._say(200, {**facts, "siblings": [], "tags": []})
        elif kind == "tree":
            self._say(200, [_entry(*item) for item in repository.commits[commit].items()])
        elif not self._may_write():
            self._say(403, {"error": "no right to write"})
        elif kind == "preupload":
            self._say(200, {"files": [_mode(one["path"]) for one in json.loads(body)["files"]]})
        elif kind == "commit":
            self._commit(name, repository, body)

    def _commit(self, name, repository, body):
        changed = {}
        for line in body.splitlines():
            entry = json.loads(line)
            value = entry["value"]
            if entry["key"] == "file":
                changed[value["path"]] = base64.b64decode(value["content"])
            elif entry["key"] == "lfsFile":
                changed[value["path"]] = self.hub.large[value["oid"]]
        commit = repository.commit(changed)
        url = f"{self.hub.endpoint}/{name}/commit/{commit}"
        self._say(200, {"success": True, "commitOid": commit, "commitUrl": url})

    def _resolve(self, name, revision, path):
        repository = self._repository(name)
        commit = repository and self._revision(repository, revision)
        if commit is None:
            return
        content = repository.commits[commit].get(path)
        if content is None:
            self._say(404, {}, X_Error_Code="EntryNotFound", X_Repo_Commit=commit)
            return
        etag = f'"{hashlib.sha256(content).hexdigest()}"'
        self._say(200, content, ETag=etag, X_Repo_Commit=commit)


def _mode(path):
    large = path.endswith(".safetensors")
    return {"path": path, "uploadMode": "lfs" if large else "regular", "shouldIgnore": False}


def _entry(path, content):
    oid = hashlib.sha1(content).hexdigest()  # noqa: S324
    entry = {"type": "file", "path": path, "size": len(content), "oid": oid}
    if path.endswith(".safetensors"):
        sha256 = hashlib.sha256(content).hexdigest()
        entry["lfs"] = {"oid": sha256, "size": len(content), "pointerSize": 130}
    return entry
