# SPDX-License-Identifier: GPL-2.0-or-later
"""https, sessions and routing: from a request of the SDK to a call of a resource."""

from __future__ import annotations

import json
import socket
import ssl
import threading
import time
import uuid
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from lxml import etree

from engine_simulator import documents
from engine_simulator.faults import FaultTable, Hangup, Refusal
from engine_simulator.resources import ROUTES, Resources

_API, _TOKEN, _LOGOUT = "/ovirt-engine/api", "/ovirt-engine/sso/oauth/token", "/ovirt-engine/services/sso-logout"


@dataclass
class Api:
    """What the server serves.

    :param calls: every call that was made, in order: for tests that ask what was done.
    """

    resources: Resources
    user: str
    password: str
    faults: FaultTable = field(default_factory=FaultTable)
    tokens: set[str] = field(default_factory=set)
    calls: list[str] = field(default_factory=list)
    lock: threading.RLock = field(default_factory=threading.RLock)

    def log_in(self, form: dict[str, str]) -> dict[str, Any]:
        """Answer with a token."""
        self._trouble("token")
        if (form.get("username"), form.get("password")) != (self.user, self.password):
            return {"error_code": "access_denied", "error": "Cannot authenticate user No valid profile found."}
        token = uuid.uuid4().hex
        self.tokens.add(token)
        return {"access_token": token, "scope": "ovirt-app-api", "token_type": "bearer", "exp": "9223372036854775807"}

    def call(self, method: str, path: str, query: dict[str, str], body: bytes, token: str) -> tuple[int, bytes]:
        """Do what a request asks for."""
        with self.lock:
            if token not in self.tokens:
                return 401, _bytes(documents.fault("Unauthorized", "[The session has expired.]"))
        for wanted, pattern, name, call in ROUTES:
            found = pattern.match(path)
            if wanted != method or found is None:
                continue
            try:
                hangup = self._trouble(name)
                with self.lock:
                    self.resources.state.catch_up()
                    arguments: list[Any] = list(found.groups())
                    if method == "POST":
                        arguments.append(_parsed(body))
                    status, document = getattr(self.resources, call)(query, *arguments)
                if hangup:
                    raise Hangup
            except Refusal as err:
                return err.status, _bytes(documents.fault(err.reason, err.detail))
            return status, _bytes(document)
        return 404, _bytes(documents.fault("Not Found", f"[The simulator has no {method} {path}.]"))

    def _trouble(self, name: str) -> bool:
        """Do what the fault table says; tell whether to hang up after the call."""
        with self.lock:
            self.calls.append(name)
            fault = self.faults.due(name)
        if fault is None:
            return False
        if fault.action is not None:
            fault.action()
        time.sleep(fault.delay)
        if fault.hangup == "before":
            raise Hangup
        if fault.status:
            raise Refusal(fault.status, fault.detail)
        return fault.hangup == "after"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # head and body of an answer are sent one after the other
    disable_nagle_algorithm = True
    server: EngineServer

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def do_DELETE(self) -> None:
        self._answer()

    def log_message(self, *_words: Any) -> None:
        """Log nothing."""

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        parts = urlsplit(self.path)
        api = self.server.api
        try:
            if self.server.is_down:
                raise Hangup
            if parts.path == _TOKEN:
                form = {key: values[-1] for key, values in parse_qs(body.decode()).items()}
                self._send(200, json.dumps(api.log_in(form)).encode(), "application/json")
            elif parts.path == _LOGOUT:
                self._send(200, b"{}", "application/json")
            elif parts.path.startswith(_API):
                query = {key: values[-1] for key, values in parse_qs(parts.query).items()}
                token = (self.headers.get("Authorization") or "").removeprefix("Bearer ")
                self._send(*api.call(self.command, parts.path.removeprefix(_API), query, body, token))
            else:
                self._send(404, b"<html>no such page</html>", "text/html")
        except Refusal as err:
            answer = {"error_code": "server_error", "error": err.detail}
            self._send(err.status, json.dumps(answer).encode(), "application/json")
        except Hangup:
            self.close_connection = True

    def _send(self, status: int, content: bytes, kind: str = "application/xml") -> None:
        self.send_response(status)
        self.send_header("Content-Type", f"{kind};charset=UTF-8")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


class EngineServer(ThreadingHTTPServer):
    """The server, on a port of its own on loopback."""

    daemon_threads = True

    def __init__(self, api: Api, context: ssl.SSLContext, port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.api = api
        self.is_down = False
        # the handshake is the thread's of the connection, and not the one's that accepts
        self.socket = context.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Log nothing about clients that hang up or that do not trust the certificate."""
        import sys

        if not isinstance(sys.exc_info()[1], (OSError, socket.timeout)):
            super().handle_error(request, client_address)


@dataclass
class Listener:
    """The server of an engine that can be shut down and started again, on the same port and with the same state."""

    api: Api
    context: ssl.SSLContext
    port: int = 0
    _server: EngineServer | None = None

    def start(self) -> None:
        """Serve, if it does not."""
        if self._server is None:
            self._server = EngineServer(self.api, self.context, self.port)
            self.port = int(self._server.server_address[1])
            threading.Thread(target=self._server.serve_forever, args=(0.05,), name="engine", daemon=True).start()

    def stop(self) -> None:
        """Refuse new connections, and answer nothing on those that are open."""
        server, self._server = self._server, None
        if server is not None:
            server.is_down = True
            server.shutdown()
            server.server_close()


def _parsed(body: bytes) -> documents.Element:
    try:
        return etree.fromstring(body, etree.XMLParser(resolve_entities=False, no_network=True))
    except etree.XMLSyntaxError as err:
        raise Refusal(400, f"[Request syntactically incorrect: {err}]") from err


def _bytes(document: documents.Element) -> bytes:
    return bytes(etree.tostring(document, encoding="UTF-8", xml_declaration=True))
