import stat
from collections.abc import Callable
from pathlib import Path

import grpc
import jwt
import pytest

from hitl.client.teaching import TeacherClient
from hitl.client.training import TrainingClient
from hitl.errors import ConfigError, Forbidden, StorageError, Unauthenticated
from hitl.events import Choice, Comparison
from hitl.tokens import Principal, load_or_create_secret, mint, verify
from hitl.v1 import teaching_pb2, training_pb2
from hitl.v1.teaching_pb2_grpc import TeachingServiceStub
from hitl.v1.training_pb2_grpc import TrainingServiceStub
from tests.hitl.live import LiveRun, LiveService

SECRET = b"a secret of more than thirty-two bytes"


def test_a_token_says_who_it_is() -> None:
    principal = verify(SECRET, mint(SECRET, name="ann", role="oracle", runs=["b", "a"]))
    assert principal == Principal("ann", "oracle", frozenset({"a", "b"}), principal.expire_seconds)
    assert principal.may_use("a")
    assert not principal.may_use("c")
    assert verify(SECRET, mint(SECRET, name="ann", role="teacher")).may_use("anything")


def _claims(**changes: object) -> dict[str, object]:
    return {"aud": "handrail", "sub": "ann", "role": "teacher", "exp": 2**33, **changes}


def _without(claim: str) -> dict[str, object]:
    return {name: value for name, value in _claims().items() if name != claim}


BAD_TOKENS: dict[str, Callable[[bytes], str]] = {
    "nonsense": lambda secret: "nonsense",
    "wrong secret": lambda secret: mint(SECRET, name="ann", role="teacher"),
    "expired": lambda secret: mint(secret, name="ann", role="teacher", lifetime=-10),
    "wrong audience": lambda secret: jwt.encode(_claims(aud="other"), secret, "HS256"),
    "no expiry": lambda secret: jwt.encode(_without("exp"), secret, "HS256"),
    "no subject": lambda secret: jwt.encode(_without("sub"), secret, "HS256"),
    "no role": lambda secret: jwt.encode(_without("role"), secret, "HS256"),
    "unknown role": lambda secret: jwt.encode(_claims(role="root"), secret, "HS256"),
    "runs no list": lambda secret: jwt.encode(_claims(runs="run"), secret, "HS256"),
    "alg none": lambda secret: jwt.encode(_claims(), None, "none"),
    "other alg": lambda secret: jwt.encode(_claims(), secret, "HS512"),
}


@pytest.mark.parametrize("name", BAD_TOKENS)
def test_a_bad_token_lets_nobody_in(service: LiveService, name: str) -> None:
    token = BAD_TOKENS[name](service.secret)
    with TeacherClient(service.address, token) as teacher, pytest.raises(Unauthenticated):
        teacher.runs()
    with TrainingClient(service.address, token) as cluster, pytest.raises(Unauthenticated):
        next(cluster.tail("run"))


@pytest.mark.parametrize(
    "metadata", [None, (("authorization", "Basic YTpi"),), (("authorization", "Bearer "),)]
)
def test_no_token_lets_nobody_in(service: LiveService, metadata: tuple[tuple[str, str], ...] | None) -> None:
    with grpc.insecure_channel(service.address) as channel, pytest.raises(grpc.RpcError) as refused:
        TeachingServiceStub(channel).ListRuns(teaching_pb2.ListRunsRequest(), metadata=metadata)
    assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED
    with grpc.insecure_channel(service.address) as channel, pytest.raises(grpc.RpcError) as refused:
        TrainingServiceStub(channel).OpenRun(training_pb2.OpenRunRequest(), metadata=metadata)
    assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED


def test_a_role_gives_its_own_rights_only(service: LiveService) -> None:
    for role in ("teacher", "oracle"):
        with TrainingClient(service.address, service.token(role)) as client:
            with pytest.raises(Forbidden, match="takes one of the role cluster"):
                client.open_run("run", "task")
            with pytest.raises(Forbidden):
                client.get_segments("run", ["low"])
            with pytest.raises(Forbidden):
                next(client.tail("run"))
    with TeacherClient(service.address, service.token("cluster")) as client, pytest.raises(Forbidden):
        client.lease("run")


def test_a_token_for_some_runs_is_good_for_no_other(service: LiveService, live_run: LiveRun) -> None:
    (question_id,) = live_run.ask()
    other = live_run.cluster.open_run("another run", "task")
    token = service.token("teacher", runs=[other.run_id])
    with TeacherClient(service.address, token) as teacher:
        assert [run.run_id for run in teacher.runs()] == [other.run_id]
        with pytest.raises(Forbidden, match="not good for run"):
            teacher.lease(live_run.run_id)
        with pytest.raises(Forbidden):
            teacher.release(live_run.run_id, [question_id])
        (result,) = teacher.submit(
            [Comparison(run_id=live_run.run_id, question_id=question_id, choice=Choice.TIE)]
        )
        assert isinstance(result, Forbidden)
    token = service.token("cluster", runs=[other.run_id])
    with TrainingClient(service.address, token) as cluster:
        assert cluster.get_run(other.run_id).run_id == other.run_id
        for call in (
            lambda: cluster.get_run(live_run.run_id),
            lambda: cluster.open_run(live_run.run_id, "task"),
            lambda: cluster.report_progress(live_run.run, live_run.run.progress),
            lambda: cluster.get_segments(live_run.run_id, ["low"]),
            lambda: next(cluster.tail(live_run.run_id)),
        ):
            with pytest.raises(Forbidden):
                call()
    assert live_run.cluster.get_run(live_run.run_id).epoch == 1


def test_a_secret_is_made_once_and_for_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "new" / "secret"
    secret = load_or_create_secret(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert len(secret) >= 32
    assert load_or_create_secret(path) == secret
    assert [file.name for file in path.parent.iterdir()] == ["secret"]


def test_a_secret_that_cannot_be_used_is_told_so(tmp_path: Path) -> None:
    (tmp_path / "short").write_text("short")
    with pytest.raises(StorageError, match="fewer than 32 bytes"):
        load_or_create_secret(tmp_path / "short")
    with pytest.raises(StorageError, match="choose a folder that can be written"):
        load_or_create_secret(tmp_path / "short" / "secret")


def test_a_token_needs_a_name_and_a_role() -> None:
    with pytest.raises(ConfigError, match="needs a printable name"):
        mint(SECRET, name=" ", role="teacher")
    assert verify(SECRET, mint(SECRET, name=300 * "n", role="teacher")).name == 300 * "n"
    with pytest.raises(ConfigError, match="at most 300 characters, not 301"):
        mint(SECRET, name=301 * "n", role="teacher")
    with pytest.raises(ConfigError, match="unknown role 'root'; use one of teacher, oracle, cluster"):
        mint(SECRET, name="ann", role="root")  # type: ignore[arg-type]
