"""A real PostgreSQL server on a free port of 127.0.0.1, with its data in a temporary folder."""

import itertools
import os
import pwd
import re
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg

START_SECONDS = 60.0
OLDEST = 15
HOW_TO_INSTALL = (
    f"no server of PostgreSQL {OLDEST} or newer on this machine: `make tools` or "
    "`apt-get install postgresql` installs it"
)


def find_binaries() -> Path | None:
    """The folder with the newest server's programs: Debian keeps them off the path."""
    folders = list(Path("/usr/lib/postgresql").glob("*/bin"))
    if found := shutil.which("initdb"):
        folders.append(Path(found).resolve().parent)
    known = [(_version(folder), folder) for folder in folders if (folder / "postgres").is_file()]
    return max((one for one in known if one[0] >= OLDEST), default=(0, None))[1]


def _version(folder: Path) -> int:
    said = subprocess.run([folder / "postgres", "--version"], capture_output=True, text=True, check=False)
    number = re.search(r"(\d+)", said.stdout)
    return int(number[1]) if number else 0


class PostgresServer:
    """A server that can be stopped, killed and started again on the same port and folder.

    It is set as badly as a server may be: it sorts as English does, and acknowledges before anything is on its disk.
    """

    def __init__(self, binaries: Path) -> None:
        self._binaries = binaries
        self.password = secrets.token_hex(8)
        self._names = (f"test_{number}" for number in itertools.count())
        self._process: subprocess.Popen[bytes] | None = None
        # Not pytest's: its folders are closed to the user that the server runs as.
        self._folder = Path(tempfile.mkdtemp(prefix="handrail-postgresql-"))
        # PostgreSQL refuses to run as root.
        self._user: dict[str, Any] = {}
        if os.geteuid() == 0:
            user = _unprivileged_user()
            os.chown(self._folder, user.pw_uid, user.pw_gid)
            self._user = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
        try:
            self._create()
            with socket.create_server(("127.0.0.1", 0)) as free:
                self.port: int = free.getsockname()[1]
            self.start()
        except BaseException:
            self.close()
            raise

    def _create(self) -> None:
        (self._folder / "password").write_text(self.password)
        options = ["--username=handrail", f"--pwfile={self._folder / 'password'}", "--auth=scram-sha-256"]
        language = ["--encoding=UTF8", "--locale=C", "--locale-provider=icu", "--icu-locale=en"]
        command = [self._binaries / "initdb", f"--pgdata={self._folder / 'data'}", "--no-sync"]
        made = subprocess.run(
            [*command, *options, *language],
            capture_output=True,
            text=True,
            check=False,
            cwd=self._folder,
            **self._user,
        )
        assert made.returncode == 0, made.stderr

    def start(self) -> None:
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": self.port,
            "unix_socket_directories": "",
            "fsync": "off",
            "synchronous_commit": "off",
            "wal_writer_delay": "10s",
        }
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [
                    *(self._binaries / "postgres", "-D", self._folder / "data"),
                    *(word for key, value in settings.items() for word in ("-c", f"{key}={value}")),
                ],
                stdout=log,
                stderr=log,
                cwd=self._folder,
                **self._user,
            )
        end = time.monotonic() + START_SECONDS
        while not self._answers():
            assert self._process.poll() is None, (self._folder / "log").read_text()
            assert time.monotonic() < end, "the server did not start"
            time.sleep(0.02)

    def _answers(self) -> bool:
        try:
            self.connect().close()
        except psycopg.OperationalError:
            return False
        return True

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """End it; SIGINT is an orderly end that waits for nobody, SIGQUIT is as if it had crashed."""
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(timeout=START_SECONDS)
            self._process = None

    def close(self) -> None:
        """End it, and remove its folder."""
        self.stop()
        shutil.rmtree(self._folder)

    def _go_on(self) -> None:
        """Start again after a test that has failed while the server was stopped; tell of one that ended by itself."""
        if self._process is None:
            self.start()
        elif self._process.poll() is not None:
            self._process = None
            raise AssertionError(f"the server ended by itself: {(self._folder / 'log').read_text()[-2000:]}")

    def connect(self, database: str = "postgres") -> psycopg.Connection[tuple[Any, ...]]:
        """Connect as a program that is not Handrail."""
        return psycopg.connect(
            host="127.0.0.1",
            port=self.port,
            user="handrail",
            password=self.password,
            dbname=database,
            autocommit=True,
        )

    def query(self, statement: str, database: str = "postgres") -> list[tuple[Any, ...]]:
        """Run a statement; return its rows."""
        with closing(self.connect(database)) as connection:
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    def create(self, options: str = "") -> str:
        """Create an empty database; return its URL."""
        self._go_on()
        name = next(self._names)
        self.query(f"CREATE DATABASE {name} {options}")
        return f"postgresql://handrail:{self.password}@127.0.0.1:{self.port}/{name}"

    def drop(self, url: str) -> None:
        """Remove a database, whoever is still connected to it."""
        self._go_on()
        self.query(f"DROP DATABASE {name_of(url)} WITH (FORCE)")


def name_of(url: str) -> str:
    """The name of the database at a URL."""
    return url.rpartition("/")[2]


def _unprivileged_user() -> pwd.struct_passwd:
    try:
        return pwd.getpwnam("postgres")
    except KeyError:
        return pwd.getpwnam("nobody")
