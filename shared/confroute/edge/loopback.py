"""A request to a server in this process that another thread may break off."""

from __future__ import annotations

import json
import os
import socket
import threading
from collections.abc import Mapping
from contextlib import suppress
from http.client import HTTPConnection
from typing import Any
from urllib.parse import urlsplit

from confroute.edge.streamed import gathered
from confroute.errors import ModelError

_SECONDS_TO_CONNECT = 1.0


class Exchange:
    """One JSON request after the other, each on a connection of its own. When the connection closes before the reply,
    by `break_off` or by Ctrl-C, the server stops working on it.
    """

    def __init__(self, url: str, key: str, *, seconds: float | None = None) -> None:
        self._address = urlsplit(url).netloc
        self._seconds = seconds  # that it waits at the most
        self._headers = {"Content-Type": "application/json", "Authorization": f"Bearer {key}"}
        self._connection: HTTPConnection | None = None
        self._broken_off = False
        self._lock = threading.Lock()

    def send(self, path: str, request: Mapping[str, Any] | None = None) -> Any:
        """The reply to a POST of *request*, or to a GET, whatever its status. Raises OSError, HTTPException or
        ValueError where there is none."""
        connection = HTTPConnection(self._address, timeout=self._seconds)
        with self._lock:
            if self._broken_off:
                raise ModelError("The request was broken off.")
            connection.connect()
            self._connection = connection
        try:
            if request is None:
                connection.request("GET", path, headers=self._headers)
            else:
                connection.request("POST", path, json.dumps(request), self._headers)
            response = connection.getresponse()
            content = response.read()
            streamed = response.headers.get_content_type() == "text/event-stream"
            return gathered(content) if streamed else json.loads(content)
        finally:
            with self._lock:
                self._connection = None
                connection.close()

    @property
    def is_broken_off(self) -> bool:
        return self._broken_off

    def break_off(self) -> None:
        """End the request under way, and any later one."""
        with self._lock:
            self._broken_off = True
            if self._connection is not None and self._connection.sock is not None:
                # Closing alone would leave the other thread waiting. The server may have closed it first.
                with suppress(OSError):
                    self._connection.sock.shutdown(socket.SHUT_RDWR)


def is_gone(url: str) -> bool:
    """Whether nobody listens there any more."""
    address = urlsplit(url)
    try:
        socket.create_connection((str(address.hostname), address.port or 0), timeout=_SECONDS_TO_CONNECT).close()
    except ConnectionRefusedError:
        return True
    except OSError:
        return False
    return False


def close_copies(url: str) -> None:
    """Close the server's sockets in a process just forked, which has copies of them. When the server is gone, who asks
    it from here would be connected to a copy, and wait for ever."""
    address = urlsplit(url)
    with suppress(OSError):
        for name in os.listdir("/dev/fd"):  # noqa: PTH208 - the names are the numbers
            with suppress(OSError):
                copy = socket.socket(fileno=int(name))
                try:
                    is_its = copy.getsockname()[:2] == (address.hostname, address.port)
                finally:
                    copy.detach()
                if is_its:
                    os.close(int(name))
