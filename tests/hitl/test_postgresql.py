"""What only PostgreSQL can do to us: a server, a driver, settings, and connections that end."""

import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Connection, event, text

from hitl.errors import StorageError, Unavailable
from hitl.events import Choice, Receipt, Signal, Task
from hitl.storage import engine, runs
from hitl.storage.engine import open_engines
from hitl.storage.storage import Storage
from tests.cutting import CuttingProxy
from tests.hitl.live import LiveRun, LiveService
from tests.hitl.loaded import answer_while
from tests.hitl.playing import Play, seen
from tests.hitl.test_journal import entries_of
from tests.hitl.test_storage import add_task, task_ids
from tests.postgresql import PostgresServer, name_of


@pytest.fixture(scope="module")
def database_kind() -> str:
    return "postgresql"


@pytest.fixture
def url(database: str | None) -> str:
    assert database is not None
    return database


@pytest.fixture
def storage(tmp_path: Path, url: str) -> Iterator[Storage]:
    opened = Storage(tmp_path, database=url)
    yield opened
    opened.close()


def settings(connection: Connection, *names: str) -> list[str]:
    return [connection.execute(text(f"show {name}")).scalar_one() for name in names]


def end_connections(postgres: PostgresServer, url: str) -> int:
    """End all connections to a database, as its administrator may; return how many there were."""
    ended = postgres.query(
        f"select pg_terminate_backend(pid) from pg_stat_activity where datname = '{name_of(url)}'"
    )
    return len(ended)


@pytest.mark.parametrize("scheme", ["postgresql", "postgres", "postgresql+psycopg"])
def test_a_url_need_not_name_the_driver(url: str, scheme: str) -> None:
    writer, reader = open_engines(url.replace("postgresql", scheme))
    assert (writer.dialect.driver, reader.dialect.driver) == ("psycopg", "psycopg")
    writer.dispose()
    reader.dispose()


def test_a_missing_driver_is_told_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(StorageError, match=r"pip install 'handrail\[postgresql\]'"):
        Storage(tmp_path, database="postgresql://127.0.0.1/name")


def test_a_server_that_refuses_is_told_without_the_password(tmp_path: Path, url: str) -> None:
    start, _, end = url.partition("@")
    hidden = start.replace(start.rpartition(":")[2], "wrongword")
    for wrong in (f"{hidden}@{end}", f"postgresql://handrail@{end}?password=wrongword"):
        with pytest.raises(
            StorageError, match=r"(?s)password authentication failed.*another database URL"
        ) as told:
            Storage(tmp_path, database=wrong)
        assert "wrongword" not in str(told.value)


@pytest.mark.parametrize("encoding", ["LATIN1", "SQL_ASCII"])
def test_a_database_that_cannot_hold_every_name_is_refused(
    postgres: PostgresServer, tmp_path: Path, encoding: str
) -> None:
    url = postgres.create(f"TEMPLATE template0 ENCODING '{encoding}' LOCALE_PROVIDER libc LOCALE 'C'")
    with pytest.raises(StorageError, match=f"its encoding is {encoding}; create it with ENCODING 'UTF8'"):
        Storage(tmp_path, database=url)
    postgres.drop(url)


def test_no_setting_of_a_database_weakens_what_is_promised(
    postgres: PostgresServer, tmp_path: Path, url: str
) -> None:
    postgres.query(f"ALTER DATABASE {name_of(url)} SET default_transaction_isolation = 'serializable'")
    storage = Storage(tmp_path, database=url)
    names = ("transaction_isolation", "synchronous_commit")
    assert storage.write(settings, *names).result() == ["read committed", "on"]
    assert storage.read(settings, names[0], "transaction_read_only").result() == ["repeatable read", "on"]
    storage.close()
    postgres.query(f"ALTER DATABASE {name_of(url)} SET synchronous_commit = 'remote_apply'")
    storage = Storage(tmp_path, database=url)
    assert storage.write(settings, names[1]).result() == ["remote_apply"], "more than enough is left alone"
    storage.close()


def test_what_the_url_says_of_the_connection_comes_first(url: str) -> None:
    writer, reader = open_engines(f"{url}?connect_timeout=7&application_name=mine")
    with reader.connect() as connection:
        said = connection.connection.dbapi_connection.info.get_parameters()  # type: ignore[union-attr]
    assert (said["connect_timeout"], said["application_name"], said["keepalives_idle"]) == ("7", "mine", "30")
    writer.dispose()
    reader.dispose()


def test_a_server_that_crashes_keeps_what_was_acknowledged(
    postgres: PostgresServer, storage: Storage
) -> None:
    storage.write(add_task, "a").result()
    postgres.stop(signal.SIGQUIT)
    with pytest.raises(StorageError, match="cannot be written"):
        storage.write(add_task, "b").result()
    with pytest.raises(StorageError, match="cannot be read"):
        storage.read(task_ids).result()
    postgres.start()
    assert storage.read(task_ids).result() == ["a"]
    assert storage.write(add_task, "b").result() == "b"


def test_connections_that_were_ended_meanwhile_are_made_anew(
    postgres: PostgresServer, storage: Storage, url: str
) -> None:
    for name in ("a", "b"):
        storage.write(add_task, name).result()
        storage.read(task_ids).result()
        assert end_connections(postgres, url) >= 2
    assert storage.write(add_task, "c").result() == "c"
    assert storage.read(task_ids).result() == ["a", "b", "c"]


def test_what_was_cut_off_before_its_commit_is_not_acknowledged(
    postgres: PostgresServer, storage: Storage, url: str
) -> None:
    event.listen(storage._write_engine, "commit", lambda _: end_connections(postgres, url), once=True)
    cut_off = storage.write(add_task, "a")
    assert isinstance(cut_off.exception(), StorageError)
    assert storage.read(task_ids).result() == []
    assert storage.write(add_task, "a").result() == "a"


