"""What recorded runs are called where they are read."""

from dataclasses import dataclass, field

from cluster.recorded.tables import Row
from hitl.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Naming:
    """The ids of runs and of their task."""

    task_id: str
    default: str
    """The run of rows that name none."""
    alias: str | None = None
    """What the only run is called instead; None: all keep their names."""
    _seen: set[str] = field(default_factory=set)

    def run_of(self, row: Row) -> str:
        """Return the run of a row, as the row names it."""
        return str(row.get("run_id", self.default))

    def new(self, run_id: str) -> str:
        """Return what a run is called here.

        Raises:
            ConfigError: there are several, and one other name.
        """
        if self.alias is None:
            return run_id
        self._seen.add(run_id)
        if len(self._seen) > 1:
            raise ConfigError(
                f"the recorded runs {', '.join(sorted(self._seen))} cannot all be called {self.alias}; leave --as out, "
                "or export them one by one"
            )
        return self.alias
