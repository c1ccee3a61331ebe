"""`lakemark init`: make a home."""

from __future__ import annotations

import json
from pathlib import Path

import click

__all__ = ["init"]


@click.command(short_help="Make a home.")
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path), required=False)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def init(context: click.Context, *, folder: Path | None, as_json: bool) -> None:
    """Make a home, .lakemark/, in FOLDER (default: the home that is set, else here), or say where it is.

    Everything that Lakemark keeps is in it: receipts, metrics, artifacts, pins, snapshots of code. It hides itself from
    git. The first `lakemark run` makes one too, at the top of the git repository.
    """
    from lakemark.cli.opening import read_here
    from lakemark.config.home import HOME_NAME, create_home
    from lakemark.storage.database import open_database

    settings = read_here(context)
    named = settings.origins["home"].kind != "default"
    place = settings.home.parent if named and folder is None else (folder or Path.cwd()).resolve()
    there = (place / HOME_NAME).is_dir()
    home = create_home(place)
    open_database(home.database).close()
    if as_json:
        click.echo(json.dumps({"schema": "lakemark.init/1", "home": str(home.path), "created": not there}))
        return
    click.echo(f"{'there is' if there else 'made'} {home.path}", err=True)
    click.echo("\nhint: lakemark run train.py", err=True)
