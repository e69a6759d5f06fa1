"""What of Google Cloud Storage, of the Hugging Face Hub and of a plain web server is asked for, on this machine."""

from __future__ import annotations

import json
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, quote, unquote, urlparse

PAGE = 2  # names that a listing of gs gives at once


class Stores(ThreadingHTTPServer):
    """The files, key -> content, as gs://bucket/key, as hf://datasets/user/data/key and below http://…/web/.

    Answers the next requests with the statuses of `refusals`, one each. Without `parts` it knows no ranges.
    """

    daemon_threads = True
    parts = True

    def __init__(self, files: Mapping[str, bytes]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.files = files
        self.refusals: list[int] = []
        self.asked: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Stores

    def log_message(self, *_: object) -> None: ...

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        if self.server.refusals:
            self._send(b"", self.server.refusals.pop(0))
            return
        asked = urlparse(self.path)
        words = {name: values[0] for name, values in parse_qs(asked.query).items()}
        for start, answer in (
            ("/storage/v1/b/bucket/o/", self._of_gs),
            ("/storage/v1/b/bucket/o", self._list_of_gs),
            ("/download/storage/v1/b/bucket/o/", self._content),
            ("/api/datasets/user/data/tree/main", self._tree_of_hf),
            ("/api/datasets/user/data", self._of_hf),
            ("/datasets/user/data/resolve/main/", self._content),
            ("/web/", self._page),
        ):
            if asked.path.startswith(start):
                answer(unquote(asked.path.removeprefix(start)), words)
                return
        self._gone()

    do_HEAD = do_GET  # noqa: N815 (the name that http.server calls)

    def _content(self, key: str, _: object) -> None:
        if key not in self.server.files:
            self._gone()
            return
        content = self.server.files[key]
        if self.server.parts and (asked := self.headers.get("Range", "").removeprefix("bytes=")):
            start, _, last = asked.partition("-")
            content = content[int(start) : int(last) + 1 if last else None]
            self._send(content, 206 if content else 416, "image/png")
        else:
            self._send(content, 200, "image/png")

    def _of_gs(self, key: str, _: object) -> None:
        if key in self.server.files:
            self._send(self._object(key))
        else:
            self._gone()

    def _object(self, key: str) -> dict[str, str]:
        return {"name": key, "bucket": "bucket", "size": str(len(self.server.files[key]))}

    def _list_of_gs(self, _: str, words: Mapping[str, str]) -> None:
        names = [name for name in sorted(self.server.files) if name.startswith(words.get("prefix", ""))]
        at = int(words.get("pageToken", 0))
        page: dict[str, object] = {"items": [self._object(name) for name in names[at : at + PAGE]]}
        if at + PAGE < len(names):
            page["nextPageToken"] = str(at + PAGE)
        self._send(page)

    def _of_hf(self, _: str, __: object) -> None:
        self._send({"_id": "1", "id": "user/data", "sha": "a" * 40, "private": False, "tags": [], "siblings": []})

    def _tree_of_hf(self, below: str, words: Mapping[str, str]) -> None:
        start = f"{below.strip('/')}/".lstrip("/")
        names = [name for name in sorted(self.server.files) if name.startswith(start) and not name.endswith("/")]
        if words.get("recursive", "").lower() != "true":
            names = list(dict.fromkeys(start + name.removeprefix(start).partition("/")[0] for name in names))
        kinds = {name: "file" if name in self.server.files else "directory" for name in names}
        found = [{"type": kinds[name], "path": name, "oid": "0" * 40, "size": 1} for name in names]
        self._send(found) if found else self._gone()

    def _page(self, key: str, words: object) -> None:
        """A file, or a page with links to what is in a folder, to the one above, and to orders of the list."""
        start = f"{key.rstrip('/')}/".lstrip("/")
        below = [name.removeprefix(start) for name in self.server.files if name.startswith(start)]
        if (key in self.server.files and not key.endswith("/")) or not below:
            self._content(key, words)
            return
        links = sorted({name.partition("/")[0] + "/" * ("/" in name) for name in below if name})
        page = "".join(f'<a href="{quote(link)}">{link}</a>' for link in links)
        self._send(f'<a href="../">up</a><a href="?C=N;O=D">by name</a>{page}'.encode(), 200, "text/html")

    def _gone(self) -> None:
        self._send({"error": "Entry not found"}, 404)

    def _send(self, body: object, status: int = 200, kind: str = "application/json") -> None:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        if status == 404:
            self.send_header("X-Error-Code", "EntryNotFound")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)
