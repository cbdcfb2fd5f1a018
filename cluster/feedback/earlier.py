"""What people said or did before a run, or beside it: recorded in files, and in runs that it reads from."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np

from cluster.demonstrations.shown_segments import SETTING, shown_segments
from cluster.feedback.journal_follower import JournalFollower, Read
from cluster.recorded.recording import Recording
from cluster.runs.config import RunConfig
from cluster.runs.reward.config import RewardConfig
from hitl.errors import ConfigError, InvalidRequest
from hitl.events import Segment, Task
from hitl.reward.evidence.demonstrations import Demonstrations
from hitl.reward.online import FitReport, OnlineRewardModel
from hitl.spaces import action_space_of
from policies.spaces import flat_dtype, flat_size

_SHOWN = "demonstrations"
"""Who showed what stands in no journal."""

Spaces = tuple[gym.Space[Any], gym.Space[Any]]
"""Of observations and actions."""


def read_recorded(folders: Sequence[str], task: Task, spaces: Spaces) -> Iterator[Read]:
    """Yield what was said in folders of recorded feedback, each entry with its segments.

    Args:
        folders: as the run file names them.
        task: of the run; without a fingerprint its id must do.
        spaces: of the task.

    Raises:
        ConfigError: a folder is not there, is of another task, or something in it is wrong.
    """
    for folder in dict.fromkeys(folders):
        for entry, segments in Recording(Path(folder), task=task).entries():
            for segment in segments:
                if why := _misfit(segment, *spaces):
                    raise ConfigError(
                        f"reward.pretraining.recorded: {folder}: segment {segment.segment_id}: {why}"
                    )
            yield entry, segments


def read_shown(sources: Sequence[str], spaces: Spaces, *, steps: int) -> Iterator[tuple[str, Segment]]:
    """Yield what was demonstrated in sources, each piece with its source.

    Args:
        sources: as the run file names them.
        spaces: of the task.
        steps: the fewest of a piece.

    Raises:
        ConfigError: a source is not there, is of another task, is damaged, or shows nothing.
    """
    for source in dict.fromkeys(sources):
        for segment in shown_segments(source, *spaces, steps=steps):
            if why := _misfit(segment, *spaces):
                raise ConfigError(f"{SETTING}: {segment.segment_id}: {why}")
            yield source, segment


def check_recorded(run: RunConfig, task: Task, spaces: Spaces) -> None:
    """Read what a run file says was recorded, so that what is wrong with it is said before any process meets it.

    Raises:
        ConfigError: as `read_recorded` and `read_shown`.
    """
    for _ in read_recorded(run.reward.pretraining.recorded, task, spaces):
        pass
    for _ in read_shown(run.reward.demonstrations.sources, spaces, steps=run.reward.questions.segment_steps):
        pass


def _misfit(segment: Segment, observation_space: gym.Space[Any], action_space: gym.Space[Any]) -> str | None:
    """Return why steps are none of a task, if they are not."""
    observation, action = np.asarray(segment.observations.get("obs", ())), np.asarray(segment.actions)
    size, in_bytes = flat_size(observation_space), flat_dtype(observation_space) == np.uint8
    if observation.size != size * len(segment) or (observation.dtype == np.uint8) != in_bytes:
        kind = "bytes" if in_bytes else "numbers"
        return (
            f"a step's observation is {observation.dtype} of shape {observation.shape[1:]}, not {size} {kind}"
        )
    if isinstance(action_space, gym.spaces.Box):
        # What a policy draws may lie outside of the bounds: the environment gets what is nearest to it.
        if action.shape[1:] != action_space.shape or not np.isfinite(action).all():
            return f"its actions are {action.dtype} of shape {action.shape[1:]}, not finite numbers of {action_space}"
        return None
    try:
        action_space_of(action_space).check(action, "its actions")
    except InvalidRequest as error:
        return str(error)
    return None


class Earlier:
    """Hands out each piece once: first what is recorded, then what runs say, those that go on as they say it."""

    def __init__(
        self,
        reward: RewardConfig,
        model: OnlineRewardModel,
        *,
        task_id: str,
        spaces: Spaces,
        journals: Mapping[str, JournalFollower],
        ends: Mapping[str, int],
    ) -> None:
        """Begin before all of it.

        Args:
            reward: settings.
            model: learns from it; demonstrations are shown to it here.
            task_id: of the run's task.
            spaces: of the task.
            journals: of other runs, by their ids.
            ends: of those that count only up to an offset.
        """
        self._journals, self._ends = journals, ends
        self._model, settings = model, reward.pretraining
        self._recorded: Sequence[str] = settings.recorded
        self._task, self._spaces = Task(task_id=task_id, name="", fingerprint=""), spaces
        kind = model.evidence.get("demonstrations")
        shown: Sequence[str] = ()
        if isinstance(kind, Demonstrations):
            shown = reward.demonstrations.sources
            for source, segment in read_shown(shown, spaces, steps=reward.questions.segment_steps):
                kind.add(source, _SHOWN, segment.segment_id, [segment])
        pretrains = bool(settings.recorded or shown) or (settings.earlier_runs and bool(journals))
        self._fits = settings.fits if pretrains else 0

    @property
    def pretrains(self) -> bool:
        """Whether a first version is still to come of it, before the first question."""
        return self._fits > 0

    def fit_first(self) -> FitReport | None:
        """Fit to what was said earlier, once, and as long as no fit is worse than the one before.

        Returns:
            The report on the last one that was kept; None where there was nothing to fit to, or the first explains
            what is held out worse than a model that knows nothing.
        """
        fits, self._fits = self._fits, 0
        last: FitReport | None = None
        for _ in range(fits):
            report = self._model.fit()
            if report is None or not report.accepted:
                break
            last = report
        return last

    def take(self) -> Iterator[Read]:
        """Yield what has come since the last call."""
        recorded, self._recorded = self._recorded, ()
        yield from read_recorded(recorded, self._task, self._spaces)
        for run_id, journal in self._journals.items():
            end = self._ends.get(run_id)
            for entry, segments in journal.take():
                if end is None or entry.offset < end:
                    yield entry, segments
