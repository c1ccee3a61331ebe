"""The house rules that no other tool checks: sizes, docstrings, imports in functions, blanket handlers, names."""

from __future__ import annotations

import ast
import importlib
import re
import subprocess
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeAlias

import pytest

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src"
PACKAGE = SOURCE / "lakemark"
CODE = sorted(path for folder in ("src", "tests", "benchmarks", "examples") for path in (ROOT / folder).rglob("*.py"))
MODULES = [path for path in CODE if path.is_relative_to(SOURCE)]
MIGRATIONS = PACKAGE / "storage" / "migrations" / "versions"
LOCKS = sorted(ROOT.glob("requirements-*.lock"))

MODULE_LINES = 600
FUNCTION_LINES = 60
VAGUE = {"base", "common", "helper", "helpers", "manager", "managers", "misc", "shared", "util", "utils", "utilities"}

# Imports inside functions, outside of cli/ and lakemark/__init__.py, which load lazily by design: how many, and why.
DEFERRED: dict[str, tuple[int, str]] = {
    "capture/workspace.py": (3, "pyarrow and deltalake cost more than most commands do, and only those on tables pay"),
    "fluent/active.py": (1, "kept models need numpy, which a script that logs only metrics may not have"),
    "fluent/lake.py": (1, "the catalog needs sqlalchemy, which a script that names its tables by path may not have"),
    "fluent/process.py": (1, "capture may be missing in the user's environment, and then says so"),
    "models/frames.py": (4, "pyarrow and pandas enter only where the script has loaded them"),
    "models/pickles.py": (1, "whichever pickler the user's environment has"),
    "recorder/content.py": (4, "inside the user's process: numpy is there only where the script has a model"),
    "recorder/frames.py": (1, "inside the user's process: content is hashed only where a frame was read"),
    "recorder/names.py": (1, "inside the user's process: tables enter only where the script asks for one"),
    "recorder/scoring.py": (1, "the metric comes from the user's scikit-learn"),
    "tables/reads/datafiles.py": (1, "pyarrow.dataset loads pandas where it is installed, and only conditions need it"),
    "tables/log/deletion.py": (
        1,
        "inside the user's process: pyarrow enters only where a checkpoint must be read",
    ),
    "tables/reads/frames.py": (2, "pandas and polars are the user's, and load when a frame is asked for"),
    "tables/writes/guards.py": (1, "checks compute with duckdb, and few tables declare any"),
    "tables/reading.py": (2, "the SQL parser and duckdb load only for a condition or an order by a key"),
    "storage/database.py": (1, "alembic costs more than all else that most commands do, and runs once a home"),
}
# Where a handler of every exception may be, if its line gives the reason as well.
BLANKET: dict[str, str] = {
    "fluent/": "runs inside the user's program, which must go on",
    "models/frames.py": "a frame's own conversion may raise anything",
    "models/kept.py": "a model's own code may raise anything",
    "models/pickles.py": "pickling runs any object's own code",
    "recorder/": "hooks run inside the user's process, and must never break it",
    "tables/failures.py": "the Arrow C interface raises a bare Exception",
}

# Addresses of one machine, and of the places that packages come from: neither belongs into what is published.
ADDRESSES = re.compile(
    r"""(?<![\w.~}-])/(?:opt|srv)/ | /(?:home|Users)/(?!ada\b)\w+/
    | ://[\w.-]+/simple\b | ://(?:registry|files)\. | --(?:extra-)?index-url[ =]\S*:// | --find-links[ =]/
    | """
    + re.escape(str(ROOT))
    + r"\b",
    re.VERBOSE,
)
INDEX = re.compile(r"^\s*(?:-[if]\b|--(?!hash=sha256:)|.*(?:://|file:|@))", re.MULTILINE)

Function: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef
Rule: TypeAlias = Callable[[ast.Module], list[str] | list[int]]


def read(path: Path) -> ast.Module:
    """Return the syntax tree of a file."""
    return ast.parse(path.read_text(), filename=str(path))


def label(path: Path) -> str:
    """Return a path as the repository names it."""
    return path.relative_to(ROOT).as_posix()


