"""The stages that the service knows, open or away. Everything runs in the event loop."""

from hitl.errors import NotFound, StaleEpoch, Unavailable
from hitl.service.bells import Bell
from hitl.service.live_stage import Audience, Ended, LiveStage
from hitl.stages import ActionSpace
from hitl.storage.runs import RunEpoch


class Stages:
    """All stages that this service knows."""

    def __init__(self) -> None:
        self._stages: dict[tuple[str, str], LiveStage] = {}
        self.bell = Bell()
        """Rings when a stage opens."""

    def open(
        self,
        run: RunEpoch,
        task_id: str,
        stage_id: str,
        action_space: ActionSpace,
        *,
        end_frame: int,
        known_frame: int,
    ) -> LiveStage:
        """Open a stage, in the place of the one of this name, whose connection `end` has ended.

        Those who watch go on, and whoever had the controls has lost them.
        """
        stage = LiveStage(run, task_id, stage_id, action_space, end_frame=end_frame, known_frame=known_frame)
        known = self._stages.get((run.run_id, stage_id))
        if known is not None:
            stage.take_over_audience(known)
        stage.news.put_nowait(Audience(len(stage.watches)))
        self._stages[run.run_id, stage_id] = stage
        self.bell.ring()
        return stage

    def end(self, run_id: str, stage_id: str) -> LiveStage | None:
        """End the connection of a stage that is opened again: it may have died without a word."""
        known = self._stages.get((run_id, stage_id))
        if known is not None:
            known.open = False
            known.news.put_nowait(
                Ended(StaleEpoch(f"stage {stage_id} was opened by somebody else; two never play one stage"))
            )
        return known

    def close(self, stage: LiveStage) -> None:
        """Take note that a stage is away; if it does not come back it is still known."""
        stage.open = False
        stage.bell.ring()

    def shut_down(self) -> None:
        """End all connections of stages: the service is shutting down."""
        for stage in self._stages.values():
            stage.news.put_nowait(Ended(Unavailable("the service is shutting down; open the stage again")))
            stage.bell.ring()
        self.bell.ring()

    def find(self, run_id: str, stage_id: str) -> LiveStage | None:
        """Return a stage, open or away; None where this service has never heard of it."""
        return self._stages.get((run_id, stage_id))

    def of_run(self, run_id: str) -> list[LiveStage]:
        """Return the open stages of a run, by name."""
        return [stage for (run, _), stage in sorted(self._stages.items()) if run == run_id and stage.open]

    def acknowledge(self, teacher_id: str, watch_id: str, frame: int) -> None:
        """Take note that a watcher has shown a frame.

        Raises:
            NotFound: nobody of this id watches.
        """
        for stage in self._stages.values():
            watch = stage.watches.get(watch_id)
            if watch is not None and watch.teacher_id == teacher_id:
                watch.acknowledge(frame)
                stage.bell.ring()
                return
        raise NotFound(f"nobody watches as {watch_id} any more; call WatchStage again")
