"""Identifiers, and the short forms that people type."""

from __future__ import annotations

import secrets

__all__ = ["new_run_id", "short"]


def new_run_id() -> str:
    """Return a fresh run id: 32 hexadecimal digits, as MLflow's are."""
    return secrets.token_hex(16)


def short(identifier: str) -> str:
    """Return the first eight characters, enough for people to tell runs apart.

    Examples
    --------
    >>> short("4bf92f3577b34da6a3ce929d0e0e4736")
    '4bf92f35'
    """
    return identifier[:8]
