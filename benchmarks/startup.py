"""CPU seconds of starting up, beside what Python and click alone cost. Prints a markdown table."""

from __future__ import annotations

import os
import platform
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

ROUNDS = 15
BARE_CLICK = """
import click

@click.group()
@click.version_option("0", prog_name="bare")
def main(): pass

main(["--version"])
"""
BUDGETS = {"lakemark --version": 0.15, "import lakemark": 0.05}


def cpu_seconds(arguments: list[str], folder: Path) -> float:
    """Return user and system CPU seconds of one process, its children included; byte code is kept, as it usually is."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    environment = kept | {"PYTHONPYCACHEPREFIX": str(folder / "bytecode")}
    process = subprocess.Popen(arguments, cwd=folder, env=environment, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise SystemExit(f"{arguments} ended with {process.returncode}")
    return usage.ru_utime + usage.ru_stime


def main() -> None:
    command = str(Path(sys.executable).with_name("lakemark"))
    python = sys.executable
    programs = {
        "python -c pass": [python, "-c", "pass"],
        "bare click program --version": [python, "-c", BARE_CLICK],
        "lakemark --version": [command, "--version"],
        "import lakemark": [python, "-c", "import lakemark"],
        "import lakemark; lakemark.start_run": [python, "-c", "import lakemark; lakemark.start_run"],
    }
    measured: dict[str, list[float]] = {name: [] for name in programs}
    with tempfile.TemporaryDirectory() as folder:
        for number in range(ROUNDS + 1):  # round by round, so that a busy moment meets all; the first fills the caches
            for name, arguments in programs.items():
                seconds = cpu_seconds(arguments, Path(folder))
                if number:
                    measured[name].append(seconds)
    bare = statistics.median(measured["python -c pass"])
    print(f"Python {platform.python_version()}, {os.cpu_count()} cores, median of {ROUNDS}; CPU seconds\n")
    print("| program | CPU s | over bare Python | budget | |")
    print("|---|---|---|---|---|")
    missed = False
    for name, values in measured.items():
        median, budget = statistics.median(values), BUDGETS.get(name)
        # what a budget of `import lakemark` speaks of is the import, not the interpreter below it
        counted = median - bare if name.startswith("import") else median
        missed |= budget is not None and counted > budget
        verdict = "" if budget is None else "met" if counted <= budget else "MISSED"
        print(f"| `{name}` | {median:.3f} | {median - bare:+.3f} | {budget or ''} | {verdict} |")
    sys.exit(1 if missed else 0)


if __name__ == "__main__":
    main()