def functions(tree: ast.Module) -> Iterator[Function]:
    """Yield all functions and methods of a module, nested ones too."""
    return (node for node in ast.walk(tree) if isinstance(node, Function))


def long_functions(tree: ast.Module) -> list[str]:
    """Return the functions that are over the cap; a docstring is no code, and does not count."""
    found = []
    for function in functions(tree):
        first = function.body[1 if ast.get_docstring(function) and len(function.body) > 1 else 0]
        signature = function.body[0].lineno - function.lineno
        lines = (function.end_lineno or 0) - first.lineno + 1 + signature
        if lines > FUNCTION_LINES:
            found.append(f"{function.name} has {lines} lines")
    return found


def public_names(tree: ast.Module) -> set[str] | None:
    """Return what `__all__` says, or None where a module has none."""
    for node in tree.body:
        targets = node.targets if isinstance(node, ast.Assign) else []
        if any(isinstance(target, ast.Name) and target.id == "__all__" for target in targets):
            assert isinstance(node, ast.Assign)
            return set(ast.literal_eval(node.value))
    return None


def undocumented(tree: ast.Module) -> list[str]:
    """Return what is public in a module and has no docstring; a module that defines something says what is public."""
    found = [] if ast.get_docstring(tree) else ["the module has no docstring"]
    public = public_names(tree)
    defined = [node for node in tree.body if isinstance(node, Function | ast.ClassDef)]
    if public is None and any(not node.name.startswith("_") for node in defined):
        found.append("the module has public definitions and no __all__")
    for node in defined:
        if node.name in (public or ()):
            methods = node.body if isinstance(node, ast.ClassDef) else []
            members = [node, *(child for child in methods if isinstance(child, Function))]
            found += [f"{member.name} has no docstring" for member in members if not is_documented(member)]
    return found


def is_documented(node: Function | ast.ClassDef) -> bool:
    """Return whether a definition has a docstring or needs none: private, magic, an overload, a setter, a stub."""
    if isinstance(node, Function) and (node.name.startswith("_") or is_repeated(node) or is_stub(node)):
        return True
    return bool(ast.get_docstring(node))


def is_stub(function: Function) -> bool:
    """Return whether a method has no body: it gives the shape of what another library or module describes."""
    return [ast.unparse(statement) for statement in function.body] == ["..."] and bool(function.args.args)


def is_repeated(function: Function) -> bool:
    """Return whether a decorator says that the description is elsewhere."""
    names = {ast.unparse(decorator).split(".")[-1] for decorator in function.decorator_list}
    return bool(names & {"overload", "setter", "override"})


def deferred_imports(tree: ast.Module) -> list[str]:
    """Return the imports inside functions, `import_module` with a fixed name among them."""
    found = []
    inside = {
        node for function in functions(tree) for node in ast.walk(function) if isinstance(node, ast.stmt | ast.expr)
    }
    for node in sorted(inside, key=lambda node: node.lineno):
        is_call = isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module")
        if is_call or isinstance(node, ast.Import | ast.ImportFrom):
            found.append(f"line {node.lineno}: {ast.unparse(node)}")
    return found


