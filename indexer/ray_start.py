"""Starts Ray on this machine, or joins a cluster. One of the owners of Ray."""

import os
from typing import Any

import ray as _ray

from henasy.errors import ConfigError, HenasyError

# Ray's own hints do not know what `remote` and `options` add to functions and classes.
ray: Any = _ray

_ATTEMPTS = 2
_TOKEN_HINT = "; a cluster that asks for a token (`ray start` sets one up) needs RAY_AUTH_MODE=token here too"
"""Ray's own message does not say why it was turned away."""
_OVERLOAD_HINT = "; the machine may be overloaded; run the same command again"


def given_address(address: str | None) -> str | None:
    """The cluster that is asked for, by an option or by $RAY_ADDRESS; None for this machine."""
    return address or os.environ.get("RAY_ADDRESS")


def start_ray(address: str | None, **local: Any) -> None:
    """Starts or joins Ray.

    Args:
        address: a cluster; None starts Ray on this machine.
        local: options of Ray for this machine.

    Raises:
        ConfigError: the cluster does not take us.
        HenasyError: Ray does not start on this machine.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    quiet = {"log_to_driver": False, "logging_level": "error"}
    if address is not None:
        try:
            _init_ray(1, address=address, **quiet)
        except Exception as error:
            raise ConfigError(f"address {address}: Ray does not start: {_sentence(error)}{_TOKEN_HINT}") from error
        return
    try:
        _init_ray(_ATTEMPTS, address="local", include_dashboard=False, **local, **quiet)
    except Exception as error:
        raise HenasyError(f"Ray did not start on this machine: {_sentence(error)}{_OVERLOAD_HINT}") from error


def _init_ray(attempts: int, **options: Any) -> None:
    """Starts or joins Ray; a failed attempt leaves nothing running.

    Raises:
        Exception: as Ray raises it. A node that is up too late is a bare `Exception`, so no narrower class will do.
    """
    for attempts_left in reversed(range(attempts)):
        try:
            ray.init(**options)
            return
        except Exception:
            ray.shutdown()
            if not attempts_left:
                raise


def _sentence(error: Exception) -> str:
    """Ray's message, ready to be continued."""
    return str(error).strip().rstrip(".")
