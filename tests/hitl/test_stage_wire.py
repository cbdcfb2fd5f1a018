from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest

from hitl.errors import InvalidRequest
from hitl.stages import (
    Act,
    ActionSpace,
    Advance,
    Command,
    Control,
    Pause,
    Rate,
    Release,
    Reset,
    Resume,
    Stage,
    StageFrame,
    StageState,
    StageStep,
    Stop,
    Take,
)
from hitl.tensors import encode_tensor
from hitl.v1 import stages_pb2, types_pb2
from hitl.wire.stages import (
    decode_action_space,
    decode_command,
    decode_control,
    decode_frame,
    decode_stage,
    decode_state,
    encode_action_space,
    encode_command,
    encode_control,
    encode_frame,
    encode_stage,
    encode_state,
)


def _tensor(*shape: int) -> types_pb2.Tensor:
    return encode_tensor(np.zeros(shape))


BOX = ActionSpace(low=np.array([-1.0, 0.0], np.float32), high=np.array([1.0, 2.0], np.float32))
FRAME = StageFrame(
    frame=5,
    episode=3,
    show_seconds=1.5,
    observations={"obs": np.array([0.5], np.float32)},
    step=StageStep(
        action=np.array(1), policy_version=7, predicted_reward=0.25, teacher_id="ann", true_reward=-1.0
    ),
    image=b"picture",
    image_type="image/jpeg",
    paused=True,
    rate=15.0,
    asks_help=True,
)


@pytest.mark.parametrize(
    "space", [BOX, ActionSpace(choices=(4,), single=True), ActionSpace(choices=(2, 3))], ids=str
)
def test_an_action_space_comes_back_as_it_was(space: ActionSpace) -> None:
    back = decode_action_space(encode_action_space(space))
    assert str(back) == str(space)
    stage = Stage(
        run_id="run",
        stage_id="stage",
        frame=4,
        watchers=2,
        paused=True,
        rate=3.5,
        holder="ann",
        action_space=space,
        safe_stop=True,
    )
    assert str(decode_stage(encode_stage(stage))) == str(stage)


@pytest.mark.parametrize(
    "frame",
    [
        FRAME,
        replace(FRAME, step=None, episode=5),
        replace(FRAME, step=StageStep(action=np.array([0.5, 1.0]), policy_version=1)),
        replace(FRAME, step=StageStep(action=np.array(1), policy_version=1, terminated=True)),
        replace(FRAME, step=StageStep(action=np.array(1), policy_version=1, truncated=True)),
    ],
)
def test_a_frame_comes_back_as_it_was(frame: StageFrame) -> None:
    assert str(decode_frame(encode_frame(frame))) == str(frame)


@pytest.mark.parametrize(
    ("field", "spoil"),
    [
        ("frame.frame", lambda m: setattr(m, "frame", -1)),
        ("frame.episode", lambda m: setattr(m, "episode", 5)),
        ("frame.episode", lambda m: setattr(m, "episode", 6)),
        ("frame.episode", lambda m: m.ClearField("step")),
        ("frame.show_seconds", lambda m: setattr(m, "show_seconds", float("nan"))),
        ("frame.image", lambda m: setattr(m, "image", b"x" * (4 * 1024 * 1024 + 1))),
        ("frame.rate", lambda m: setattr(m, "rate", float("nan"))),
        ("frame.rate", lambda m: setattr(m, "rate", -1.0)),
        ("frame.step.action", lambda m: m.step.action.Clear()),
        ("frame.step.policy_version", lambda m: setattr(m.step, "policy_version", -1)),
        ("frame.step.teacher_id", lambda m: setattr(m.step, "teacher_id", "a\nb")),
        ("frame.step.true_reward", lambda m: setattr(m.step, "true_reward", float("inf"))),
    ],
)
def test_a_malformed_frame_is_refused_by_field(
    field: str, spoil: Callable[[stages_pb2.StageFrame], object]
) -> None:
    message = encode_frame(FRAME)
    spoil(message)
    with pytest.raises(InvalidRequest) as refused:
        decode_frame(message)
    assert str(refused.value).startswith(f"{field}: ")


@pytest.mark.parametrize(
    "state", [StageState(), StageState(paused=True, rate=2.5), StageState(safe_stop=True)]
)
def test_a_state_comes_back_as_it_was(state: StageState) -> None:
    assert decode_state(encode_state(state)) == state


@pytest.mark.parametrize("rate", [-1.0, float("nan"), float("inf")])
def test_a_malformed_state_is_refused_by_field(rate: float) -> None:
    with pytest.raises(InvalidRequest, match=r"^state\.rate: "):
        decode_state(stages_pb2.StageState(rate=rate))


@pytest.mark.parametrize(
    "control",
    [
        Take(),
        Take(timedelta(seconds=3)),
        Release(),
        Act(np.array([0.5, 1.0])),
        Act(np.array(1), timedelta(seconds=0.5)),
        Pause(),
        Resume(),
        Advance(),
        Reset(),
        Rate(2.5),
        Stop(),
    ],
    ids=str,
)
def test_a_control_comes_back_as_it_was(control: Control) -> None:
    assert str(decode_control(encode_control(control))) == str(control)
    command = Command("ann", control)
    assert str(decode_command(encode_command(command))) == str(command)


@pytest.mark.parametrize(
    ("field", "control"),
    [
        ("control", stages_pb2.StageControl()),
        ("control.rate", stages_pb2.StageControl(rate=stages_pb2.StageRate(rate=0))),
        ("control.rate", stages_pb2.StageControl(rate=stages_pb2.StageRate(rate=1001))),
        ("control.act.action", stages_pb2.StageControl(act=stages_pb2.StageAct())),
        (
            "control.take.lease",
            stages_pb2.StageControl(take=stages_pb2.StageTake(lease=timedelta(seconds=-1))),
        ),
    ],
)
def test_a_malformed_control_is_refused_by_field(field: str, control: stages_pb2.StageControl) -> None:
    with pytest.raises(InvalidRequest) as refused:
        decode_control(control)
    assert str(refused.value).startswith(f"{field}: ")


@pytest.mark.parametrize(
    "space",
    [
        types_pb2.ActionSpace(),
        types_pb2.ActionSpace(discrete=0),
        types_pb2.ActionSpace(multi_discrete=types_pb2.MultiDiscreteSpace(choices=[2, 0])),
        types_pb2.ActionSpace(box=types_pb2.BoxSpace(low=_tensor(1), high=_tensor(2))),
    ],
    ids=str,
)
def test_a_malformed_action_space_is_refused(space: types_pb2.ActionSpace) -> None:
    with pytest.raises(InvalidRequest, match="action_space"):
        decode_action_space(space)