def blanket_handlers(tree: ast.Module) -> list[int]:
    """Return the lines of the handlers of every exception, except those that raise it again."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.ExceptHandler):
            kinds = {ast.unparse(kind) for kind in ast.walk(node.type)} if node.type else {"Exception"}
            again = any(isinstance(inner, ast.Raise) and inner.exc is None for inner in ast.walk(node))
            if kinds & {"Exception", "BaseException"} and not again:
                found.append(node.lineno)
    return found


@pytest.mark.parametrize("path", CODE, ids=label)
def test_sizes_are_below_the_caps(path: Path) -> None:
    lines = path.read_text().count("\n")
    assert lines <= MODULE_LINES, f"{label(path)} has {lines} lines, at most {MODULE_LINES} are allowed: split it"
    if path.parent == MIGRATIONS:
        return  # a migration is one straight list of tables and columns, and is never edited again
    found = long_functions(read(path))
    assert not found, f"{label(path)}: {found}, at most {FUNCTION_LINES} are allowed"


@pytest.mark.parametrize("path", MODULES, ids=label)
def test_what_is_public_is_described(path: Path) -> None:
    found = undocumented(read(path))
    if path.name == "__main__.py" or path.parent == MIGRATIONS:
        found = [text for text in found if "__all__" not in text]  # nobody imports it
    assert not found, f"{label(path)}: {found}"


@pytest.mark.parametrize("path", MODULES, ids=label)
def test_public_names_are_there(path: Path) -> None:
    tree = read(path)
    bound = {node.name for node in ast.walk(tree) if isinstance(node, Function | ast.ClassDef)}
    bound |= {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    bound |= {
        name.asname or name.name for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) for name in node.names
    }
    unknown = (public_names(tree) or set()) - bound
    if "__getattr__" in bound:  # what arrives when it is first used (PEP 562)
        module = importlib.import_module(path.parent.relative_to(SOURCE).as_posix().replace("/", "."))
        unknown = {name for name in unknown if not getattr(module, name).__doc__}
    assert not unknown, f"{label(path)}: __all__ names {sorted(unknown)}, which the module does not define"


@pytest.mark.parametrize("path", MODULES, ids=label)
def test_imports_are_at_the_top(path: Path) -> None:
    inside = path.relative_to(PACKAGE).as_posix()
    if inside.startswith("cli/") or inside == "__init__.py":
        return
    found = deferred_imports(read(path))
    number, _ = DEFERRED.get(inside, (0, ""))
    assert len(found) == number, f"{inside}: {found}, DEFERRED in this test allows {number}"


@pytest.mark.parametrize("path", MODULES, ids=label)
def test_exceptions_are_named(path: Path) -> None:
    inside = path.relative_to(PACKAGE).as_posix()
    found = blanket_handlers(read(path))
    assert not found or inside.startswith(tuple(BLANKET)), f"{inside}: line {found}: name the exceptions that are meant"
    lines = path.read_text().splitlines()
    unsaid = [line for line in found if not re.search(r"#(?: noqa: BLE001 -+)? +(?!noqa)\w", lines[line - 1])]
    assert not unsaid, f"{inside}: line {unsaid}: end the line with a comment that says why"


@pytest.mark.parametrize("name", sorted({*DEFERRED, *BLANKET}))
def test_lists_of_exceptions_name_files_that_are_there(name: str) -> None:
    assert (PACKAGE / name).exists()


@pytest.mark.parametrize("path", CODE, ids=label)
def test_names_say_something(path: Path) -> None:
    parts = {part.removeprefix("test_").strip("_") for part in path.relative_to(ROOT).with_suffix("").parts[1:]}
    allowed = {"base"} if "_base" in path.parts else set()
    assert not parts & (VAGUE - allowed), f"{label(path)}: name it after the one noun that it holds"


def tracked_files() -> list[Path]:
    """Return the files that are, or would be, in the repository; in an unpacked source archive all of them."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT,
        capture_output=True,
        check=False,
    )
    if listed.returncode != 0:
        return [path for path in ROOT.rglob("*") if path.is_file()]
    return [path for name in listed.stdout.decode().split("\0") if name and (path := ROOT / name).is_file()]


def test_no_address_of_a_machine_or_a_registry_is_published() -> None:
    found = []
    for path in tracked_files():
        if path == Path(__file__):
            continue
        text = path.read_text(errors="replace")
        found += [
            f"{label(path)}:{text[: hit.start()].count(chr(10)) + 1}: {hit[0]}" for hit in ADDRESSES.finditer(text)
        ]
    assert not found, found


def locked(path: Path) -> dict[str, str]:
    """Return the packages of a lock, each with all that is said about it; a backslash goes on in the next line."""
    lines = path.read_text().replace("\\\n", " ").splitlines()
    return {line.split("==")[0].lower().replace("_", "-"): line for line in lines if line.strip()}


@pytest.mark.parametrize("path", LOCKS, ids=label)
def test_locks_hold_hashes_and_no_index(path: Path) -> None:
    packages = locked(path)
    assert packages, f"{label(path)} is empty"
    assert not INDEX.findall(path.read_text().replace("    --hash", "    #")), f"{label(path)} names an index or a file"
    assert [name for name, line in packages.items() if "--hash=sha256:" not in line] == []


