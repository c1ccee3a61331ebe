"""What a command needs before it starts: the settings with the global flags, and the home that they name."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from lakemark.capture.workspace import Workspace
    from lakemark.config.settings import Settings

__all__ = ["open_here", "open_recovered", "read_here"]


def read_here(context: click.Context) -> Settings:
    """Read the settings, with the flags that stood before the command's name."""
    from lakemark.config.settings import read_settings

    flags = context.find_root().obj
    return read_settings(flags if isinstance(flags, dict) else None)


def open_here(context: click.Context, *, make: bool = False) -> Workspace:
    """Open the home.

    Parameters
    ----------
    context : click.Context
        Of the command.
    make : bool, default False
        Make the home where there is none.

    Raises
    ------
    NotFoundError
        If there is none and it is not to be made.
    """
    from lakemark._base.errors import NotFoundError
    from lakemark.capture.workspace import open_workspace

    settings = read_here(context)
    if not make and not settings.home.is_dir():
        raise NotFoundError(
            f"there is no home yet: it would be {settings.home} ({settings.origins['home']})",
            hint="lakemark init makes it, and so does the first lakemark run",
        )
    return open_workspace(settings)


def open_recovered(context: click.Context) -> Workspace:
    """Open the home and settle first the runs whose processes are gone, so that what is read is all there is."""
    from lakemark.capture.settle import recover

    workspace = open_here(context)
    recover(workspace)
    return workspace
