"""The call that a line of the script is making right now, read from its source: which function, and with which seed."""

from __future__ import annotations

import ast
import itertools
import linecache
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

__all__ = ["SeedCall", "is_importing", "is_user_frame", "nearest_frame", "seed_call"]

_PACKAGE = str(Path(__file__).parents[1])
_STANDARD = str(Path(os.__file__).parent)
_FOREIGN = ("site-packages", "dist-packages")
_GENERATORS = frozenset({"RandomState", "SeedSequence", "MT19937", "PCG64", "PCG64DXSM", "Philox", "SFC64"})


@dataclass(frozen=True, slots=True)
class SeedCall:
    """The making of a random generator.

    Parameters
    ----------
    name : str
        Its class.
    given : bool
        Whether the expression has a seed that is not None.
    value : object
        The seed; the text of the expression where its value is not a constant or a variable.
    """

    name: str
    given: bool
    value: object = None


def nearest_frame() -> FrameType | None:
    """Return the nearest frame that is not ours."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_code.co_filename.startswith(_PACKAGE):
        frame = frame.f_back
    return frame


def is_user_frame(frame: FrameType | None, *, project: str) -> bool:
    """Return True for code of the project or of a notebook cell, False for libraries."""
    if frame is None:
        return False
    name = frame.f_code.co_filename
    if any(part in name for part in _FOREIGN) or name.startswith((_STANDARD, "<frozen")):
        return False
    return name.startswith(project) or not os.path.isabs(name)  # noqa: PTH117 - a Path for each call costs more than the call


def is_importing(frame: FrameType | None, *, project: str) -> bool:
    """Return True where a library does something only because it is being imported."""
    while frame is not None and not is_user_frame(frame, project=project):
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            return True
        frame = frame.f_back
    return False


def seed_call(frame: FrameType | None, *, project: str) -> SeedCall | None:
    """Return the generator that a frame of the user's code is making; None where it makes none or has no source."""
    if frame is None or not is_user_frame(frame, project=project):
        return None
    call = _current_call(frame)
    if call is None:
        return None
    name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
    if name not in _GENERATORS:
        return None
    given = [*call.args, *(keyword.value for keyword in call.keywords if keyword.arg in {"seed", "entropy"})]
    if not given:
        return SeedCall(name, given=False)
    value = _value(given[0], frame)
    return SeedCall(name, given=value is not None, value=value)


def _current_call(frame: FrameType) -> ast.Call | None:
    """Return the expression that the frame's current instruction belongs to, if it is a call."""
    place = next(itertools.islice(frame.f_code.co_positions(), frame.f_lasti // 2, None), None)
    if place is None:
        return None
    first, last, start, end = place
    if first is None or last is None or start is None or end is None:
        return None
    lines = [linecache.getline(frame.f_code.co_filename, number).encode() for number in range(first, last + 1)]
    if not all(lines):
        return None
    lines[-1] = lines[-1][:end]
    lines[0] = lines[0][start:]
    try:
        expression = ast.parse(b"(" + b"".join(lines) + b")", mode="eval").body
    except SyntaxError:
        return None
    return expression if isinstance(expression, ast.Call) else None


def _value(node: ast.expr, frame: FrameType) -> object:
    """Return the value of a constant or a variable; of anything else its text, since nothing may be executed here."""
    try:
        return ast.literal_eval(node)
    except (ValueError, TypeError):
        pass
    if isinstance(node, ast.Name):
        scope = frame.f_locals if node.id in frame.f_locals else frame.f_globals
        return scope.get(node.id, node.id)
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
        holder = frame.f_locals.get(node.value.id, frame.f_globals.get(node.value.id))
        return getattr(holder, "__dict__", {}).get(node.attr, ast.unparse(node))
    return ast.unparse(node)
