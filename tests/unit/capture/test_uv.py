import sys
from pathlib import Path

import pytest

from lakemark.capture.uv import find_uv, installer_environment, run_installer


def test_the_program_that_came_with_us_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    found = find_uv()
    assert found is not None
    assert found.is_file()


def test_the_active_environment_does_not_leak_into_an_installer() -> None:
    seen = installer_environment(
        {"VIRTUAL_ENV": "/v", "PYTHONPATH": "/p", "UV_DEFAULT_INDEX": "https://i", "HOME": "/h"}
    )
    assert seen["UV_DEFAULT_INDEX"] == "https://i"
    assert seen["HOME"] == "/h"
    assert not {"VIRTUAL_ENV", "PYTHONPATH"} & set(seen)


def test_an_installer_that_hangs_is_stopped(tmp_path: Path) -> None:
    outcome = run_installer([sys.executable, "-c", "import time; time.sleep(60)"], folder=tmp_path, seconds=0.3)
    assert outcome.exit_code is None
    assert "did not end within" in outcome.said


def test_what_a_failing_installer_says_is_kept(tmp_path: Path) -> None:
    code = "import sys; print('out'); print('err', file=sys.stderr); sys.exit(3)"
    outcome = run_installer([sys.executable, "-c", code], folder=tmp_path, seconds=60)
    assert (outcome.exit_code, outcome.said) == (3, "err\n\nout")
