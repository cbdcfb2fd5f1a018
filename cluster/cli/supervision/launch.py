"""The command lines of a run's processes."""

import os
import sys
from dataclasses import dataclass
from typing import Protocol

from cluster.cli.supervision.processes import Command
from cluster.runs.config import RunConfig
from cluster.runs.folder import RunFolder
from hitl.errors import ConfigError
from hitl.tokens import Role, load_or_create_secret, mint

TOKEN_VARIABLE = "HANDRAIL_TOKEN"
SERVICE_VARIABLE = "HANDRAIL_SERVICE"


@dataclass(frozen=True, slots=True)
class ServiceAddresses:
    """Where a feedback service listens, each host:port; metrics are None where another's service is used."""

    teaching: str
    metrics: str | None = None


class Commands(Protocol):
    """What the supervisor starts."""

    def service(self, before: ServiceAddresses | None) -> Command | None:
        """Return the service, on the same ports as before; None where the run has none of its own."""
        ...

    def driver(self, service: ServiceAddresses | None) -> Command:
        """Return the driver."""
        ...

    def teachers(self, service: ServiceAddresses | None) -> list[Command]:
        """Return the simulated teachers."""
        ...

    @property
    def foreign_service(self) -> ServiceAddresses | None:
        """A service that the run uses and does not start."""
        ...


class RunCommands:
    """The commands of a run as its file asks for them."""

    driver_module = "cluster.loop.driver"

    def __init__(self, config: RunConfig, folder: RunFolder) -> None:
        """Check what must be there before anything is started.

        Raises:
            ConfigError: the file names another's service, and there is no token for it.
        """
        self._config, self._folder = config, folder
        self._token = os.environ.get(TOKEN_VARIABLE) or config.feedback.token
        if not config.learns_from_people or config.feedback.address is None:
            return
        if not self._token:
            raise ConfigError(
                f"feedback.address is {config.feedback.address}, but there is no token for it; "
                f"set the variable {TOKEN_VARIABLE} to one of the role cluster"
            )
        teachers = config.teachers
        for key, count in (
            ("count", teachers.count),
            ("crowd", len(teachers.who_answer) - teachers.count),
            ("live.count", teachers.live.count),
        ):
            if count:
                raise ConfigError(
                    f"teachers.{key} is {count}, but a run cannot make tokens for the service at "
                    f"feedback.address; leave it out and start teachers with `handrail teach --simulated "
                    f"--address {config.feedback.address} --run-id {folder.run_id}`"
                )

    @property
    def foreign_service(self) -> ServiceAddresses | None:
        """A service that the run uses and does not start."""
        address = self._config.feedback.address
        return ServiceAddresses(address) if address and self._config.learns_from_people else None

    def service(self, before: ServiceAddresses | None) -> Command | None:
        """Return the service, on the same ports as before; None where the run has none of its own."""
        config, folder = self._config, self._folder
        if not config.learns_from_people or self.foreign_service:
            return None
        port, metrics_port = config.feedback.port, config.monitoring.service_port
        if before is not None:
            port = int(before.teaching.rpartition(":")[2])
            metrics_port = int((before.metrics or "").rpartition(":")[2] or metrics_port)
        arguments = [
            *("--folder", str(folder.feedback), "--secret", str(folder.secret_file)),
            *("--host", config.feedback.host, "--port", str(port)),
            *("--metrics-host", config.monitoring.host, "--metrics-port", str(metrics_port)),
            *("--ready-file", str(folder.service_file)),
        ]
        # A database's URL may hold its password.
        environment = {"HANDRAIL_DATABASE": config.feedback.database} if config.feedback.database else {}
        return Command(_handrail("serve", *arguments), environment)

    def driver(self, service: ServiceAddresses | None) -> Command:
        """Return the driver."""
        arguments = (sys.executable, "-m", self.driver_module, str(self._folder.path))
        if service is None:
            return Command(arguments)
        token = self._token if self.foreign_service else self._mint("driver", "cluster")
        return Command(arguments, {SERVICE_VARIABLE: service.teaching, TOKEN_VARIABLE: token or ""})

    def teachers(self, service: ServiceAddresses | None) -> list[Command]:
        """Return the simulated teachers."""
        return [] if service is None else [*self._who_answer(service), *self._who_watch(service)]

    def _who_answer(self, service: ServiceAddresses) -> list[Command]:
        """All have the run's seed, so who takes a question does not matter to its answer, unless some answer the same.

        In lockstep they take turns, so that it repeats who takes it.
        """
        settings, questions = self._config.teachers, self._config.reward.questions
        own_seeds = bool(settings.crowd or questions.duplicates or questions.gold)
        arguments = [
            *("--simulated", "--address", service.teaching, "--run-id", self._folder.run_id),
            *("--mistake", str(settings.mistake), "--skip", str(settings.skip)),
            *("--tie-threshold", str(settings.tie_threshold)),
            *("--answer-seconds", str(settings.answer_seconds)),
        ]
        if settings.rationality is not None:
            arguments += ["--rationality", str(settings.rationality)]
        if settings.rating_range is not None:
            arguments += ["--rating-range", *(str(end) for end in settings.rating_range)]
        if settings.goal_reward is not None:
            arguments += ["--goal-reward", str(settings.goal_reward)]
        for name in ("expert", "goal"):
            if named := getattr(settings, name):
                arguments += [f"--{name}", named]
        places = len(settings.who_answer) if self._config.mode == "lockstep" else 1
        shows = ["--demonstrate", str(settings.demonstrations), "--run-file", str(self._folder.run_file)]
        return [
            Command(
                _handrail(
                    "teach",
                    *arguments,
                    *("--kind", kind, "--seed", str(self._config.seed + own_seeds * number)),
                    *(("--place", str(number), "--places", str(places)) if places > 1 else ()),
                    *(shows if settings.demonstrations and not number else ()),
                ),
                {TOKEN_VARIABLE: self._mint(f"teacher-{number}", "oracle")},
            )
            for number, kind in enumerate(settings.who_answer)
        ]

    def _who_watch(self, service: ServiceAddresses) -> list[Command]:
        settings, stages = self._config.teachers.live, self._config.stages.count
        options = settings.model_dump(exclude={"count"}, exclude_none=True)
        arguments = [
            *("--simulated", "--address", service.teaching, "--run-id", self._folder.run_id),
            *(
                part
                for name, value in options.items()
                for part in (f"--{name.replace('_', '-')}", str(value))
            ),
        ]
        return [
            Command(
                _handrail(
                    "teach",
                    *arguments,
                    *("--stage", f"stage-{number % stages}", "--seed", str(self._config.seed + number)),
                ),
                {TOKEN_VARIABLE: self._mint(f"live-teacher-{number}", "teacher")},
            )
            for number in range(settings.count)
        ]

    def _mint(self, name: str, role: Role) -> str:
        secret = load_or_create_secret(self._folder.secret_file)
        return mint(secret, name=name, role=role, runs=[self._folder.run_id])


def _handrail(command: str, *arguments: str) -> tuple[str, ...]:
    return (sys.executable, "-m", "cluster.cli.main", command, *arguments)
