"""A live teacher as a process: watch a stage, think, press keys, until told to stop."""

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import get_args

from hitl.client.teaching import TeacherClient
from hitl.errors import ConfigError, NotFound
from hitl.stages import ActionSpace, Control
from hitl.teachers.interventions import Corrections, Intervention, Signals
from hitl.teachers.judging import Expert, ExpertJudge, Judge
from hitl.teachers.live import LiveSettings, LiveTeacher, Mode
from hitl.teachers.onlooker import Onlooker
from hitl.teachers.process import run_until_stopped, wait_until
from hitl.teachers.takeover import Takeover

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class InterventionSettings:
    """What a simulated live teacher does about what it sees."""

    mode: Mode = "signals"
    tolerance: float = 0.1
    """Share of its range by which a number may differ from the expert's; see `ExpertJudge`."""
    takeover_patience_steps: int = 5
    """Steps on end that the policy is wrong before the controls are taken."""
    takeover_steps: int = 30
    """For which they are held."""

    def __post_init__(self) -> None:
        if self.mode not in get_args(Mode):
            raise ConfigError(f"mode is {self.mode!r}; it must be one of {', '.join(get_args(Mode))}")
        if self.tolerance < 0.0:
            raise ConfigError(f"tolerance is {self.tolerance}, below 0")
        for name in ("takeover_patience_steps", "takeover_steps"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} is {getattr(self, name)}; it must be at least 1")


def run_live_teacher(
    address: str,
    token: str,
    run_id: str,
    stage_id: str,
    settings: LiveSettings,
    mind: Judge | Expert,
    intervention: InterventionSettings | None = None,
    *,
    stop: threading.Event | None = None,
    patience_seconds: float = 60.0,
    wait_for_run_seconds: float = 120.0,
    wait_for_stage_seconds: float = 120.0,
) -> int:
    """Be a simulated live teacher until SIGTERM, SIGINT or `stop`.

    Args:
        address: host:port of the service.
        token: of the role teacher.
        run_id: the run to teach; it may be opened later.
        stage_id: the stage to watch; it may be opened later, and be away for a while.
        settings: how the teacher reacts. They delay corrections and the taking of the controls too.
        mind: what the teacher thinks. Signals need a `Judge` or an `Expert`, everything else an `Expert`.
        intervention: what the teacher does; signals unless given.
        stop: ends the loop, from another thread.
        patience_seconds: how long to look for a service that does not answer.
        wait_for_run_seconds: how long to wait for the run to be opened.
        wait_for_stage_seconds: how long to wait for the stage.

    Returns:
        The exit code, 0.

    Raises:
        ConfigError: the mind does not fit what the teacher does, or says what cannot be.
        RequestError: the service refused, or could not be reached for `patience_seconds`; or there is no such stage.
    """
    intervention = intervention or InterventionSettings()
    if not isinstance(mind, Expert) and intervention.mode != "signals":
        raise ConfigError(
            f"mode {intervention.mode} needs to know what to do, but {type(mind).__name__} has only opinions; "
            "give it a method act(observation) -> action"
        )

    def teach(client: TeacherClient, told: threading.Event) -> None:
        control = partial(client.control, run_id, stage_id)
        onlooker: Onlooker | None = None
        while (space := _wait_for_stage(client, run_id, stage_id, told, wait_for_stage_seconds)) is not None:
            onlooker = onlooker or Onlooker(_intervention(intervention, settings, mind, space, control))
            try:
                with client.watch(run_id, stage_id, images=False, steps=True) as watch:
                    onlooker.look(watch, told)
            except NotFound as error:
                _log.info("the stage is away: %s", error)
        if onlooker is not None:
            _log.info("%d times something was done, %d times refused", onlooker.done, onlooker.refused)

    return run_until_stopped(
        address,
        token,
        run_id,
        teach,
        stop=stop,
        patience_seconds=patience_seconds,
        wait_for_run_seconds=wait_for_run_seconds,
    )


def _wait_for_stage(
    client: TeacherClient, run_id: str, stage_id: str, stop: threading.Event, seconds: float
) -> ActionSpace | None:
    """Return the action space of a stage once it is played; None once `stop` is set."""
    found: list[ActionSpace] = []

    def is_played() -> bool:
        found[:] = [stage.action_space for stage in client.stages(run_id) if stage.stage_id == stage_id]
        return bool(found)

    if not wait_until(is_played, stop, seconds):
        raise NotFound(f"run {run_id} has played no stage {stage_id} for {seconds:.0f} s")
    return found[0] if found and not stop.is_set() else None


def _intervention(
    settings: InterventionSettings,
    reactions: LiveSettings,
    mind: Judge | Expert,
    space: ActionSpace,
    control: Callable[[Control], object],
) -> Intervention:
    teacher = LiveTeacher(reactions)
    if settings.mode == "signals" and isinstance(mind, Judge):
        return Signals(teacher, mind)
    assert isinstance(mind, Expert)
    judge = ExpertJudge(mind, space, tolerance=settings.tolerance)
    if settings.mode == "signals":
        return Signals(teacher, judge)
    if settings.mode == "corrections":
        return Corrections(teacher, judge)
    return Takeover(
        teacher,
        judge,
        control,
        patience_steps=settings.takeover_patience_steps,
        steps=settings.takeover_steps,
        when_asked=settings.mode == "help",
    )