@pytest.mark.parametrize(("lock", "groups"), [("dev", ("build", "demo", "dev")), ("demo", ("build", "demo"))])
def test_locks_hold_what_the_project_asks_for(lock: str, groups: tuple[str, ...]) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    wanted = list(project["project"]["dependencies"])
    for group in groups:
        wanted += [entry for entry in project["dependency-groups"][group] if isinstance(entry, str)]
    names = {re.split(r"[<>=!~;\[ ]", entry)[0].lower() for entry in wanted}
    assert names - set(locked(ROOT / f"requirements-{lock}.lock")) == set(), "make lock compiles the locks again"


def test_locks_agree() -> None:
    known = locked(ROOT / "requirements-dev.lock")
    for lock in ("demo", "bootstrap"):
        for name, line in locked(ROOT / f"requirements-{lock}.lock").items():
            assert known[name] == line, f"requirements-{lock}.lock has another {name}: make lock compiles them together"


LONG = "def f():\n" + "    x = 1\n" * 60


@pytest.mark.parametrize(
    ("rule", "source", "number"),
    [
        (long_functions, LONG, 1),
        (long_functions, "def f():\n    '''Say.\n" + "\n" * 60 + "    '''\n    x = 1\n", 0),
        (long_functions, "class A:\n" + "".join(f"    {line}\n" for line in LONG.splitlines()), 1),
        (undocumented, "", 1),
        (undocumented, "'''Say.'''\n\ndef f(): ...\n", 1),
        (undocumented, "'''Say.'''\n__all__ = ['f']\n\ndef f(): ...\n\ndef _g(): ...\n", 1),
        (undocumented, "'''Say.'''\n__all__ = ['A']\nclass A:\n    '''Say.'''\n    def f(self): pass\n", 1),
        (undocumented, "'''Say.'''\n__all__ = ['f']\ndef f():\n    '''Say.'''\n    def g(): ...\n", 0),
        (undocumented, "'''Say.'''\n__all__ = ['A']\nclass A:\n    '''Say.'''\n    def _f(self): ...\n", 0),
        (deferred_imports, "import json\ndef f():\n    import os\n    def g():\n        from os import path\n", 2),
        (deferred_imports, "def f():\n    return importlib.import_module('pyarrow')\n", 1),
        (blanket_handlers, "try:\n    f()\nexcept Exception:\n    pass\n", 1),
        (blanket_handlers, "try:\n    f()\nexcept:\n    pass\n", 1),
        (blanket_handlers, "try:\n    f()\nexcept (OSError, BaseException) as error:\n    raise X from error\n", 1),
        (blanket_handlers, "try:\n    f()\nexcept BaseException:\n    close()\n    raise\n", 0),
        (blanket_handlers, "try:\n    f()\nexcept OSError:\n    pass\n", 0),
    ],
)
def test_the_rules_see_what_they_forbid(rule: Rule, source: str, number: int) -> None:
    assert len(rule(ast.parse(source))) == number


@pytest.mark.parametrize(
    ("text", "is_seen"),
    [
        ("open('/opt/data.csv')", True),
        (f"cd {ROOT}", True),
        ("/home/ben/flights", True),
        ("/home/ada/flights", False),
        ("https://index.example.org/simple", True),
        ("{tmp}/opt/data", False),
        ("the option --index-url is refused", False),
    ],
)
def test_addresses_are_seen(text: str, *, is_seen: bool) -> None:
    assert bool(ADDRESSES.search(text)) is is_seen


@pytest.mark.parametrize("line", ["-i https://a.b/c", "--find-links wheels", "a @ file:///b", "https://a.b/c.whl"])
def test_an_index_in_a_lock_is_seen(line: str) -> None:
    assert INDEX.search(f"a==1.0 \\\n    --hash=sha256:00\n{line}\n")
    assert not INDEX.search("a==1.0 ; python_version < '3.12' \\\n    --hash=sha256:00\n")
