"""A stage whose frames are made by hand: frame n is shown at n tenths of a second, and its state is [n]."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from hitl.client.playing import StagePlayer
from hitl.client.training import TrainingClient
from hitl.errors import NotFound
from hitl.stages import ActionSpace, Command, StageFrame, StageStep
from tests.hitl.live import LiveRun, LiveService, eventually

FOUR_ACTIONS = ActionSpace(choices=(4,), single=True)


@dataclass(slots=True)
class Play:
    """A stage in the middle of an episode."""

    player: StagePlayer
    frame: int
    episode: int
    choices: int = 4
    teacher_id: str = ""
    safe_stop: bool = False
    policy_version: int = 1
    terminated: bool = False
    image: bytes = b""
    shown: list[StageFrame] = field(default_factory=list)

    @classmethod
    def open(
        cls, run: LiveRun, stage_id: str = "stage", *, client: TrainingClient | None = None, **options: Any
    ) -> "Play":
        space = options.pop("action_space", FOUR_ACTIONS)
        player = (client or run.cluster).play_stage(run.run, stage_id, space)
        play = cls(player, player.first_frame, player.first_frame)
        play.reset()
        return play

    def reset(self) -> None:
        """Begin an episode."""
        self.episode = self.frame
        self._show(None)

    def step(self, count: int = 1) -> None:
        for _ in range(count):
            self._show(
                StageStep(
                    action=np.array(self.frame % self.choices),
                    policy_version=self.policy_version,
                    teacher_id=self.teacher_id,
                    safe_stop=self.safe_stop,
                    true_reward=float(self.frame),
                    terminated=self.terminated,
                )
            )

    def _show(self, step: StageStep | None) -> None:
        frame = StageFrame(
            frame=self.frame,
            episode=self.episode,
            show_seconds=self.frame / 10,
            observations={"obs": np.array([self.frame], np.float32)},
            step=step,
            image=self.image or b"picture %d" % self.frame,
            image_type="image/webp",
            rate=10.0,
        )
        self.player.show(frame)
        self.shown.append(frame)
        self.frame += 1

    @property
    def newest(self) -> int:
        return self.frame - 1

    def next_commands(self, count: int = 1) -> list[Command]:
        commands: list[Command] = []

        def enough() -> bool:
            commands.extend(self.player.commands())
            return len(commands) >= count

        eventually(enough)
        return commands


def seen(service: LiveService, run: LiveRun, frame: int) -> None:
    """Wait until a teacher sees this frame of the stage: frames take a while to the service."""
    with service.teacher("looker") as looker, looker.watch(run.run_id, "stage", images=False) as watch:
        while (watched := watch.next(20)) is not None:
            if watched.shown.frame >= frame:
                return
        pytest.fail(f"frame {frame} did not come")


def stored_lengths(run: LiveRun, ids: list[str]) -> list[int]:
    """Return the lengths of these segments; none where one is not stored yet."""
    try:
        return [len(segment) for segment in run.cluster.get_segments(run.run_id, ids)]
    except NotFound:
        return []
