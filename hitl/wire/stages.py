"""Stages to messages and back."""

import math

import numpy as np

from hitl.errors import InvalidRequest
from hitl.fields import check_count, check_id, decode_duration, encode_duration
from hitl.stages import (
    MAX_CLIP_BYTES,
    Act,
    ActionSpace,
    Advance,
    Clip,
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
from hitl.tensors import decode_tensor, decode_tensors, encode_tensor, encode_tensors
from hitl.v1 import stages_pb2, training_pb2, types_pb2

MIN_RATE, MAX_RATE = 0.1, 1000.0
"""Steps a second."""
MAX_IMAGE_BYTES = 4 * 1024 * 1024
"""Of a frame."""
_CLIP_TYPES = ("image/webp",)

_PLAIN: dict[str, type[Release | Pause | Resume | Advance | Reset | Stop]] = {
    "release": Release,
    "pause": Pause,
    "resume": Resume,
    "advance": Advance,
    "reset": Reset,
    "stop": Stop,
}
_PLAIN_NAMES = {control: name for name, control in _PLAIN.items()}


def encode_action_space(space: ActionSpace) -> types_pb2.ActionSpace:
    """Put an action space into a message."""
    if space.low is not None and space.high is not None:
        box = types_pb2.BoxSpace(low=encode_tensor(space.low), high=encode_tensor(space.high))
        return types_pb2.ActionSpace(box=box)
    if space.single:
        return types_pb2.ActionSpace(discrete=space.choices[0])
    return types_pb2.ActionSpace(multi_discrete=types_pb2.MultiDiscreteSpace(choices=space.choices))


def decode_action_space(message: types_pb2.ActionSpace, what: str = "action_space") -> ActionSpace:
    """Read an action space."""
    kind = message.WhichOneof("kind")
    if kind == "box":
        low = decode_tensor(message.box.low, what=f"{what}.box.low")
        high = decode_tensor(message.box.high, what=f"{what}.box.high")
        if low.shape != high.shape or not all(
            np.issubdtype(bound.dtype, np.floating) for bound in (low, high)
        ):
            raise InvalidRequest(f"{what}.box: low and high are not floats of one shape")
        return ActionSpace(low=low, high=high)
    choices = (message.discrete,) if kind == "discrete" else tuple(message.multi_discrete.choices)
    if not choices or min(choices) < 1:
        raise InvalidRequest(f"{what}: no kind of space with at least one option on each axis")
    return ActionSpace(choices=choices, single=kind == "discrete")


def encode_clip(clip: Clip) -> stages_pb2.Clip:
    """Put a clip into a message."""
    return stages_pb2.Clip(data=clip.data, type=clip.media_type)


def decode_clip(message: stages_pb2.Clip, what: str = "clip") -> Clip:
    """Read a clip of bounded size."""
    if not 0 < len(message.data) <= MAX_CLIP_BYTES:
        raise InvalidRequest(
            f"{what}.data: {len(message.data)} bytes; a clip has 1 to {MAX_CLIP_BYTES}, so show fewer steps "
            "or smaller pictures"
        )
    if message.type not in _CLIP_TYPES:
        raise InvalidRequest(f"{what}.type: {message.type[:40]!r} is not one of {', '.join(_CLIP_TYPES)}")
    return Clip(data=message.data, media_type=message.type)


def encode_frame(frame: StageFrame) -> stages_pb2.StageFrame:
    """Put a frame into a message."""
    message = stages_pb2.StageFrame(
        frame=frame.frame,
        episode=frame.episode,
        show_seconds=frame.show_seconds,
        observations=encode_tensors(frame.observations),
        image=frame.image,
        image_type=frame.image_type,
        paused=frame.paused,
        rate=frame.rate,
        asks_help=frame.asks_help,
    )
    if frame.step is not None:
        message.step.CopyFrom(
            stages_pb2.StageStep(
                action=encode_tensor(frame.step.action),
                policy_version=frame.step.policy_version,
                predicted_reward=frame.step.predicted_reward,
                reward_version=frame.step.reward_version,
                journal_end=frame.step.journal_end,
                safe_stop=frame.step.safe_stop,
                teacher_id=frame.step.teacher_id,
                true_reward=frame.step.true_reward,
                terminated=frame.step.terminated,
                truncated=frame.step.truncated,
            )
        )
    return message


def decode_frame(message: stages_pb2.StageFrame, what: str = "frame") -> StageFrame:
    """Read a frame."""
    frame = check_count(message.frame, f"{what}.frame")
    episode = check_count(message.episode, f"{what}.episode")
    if message.HasField("step") != (episode < frame):
        raise InvalidRequest(
            f"{what}.episode: {episode} does not fit frame {frame}; an episode has the number of the frame that "
            "begins it, the only one without a step"
        )
    if not math.isfinite(message.show_seconds):
        raise InvalidRequest(f"{what}.show_seconds: {message.show_seconds} is not finite")
    check_image(message.image, f"{what}.image")
    return StageFrame(
        frame=frame,
        episode=episode,
        show_seconds=message.show_seconds,
        observations=decode_tensors(message.observations, what=f"{what}.observations"),
        step=_decode_step(message.step, f"{what}.step") if message.HasField("step") else None,
        image=message.image,
        image_type=message.image_type,
        paused=message.paused,
        rate=_check_pace(message.rate, f"{what}.rate"),
        asks_help=message.asks_help,
    )


def check_image(image: bytes, what: str) -> None:
    """Check the picture of a frame.

    Raises:
        InvalidRequest: it is too big.
    """
    if len(image) > MAX_IMAGE_BYTES:
        raise InvalidRequest(f"{what}: {len(image)} bytes; send at most {MAX_IMAGE_BYTES}")


def _decode_step(message: stages_pb2.StageStep, what: str) -> StageStep:
    true_reward = message.true_reward if message.HasField("true_reward") else None
    predicted_reward = message.predicted_reward if message.HasField("predicted_reward") else None
    for name, reward in (("true_reward", true_reward), ("predicted_reward", predicted_reward)):
        if reward is not None and not math.isfinite(reward):
            raise InvalidRequest(f"{what}.{name}: {reward} is not finite")
    return StageStep(
        action=decode_tensor(message.action, what=f"{what}.action"),
        policy_version=check_count(message.policy_version, f"{what}.policy_version"),
        predicted_reward=predicted_reward,
        reward_version=check_count(message.reward_version, f"{what}.reward_version"),
        journal_end=check_count(message.journal_end, f"{what}.journal_end"),
        safe_stop=message.safe_stop,
        teacher_id=check_id(message.teacher_id, f"{what}.teacher_id") if message.teacher_id else "",
        true_reward=true_reward,
        terminated=message.terminated,
        truncated=message.truncated,
    )


def encode_control(control: Control) -> stages_pb2.StageControl:
    """Put what a teacher does with the controls into a message."""
    message = stages_pb2.StageControl()
    if isinstance(control, Take):
        message.take.SetInParent()
        if control.lease is not None:
            message.take.lease.CopyFrom(encode_duration(control.lease))
    elif isinstance(control, Act):
        message.act.action.CopyFrom(encode_tensor(np.asarray(control.action)))
        if control.hold is not None:
            message.act.hold.CopyFrom(encode_duration(control.hold))
    elif isinstance(control, Rate):
        message.rate.rate = control.rate
    else:
        getattr(message, _PLAIN_NAMES[type(control)]).SetInParent()
    return message


def decode_control(message: stages_pb2.StageControl, what: str = "control") -> Control:
    """Read what a teacher does with the controls."""
    kind = message.WhichOneof("control")
    if kind is None:
        raise InvalidRequest(f"{what}: unset, or newer than this program")
    if kind == "take":
        has_lease = message.take.HasField("lease")
        return Take(decode_duration(message.take.lease, f"{what}.take.lease") if has_lease else None)
    if kind == "act":
        action = decode_tensor(message.act.action, what=f"{what}.act.action")
        has_hold = message.act.HasField("hold")
        return Act(action, decode_duration(message.act.hold, f"{what}.act.hold") if has_hold else None)
    if kind == "rate":
        rate = message.rate.rate
        if not MIN_RATE <= rate <= MAX_RATE:
            raise InvalidRequest(
                f"{what}.rate: {rate} is not from {MIN_RATE} to {MAX_RATE:.0f} steps a second"
            )
        return Rate(rate)
    return _PLAIN[kind]()


def encode_command(command: Command) -> training_pb2.StageCommand:
    """Put a command into a message."""
    return training_pb2.StageCommand(teacher_id=command.teacher_id, control=encode_control(command.control))


def decode_command(message: training_pb2.StageCommand) -> Command:
    """Read a command."""
    return Command(message.teacher_id, decode_control(message.control))


def encode_state(state: StageState) -> stages_pb2.StageState:
    """Put what teachers have made of a stage into a message."""
    return stages_pb2.StageState(paused=state.paused, rate=state.rate, safe_stop=state.safe_stop)


def decode_state(message: stages_pb2.StageState, what: str = "state") -> StageState:
    """Read what teachers have made of a stage."""
    rate = _check_pace(message.rate, f"{what}.rate")
    return StageState(paused=message.paused, rate=rate, safe_stop=message.safe_stop)


def _check_pace(rate: float, what: str) -> float:
    if not 0 <= rate < math.inf:
        raise InvalidRequest(f"{what}: {rate} is no number of steps a second")
    return rate


def encode_stage(stage: Stage) -> stages_pb2.Stage:
    """Put a stage as it stands into a message."""
    return stages_pb2.Stage(
        run_id=stage.run_id,
        stage_id=stage.stage_id,
        frame=stage.frame,
        watchers=stage.watchers,
        paused=stage.paused,
        rate=stage.rate,
        holder=stage.holder,
        action_space=encode_action_space(stage.action_space),
        safe_stop=stage.safe_stop,
    )


def decode_stage(message: stages_pb2.Stage) -> Stage:
    """Read a stage as it stands."""
    return Stage(
        run_id=message.run_id,
        stage_id=message.stage_id,
        frame=message.frame,
        watchers=message.watchers,
        paused=message.paused,
        rate=message.rate,
        holder=message.holder,
        action_space=decode_action_space(message.action_space),
        safe_stop=message.safe_stop,
    )
