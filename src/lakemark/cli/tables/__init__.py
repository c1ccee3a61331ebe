"""`lakemark tables`: Delta tables from the command line; one module per topic, loaded when it is called."""

from __future__ import annotations

import click

from lakemark.cli.lazy import LazyGroup
from lakemark.cli.tables.output import TableText

__all__ = ["tables"]

_HERE = "lakemark.cli.tables"
_GROUPS = {
    "Names": {
        "list": f"{_HERE}.catalog:list_tables",
        "search": f"{_HERE}.catalog:search",
        "describe": f"{_HERE}.catalog:describe",
        "register": f"{_HERE}.catalog:register",
        "rename": f"{_HERE}.catalog:rename",
        "drop": f"{_HERE}.catalog:drop",
    },
    "Read": {
        "read": f"{_HERE}.reading:read",
        "schema": f"{_HERE}.reading:schema",
        "history": f"{_HERE}.reading:history",
        "changes": f"{_HERE}.reading:changes",
        "diff": f"{_HERE}.diff:diff",
        "split": f"{_HERE}.splits:split",
    },
    "Write": {
        "create": f"{_HERE}.writing:create",
        "append": f"{_HERE}.writing:append",
        "overwrite": f"{_HERE}.writing:overwrite",
        "delete": f"{_HERE}.changing:delete",
        "update": f"{_HERE}.changing:update",
        "merge": f"{_HERE}.changing:merge",
        "restore": f"{_HERE}.changing:restore",
        "clone": f"{_HERE}.clones:clone",
    },
    "Columns and rules": {
        "add-column": f"{_HERE}.changing:add_column",
        "widen": f"{_HERE}.changing:widen",
        "set": f"{_HERE}.changing:set_property",
        "constrain": f"{_HERE}.changing:constrain",
    },
    "Check": {
        "check": f"{_HERE}.checks:check",
        "checks": f"{_HERE}.checks:checks",
        "add-check": f"{_HERE}.checks:add_check",
        "drop-check": f"{_HERE}.checks:drop_check",
    },
    "Keep": {
        "tag": f"{_HERE}.tags:tag",
        "untag": f"{_HERE}.tags:untag",
        "tags": f"{_HERE}.tags:tags",
        "pin": f"{_HERE}.pins:pin",
        "unpin": f"{_HERE}.pins:unpin",
        "pins": f"{_HERE}.pins:pins",
        "verify": f"{_HERE}.verification:verify",
        "protect": f"{_HERE}.pins:protect",
    },
    "Maintain": {
        "compact": f"{_HERE}.maintenance:compact",
        "z-order": f"{_HERE}.maintenance:z_order",
        "checkpoint": f"{_HERE}.maintenance:checkpoint",
        "vacuum": f"{_HERE}.maintenance:vacuum",
        "maintain": f"{_HERE}.upkeep:maintain",
    },
    "Stream": {
        "stream": f"{_HERE}.streams:stream",
        "stream-status": f"{_HERE}.streams:status",
    },
}
_COMMANDS = {name: place for group in _GROUPS.values() for name, place in group.items()}


class _TableCommands(LazyGroup):
    """Commands on tables: wherever one takes TABLE, the shell completes the names of the catalog."""

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        command = super().get_command(ctx, cmd_name)
        for parameter in [] if command is None else command.params:
            if parameter.name == "table" and parameter.type is click.STRING:
                parameter.type = TableText()
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands under headings, by what they are for."""
        room = formatter.width - 6 - max(len(name) for name in _COMMANDS)
        for heading, places in _GROUPS.items():
            with formatter.section(heading):
                commands = [(name, self.get_command(ctx, name)) for name in places]
                rows = [(name, command.get_short_help_str(room)) for name, command in commands if command is not None]
                formatter.write_dl([(name.ljust(max(map(len, _COMMANDS))), told) for name, told in rows])


@click.group(cls=_TableCommands, commands=_COMMANDS)
def tables() -> None:
    """Make, fill, read and clean up Delta tables.

    TABLE is a name (SCHEMA.TABLE or CATALOG.SCHEMA.TABLE), a folder or a URI; where it is read, TABLE@VERSION or
    TABLE@TAG names a version.
    """
