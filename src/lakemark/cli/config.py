"""`lakemark config`: the settings, and where each comes from."""

from __future__ import annotations

import json

import click

__all__ = ["config"]


@click.group()
def config() -> None:
    """Show the settings.

    A flag counts more than a LAKEMARK_* variable, that more than lakemark.toml or [tool.lakemark] of pyproject.toml
    (the nearest upward), that more than the default.
    """


@config.command("show")
@click.option("--origin", is_flag=True, help="Say where each value comes from.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def show(context: click.Context, *, origin: bool, as_json: bool) -> None:
    """Print each setting with its value."""
    from lakemark.cli.opening import read_here
    from lakemark.cli.text import plain, table, terminal_width

    settings = read_here(context)
    values: dict[str, str | int] = {
        "home": str(settings.home),
        "experiment": settings.experiment,
        "store_limit": settings.store_limit,
        "sample_rows": settings.sample_rows,
        "seed": settings.seed,
        "warehouse": settings.warehouse,
    }
    if as_json:
        entries = {
            key: {"value": value, "origin": {"kind": settings.origins[key].kind, "name": settings.origins[key].name}}
            for key, value in values.items()
        }
        click.echo(json.dumps({"schema": "lakemark.config/1", "settings": entries}, indent=2))
        return
    rows = [
        [key, plain(str(value)), *([plain(str(settings.origins[key]))] if origin else [])]
        for key, value in values.items()
    ]
    for line in table(["SETTING", "VALUE", *(["ORIGIN"] if origin else [])], rows, width=terminal_width()):
        click.echo(line)
