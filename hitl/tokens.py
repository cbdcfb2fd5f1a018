"""Who is calling: bearer tokens (JSON Web Tokens, HS256) and the secret that signs them."""

import os
import secrets
import time
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast, get_args

import jwt

from hitl.errors import ConfigError, StorageError, Unauthenticated

Role = Literal["teacher", "oracle", "cluster"]
"""teacher: a person or a program that teaches. oracle: a teacher that also gets true rewards. cluster: the
training processes."""

_AUDIENCE = "handrail"
_ALGORITHM = "HS256"
_MIN_SECRET_BYTES = 32
_DEFAULT_LIFETIME_SECONDS = 365 * 24 * 3600.0
_MAX_NAME_CHARACTERS = 300
"""A database keeps rows in order of their names, and has no room for longer ones there."""


@dataclass(frozen=True, slots=True)
class Principal:
    """The caller, as its credentials say; `runs` None means every run."""

    name: str
    role: Role
    runs: frozenset[str] | None
    expire_seconds: float

    def may_use(self, run_id: str) -> bool:
        """Whether the token is good for this run."""
        return self.runs is None or run_id in self.runs


def mint(
    secret: bytes,
    *,
    name: str,
    role: Role,
    runs: Collection[str] | None = None,
    lifetime: float = _DEFAULT_LIFETIME_SECONDS,
) -> str:
    """Make a token.

    Args:
        secret: what `load_or_create_secret` returned.
        name: the principal; a teacher's answers are kept under it.
        role: what the token gives the right to.
        runs: the only runs it is good for; None for all.
        lifetime: seconds until it expires.

    Raises:
        ConfigError: the name is empty or too long, or the role is none of ours.
    """
    if not name.strip() or not name.isprintable():
        raise ConfigError("a token needs a printable name that is not empty: answers are kept under it")
    if len(name) > _MAX_NAME_CHARACTERS:
        raise ConfigError(
            f"a token's name has at most {_MAX_NAME_CHARACTERS} characters, not {len(name)}: answers are kept under it"
        )
    if role not in get_args(Role):
        raise ConfigError(f"unknown role {role!r}; use one of {', '.join(get_args(Role))}")
    claims: dict[str, object] = {
        "aud": _AUDIENCE,
        "sub": name,
        "role": role,
        "exp": int(time.time() + lifetime),
    }
    if runs is not None:
        claims["runs"] = sorted(runs)
    return jwt.encode(claims, secret, algorithm=_ALGORITHM)


def verify(secret: bytes, token: str) -> Principal:
    """Check a token's signature, audience and expiry, and say whose it is.

    Raises:
        Unauthenticated: it is not one of ours, has expired, or lacks a claim.
    """
    try:
        claims = jwt.decode(
            token,
            secret,
            algorithms=[_ALGORITHM],
            audience=_AUDIENCE,
            options={"require": ["exp", "aud", "sub"]},
        )
    except jwt.ExpiredSignatureError:
        raise Unauthenticated("this token has expired; ask for a new one") from None
    except jwt.InvalidTokenError as error:
        raise Unauthenticated(f"this token is not one of this service ({error}); ask for a new one") from None
    role, runs = claims.get("role"), claims.get("runs")
    if role not in get_args(Role):
        raise Unauthenticated(f"this token has the unknown role {role!r}; ask for a new one")
    if runs is not None and not (isinstance(runs, list) and all(isinstance(run, str) for run in runs)):
        raise Unauthenticated("this token's claim `runs` is not a list of run ids; ask for a new one")
    allowed_runs = None if runs is None else frozenset(runs)
    return Principal(claims["sub"], cast(Role, role), allowed_runs, float(claims["exp"]))


def load_or_create_secret(path: Path) -> bytes:
    """Read the secret that signs tokens; make one, readable by its owner only, if there is none.

    Raises:
        StorageError: the file cannot be read or made, or holds fewer than 32 bytes.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _create_secret(path)
        secret = path.read_bytes().strip()
    except OSError as error:
        raise StorageError(
            f"the secret file {path} cannot be used ({error.strerror}); choose a folder that can be written"
        ) from None
    if len(secret) < _MIN_SECRET_BYTES:
        raise StorageError(
            f"the secret file {path} holds fewer than {_MIN_SECRET_BYTES} bytes; "
            "delete it to get a new one (tokens made with it become void)"
        )
    return secret


def _create_secret(path: Path) -> None:
    """Make the file in one step, so that nobody ever reads half a secret and the first maker wins."""
    if path.exists():
        return
    draft = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_hex(_MIN_SECRET_BYTES))
            file.flush()
            os.fsync(file.fileno())
        os.link(draft, path)
    except FileExistsError:
        pass
    finally:
        draft.unlink()
