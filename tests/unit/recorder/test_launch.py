import subprocess
import sys
from pathlib import Path

import pytest

_RUN = """
import json, sys
from lakemark.recorder.launch import describe_error, run_entry, show_error
from lakemark.recorder.plan import EntryPoint
kind, name, *argv = sys.argv[1:]
try:
    run_entry(EntryPoint(kind, name, tuple(argv)))
except SystemExit:
    raise
except BaseException as error:
    show_error(error)
    print(json.dumps(describe_error(error, project=__import__("os").getcwd())))
"""


def launch(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-P", "-c", _RUN, *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)


SCRIPT = """
import pickle, sys
import beside
class Model: pass
assert __name__ == "__main__" and sys.modules["__main__"].Model is Model
pickle.loads(pickle.dumps(Model()))
print(sys.argv, __file__, beside.VALUE, __spec__, sys.path[0].endswith("sub"))
"""


def test_a_script_finds_itself_as_main_with_its_folder_first_on_the_path(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "script.py").write_text(SCRIPT)
    (tmp_path / "sub" / "beside.py").write_text("VALUE = 7")
    done = launch(tmp_path, "script", "sub/script.py", "--a", "b c")
    assert done.stdout == f"['sub/script.py', '--a', 'b c'] {tmp_path}/sub/script.py 7 None True\n"


def test_a_module_runs_as_python_m_runs_it(tmp_path: Path) -> None:
    package = tmp_path / "package"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "other.py").write_text("VALUE = 8")
    (package / "train.py").write_text("from .other import VALUE\nprint(__name__, __package__, VALUE)")
    (package / "__main__.py").write_text("print('main of', __package__)")
    assert launch(tmp_path, "module", "package.train").stdout == "__main__ package 8\n"
    assert launch(tmp_path, "module", "package").stdout == "main of package\n"


@pytest.mark.parametrize("name", ["nothing", "nothing.inside"])
def test_a_missing_module_is_named(tmp_path: Path, name: str) -> None:
    assert f"No module named {name}" in launch(tmp_path, "module", name).stderr


def test_an_error_is_shown_with_the_users_frames_only(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text("def inner():\n    raise ValueError('broken')\n\ninner()\n")
    done = launch(tmp_path, "script", "script.py")
    assert done.stderr.splitlines()[0] == "Traceback (most recent call last):"
    assert "lakemark" not in done.stderr
    assert '"file": "script.py", "line": 2, "function": "inner"' in done.stdout


def test_a_syntax_error_is_shown_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text("x = 1\nif\n")
    done = launch(tmp_path, "script", "script.py")
    assert f'File "{tmp_path}/script.py", line 2' in done.stderr
    assert "SyntaxError" in done.stderr
