"""The `lakemark` command: its commands load when they are called, and errors are shown here and nowhere else."""

from __future__ import annotations

import io
import os
import sys

import click

import lakemark
from lakemark._base.errors import LakemarkError
from lakemark.cli.lazy import LazyGroup

__all__ = ["main"]

_COMMANDS = {
    "init": "lakemark.cli.init:init",
    "run": "lakemark.cli.run:run",
    "runs": "lakemark.cli.runs:runs",
    "show": "lakemark.cli.show:show",
    "diff": "lakemark.cli.diff:diff",
    "reproduce": "lakemark.cli.reproduce:reproduce",
    "explain": "lakemark.cli.explain:explain",
    "tables": "lakemark.cli.tables:tables",
    "sql": "lakemark.cli.sql:sql",
    "config": "lakemark.cli.config:config",
}
_INTERRUPTED = 130

_EPILOG = """\b
Exit codes: 0 ok, 1 failed or below the level asked for, 2 usage, 3 not found, 4 conflict, 5 user code.

\b
Completion of commands in the shell:
  bash  eval "$(_LAKEMARK_COMPLETE=bash_source lakemark)"
  zsh   eval "$(_LAKEMARK_COMPLETE=zsh_source lakemark)"
  fish  _LAKEMARK_COMPLETE=fish_source lakemark | source
"""


_HELP = """Run a model, get it again with proof, and explain why the score moved.

\b
lakemark run train.py      run a script as it is, and write its receipt
lakemark runs              list the runs
lakemark show RUN          show what went in and what came out
lakemark reproduce RUN     rebuild a run and grade how equal it is
lakemark explain A B       share out the change of the score
"""


@click.group(
    cls=LazyGroup,
    commands=_COMMANDS,
    help=_HELP,
    epilog=_EPILOG,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.option("--home", metavar="FOLDER", help="The home to use; default: .lakemark/ found upward.")
@click.version_option(lakemark.__version__, prog_name="lakemark", message="%(prog)s %(version)s")
@click.pass_context
def lakemark_command(context: click.Context, *, home: str | None) -> None:
    """Take the global flags."""
    context.obj = {} if home is None else {"home": home}


def main() -> None:
    """Run the command line that the process was started with, and exit with its code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal that knows no tick gets a question mark, and no traceback
    sys.exit(_run(sys.argv[1:]))


def _run(arguments: list[str]) -> int:
    try:
        code: object = lakemark_command.main(arguments, prog_name="lakemark", standalone_mode=False)
        sys.stdout.flush()
    except LakemarkError as error:
        _show(error.message, error.hint)
        return error.exit_code
    except click.ClickException as error:
        _show_refused(error)
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        return _INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # so that the flush at the end finds an ear
        return 1
    except OSError as error:  # a full disk, a folder that may not be written
        _show(f"{error.filename}: {error.strerror}" if error.filename else str(error), None)
        return 1
    return code if isinstance(code, int) else 0


def _show_refused(error: click.ClickException) -> None:
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        click.echo(error.format_message(), err=True)
        return
    where = getattr(error, "ctx", None)
    help_of = where.command_path if isinstance(where, click.Context) else "lakemark"
    _show(_told(error), f"{help_of} --help" if isinstance(error, click.UsageError) else None)


def _told(error: click.ClickException) -> str:
    """Return a message of click's in our form: lower case, no final stop, the nearest option alone."""
    if isinstance(error, click.NoSuchOption):
        from lakemark._base.errors import nearest

        near = nearest(error.option_name, error.possibilities or ())
        return f"no such option {error.option_name!r}" + (f"; did you mean {near!r}?" if near else "")
    message = error.format_message().rstrip(".")
    return message[:1].lower() + message[1:]


def _show(message: str, hint: str | None) -> None:
    from lakemark.cli.text import paint

    click.echo(f"{paint('error:', 'red', stream=sys.stderr)} {message}", err=True)
    if hint is not None:
        click.echo(f"\n{paint('hint:', 'bold', stream=sys.stderr)} {hint}", err=True)