@pytest.fixture
def proxy(postgres: PostgresServer) -> Iterator[CuttingProxy]:
    opened = CuttingProxy(postgres.port)
    yield opened
    opened.close()


@pytest.fixture
def far_service(
    postgres: PostgresServer, proxy: CuttingProxy, tmp_path: Path, url: str
) -> Iterator[LiveService]:
    """A service whose connections to its database can be cut."""
    live = LiveService(tmp_path / "folder", url.replace(str(postgres.port), str(proxy.port)))
    yield live
    live.kill()


@pytest.fixture
def far_run(far_service: LiveService) -> Iterator[LiveRun]:
    with far_service.open_run() as run:
        yield run


def test_an_answer_whose_receipt_was_cut_off_has_it_on_the_repeat(
    proxy: CuttingProxy, far_service: LiveService, far_run: LiveRun
) -> None:
    with far_service.teacher() as ann:
        for offset, question_id in enumerate(far_run.ask(3)):
            proxy.cut_next_commit()
            assert ann.compare("run", question_id, Choice.FIRST).offset == offset
            assert proxy.cuts == offset + 1
    entries_of(far_run.cluster, "run", 3)


def test_steps_whose_receipt_was_cut_off_are_stored_with_those_behind_them(
    proxy: CuttingProxy, far_service: LiveService, far_run: LiveRun
) -> None:
    play = Play.open(far_run)
    play.step(4)
    seen(far_service, far_run, play.newest)
    with far_service.teacher(patience_seconds=0) as ann:
        proxy.cut_next_commit()
        with pytest.raises(Unavailable):
            ann.submit([Signal(run_id="run", stage_id="stage", frame=play.newest, value=1.0)])
        assert proxy.cuts == 1
        play.step(6)
        seen(far_service, far_run, play.newest)
        (receipt,) = ann.submit([Signal(run_id="run", stage_id="stage", frame=play.newest, value=1.0)])
        assert isinstance(receipt, Receipt)
    play.player.close()
    *_, last = entries_of(far_run.cluster, "run", far_run.cluster.get_run("run").journal_end)
    shown = [segment.showing for segment in far_run.cluster.get_segments("run", last.segment_ids)]
    frames = [frame for one in shown if one for frame in range(one.first_frame, one.end_frame)]
    assert frames == list(range(1, 11))


def test_who_writes_waits_for_others_and_not_for_ever(
    postgres: PostgresServer, tmp_path: Path, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "_BUSY_MILLISECONDS", 200)
    storage, other = Storage(tmp_path, database=url), Storage(tmp_path, database=url)
    held, release = threading.Event(), threading.Event()

    def hold(connection: Connection) -> None:
        held.set()
        release.wait(20)

    holding = other.write(hold)
    assert held.wait(20)
    with pytest.raises(StorageError, match="lock timeout"):
        storage.write(add_task, "a").result()
    assert storage.read(task_ids).result() == [], "who reads waits for nobody"
    release.set()
    holding.result()
    assert storage.write(add_task, "a").result() == "a"
    storage.close()
    other.close()


def test_a_writer_that_falls_silent_is_let_go(
    tmp_path: Path, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "_SILENT_WRITER_MILLISECONDS", 200)
    silent = Storage(tmp_path, database=url)
    monkeypatch.undo()
    other, held, release = Storage(tmp_path, database=url), threading.Event(), threading.Event()

    def fall_silent(connection: Connection) -> None:
        add_task(connection, "a")
        held.set()
        release.wait(20)
        add_task(connection, "b")

    falling = silent.write(fall_silent)
    assert held.wait(20)
    assert other.write(add_task, "c").result() == "c"
    release.set()
    assert isinstance(falling.exception(), StorageError)
    assert silent.write(add_task, "d").result() == "d"
    assert silent.read(task_ids).result() == ["c", "d"]
    silent.close()
    other.close()


def test_an_empty_or_older_database_may_be_opened_by_many_at_once(
    postgres: PostgresServer, tmp_path: Path, url: str
) -> None:
    opened: list[Storage | Exception] = []

    def open_it(together: threading.Barrier) -> None:
        together.wait()
        try:
            opened.append(Storage(tmp_path, database=url))
        except StorageError as error:
            opened.append(error)

    for _ in ("empty", "older"):
        barrier = threading.Barrier(6)
        threads = [threading.Thread(target=open_it, args=(barrier,)) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        storages = [one for one in opened if isinstance(one, Storage)]
        for storage in storages:
            storage.close()
        assert len(storages) == 6, opened
        opened.clear()
        postgres.query("ALTER TABLE questions DROP COLUMN IF EXISTS lot", name_of(url))


def test_a_database_server_that_crashes_under_load_loses_and_doubles_nothing(
    postgres: PostgresServer, own_service: LiveService, own_run: LiveRun
) -> None:
    def crash() -> None:
        postgres.stop(signal.SIGQUIT)
        postgres.start()

    answer_while(own_run, [own_service], crash)


def test_one_state_is_read_while_others_write(storage: Storage) -> None:
    task = Task(task_id="task", name="Task-v0", fingerprint="{}")
    storage.write(runs.register_task, task).result()
    storage.write(runs.open_run, "run", "task").result()
    began, written = threading.Event(), threading.Event()

    def epochs(connection: Connection) -> list[int]:
        first = runs.get_run(connection, "run").epoch
        began.set()
        assert written.wait(20)
        return [first, runs.get_run(connection, "run").epoch]

    reading = storage.read(epochs)
    assert began.wait(20)
    storage.write(runs.open_run, "run", "task").result()
    written.set()
    assert reading.result() == [1, 1]
