"""Groups of commands that load a command's module when it is called, so that `--version` and `--help` cost nothing."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import cast

import click

__all__ = ["LazyGroup"]


class LazyGroup(click.Group):
    """A group that knows its commands by name and loads one when it is called.

    Parameters
    ----------
    name : str, optional
        The group's name.
    commands : mapping of str to str
        Where each command is: `"package.module:name"`, in the order of the help.
    """

    def __init__(self, name: str | None = None, *, commands: Mapping[str, str], **settings: object) -> None:
        super().__init__(name, **settings)  # type: ignore[arg-type]  # what click's decorator hands on
        self._places = commands

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 -- click's signature
        """Return the names, without loading anything."""
        return list(self._places)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 -- click's
        """Load one command."""
        if cmd_name not in self._places:
            return None
        module, _, name = self._places[cmd_name].partition(":")
        return cast("click.Command", getattr(importlib.import_module(module), name))

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Refuse an unknown command with the nearest one."""
        if args[0] not in self._places and not args[0].startswith("-"):
            from lakemark._base.errors import nearest

            near = nearest(args[0], self._places)
            told = f"; did you mean {near!r}?" if near else ""
            raise click.UsageError(f"no command is named {args[0]!r}{told}", ctx)
        return super().resolve_command(ctx, args)
