"""What a teacher demonstrates, on its way to the service."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from hitl.events import Outcome, new_event_id
from hitl.tensors import Array


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """Consecutive steps of one episode that a teacher played in an environment of their own.

    `observations` maps a name to an array of shape [steps, ...] (a plain observation is called "obs"); `actions` has
    shape [steps, ...]. Axes and dtypes are those of the run's task.
    """

    run_id: str
    observations: Mapping[str, Array] = field(compare=False)
    actions: Array = field(compare=False)
    episode: int = 0
    """Of the teacher's episodes. One that is sent in pieces has one number in all of them."""
    begin: int = 0
    """The number of the first step in its episode."""
    outcome: Outcome | None = field(default=None, compare=False)
    """Where the last step led to; None: that is not known."""
    event_id: str = field(default_factory=new_event_id)
