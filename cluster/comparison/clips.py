"""What segments look like, for people."""

import logging
from collections.abc import Sequence
from typing import Self

from cluster.comparison.player import Piece
from cluster.environments.making import make_replayed
from cluster.runs.config import EnvironmentConfig
from cluster.runs.live_config import PicturesConfig
from cluster.stages.pictures import Pictures
from cluster.stages.replay import NotTheSame, Replay
from hitl.errors import ConfigError
from hitl.stages import Clip

logger = logging.getLogger(__name__)


class Clips:
    """Plays episodes again and renders pieces of them."""

    def __init__(self, replay: Replay) -> None:
        self._replay = replay
        self._is_deterministic = True

    @classmethod
    def open(
        cls, environment: EnvironmentConfig, pictures: PicturesConfig, *, wanted: bool | None
    ) -> Self | None:
        """Return what renders; None where nothing is to be rendered, or cannot be and need not be.

        Args:
            environment: that was played.
            pictures: of what size.
            wanted: None means where that can be done.

        Raises:
            ConfigError: clips are wanted, and the environment cannot render.
        """
        if wanted is False:
            return None
        try:
            make_replayed(environment).close()  # type: ignore[no-untyped-call]
        except ConfigError:
            if wanted is None:
                logger.warning("%s renders no pictures, so people see curves", environment.id)
                return None
            raise ConfigError(
                f"--clips: environment {environment.id} renders no pictures (render_mode rgb_array); leave --clips "
                "out, and people see curves"
            ) from None
        return cls(Replay(environment, Pictures(pictures)))

    def of(self, pieces: Sequence[Piece]) -> dict[str, Clip]:
        """Return what the segments of one question look like, by their ids; all or none, for a fair comparison."""
        if not self._is_deterministic:
            return {}
        try:
            return {
                piece.segment.segment_id: self._replay.clip(piece.episode, piece.segment.address)
                for piece in pieces
            }
        except NotTheSame as error:
            logger.warning("no clips from here on, the environment is not deterministic: %s", error)
            self._is_deterministic = False
            return {}
