from __future__ import annotations

import base64
import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from lakemark._base.canonical import Json, canonical
from lakemark.recorder.distributions import InstalledDistributions, normalize_name
from lakemark.recorder.environment import find_installed, loaded_files, observe_environment


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "site-packages"
    folder.mkdir()
    monkeypatch.setattr(sys, "path", [str(folder)])
    return folder


def install(
    site: Path, name: str, *, files: Mapping[str, str], requires: tuple[str, ...] = (), direct_url: str | None = None
) -> None:
    info = f"{name}-1.0.dist-info"
    lines = [f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n"]
    lines += [f"Requires-Dist: {requirement}\n" for requirement in requires]
    metadata = "".join(lines) + "\nRequires-Dist: only-prose\n"
    every = {**files, f"{info}/METADATA": metadata, f"{info}/INSTALLER": "pip"}
    if direct_url is not None:
        every[f"{info}/direct_url.json"] = direct_url
    record = []
    for path, content in every.items():
        place = site / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(content)
        os.utime(place, (1_600_000_000, 1_600_000_000))
        digest = base64.urlsafe_b64encode(hashlib.sha256(content.encode()).digest()).rstrip(b"=").decode()
        record.append(f'"{path}",sha256={digest},{len(content)}' if "," in path else f"{path},sha256={digest},1")
    record += [f"{info}/RECORD,,", "../../bin/tool,sha256=AAAA,3", "__pycache__/a.cpython-311.pyc,,"]
    (site / info / "RECORD").write_text("\n".join(record) + "\n")


def module(name: str, path: Path | None) -> ModuleType:
    made = ModuleType(name)
    if path is not None:
        made.__file__ = str(path)
    return made


def packages(environment: Mapping[str, Json]) -> dict[str, dict[str, Any]]:
    listed = environment["packages"]
    assert isinstance(listed, list)
    return {package["name"]: package for package in listed}


def test_loaded_packages_and_what_they_need_are_listed(site: Path) -> None:
    install(
        site,
        "Used_Thing",
        files={"used/__init__.py": "u"},
        requires=("needed>=1; python_version<'99'", "gone", 'fancy ; extra == "all"'),
    )
    install(site, "needed", files={"needed.py": "n"}, requires=("deeper (>=2)",))
    install(site, "deeper", files={"deeper.py": "d"}, requires=("used.thing",))
    for name in ("fancy", "only-prose", "unused", "lakemark"):
        install(site, name, files={f"{name}.py": "x"})
    modules = {"used": module("used", site / "used" / "__init__.py"), "lakemark": module("x", site / "lakemark.py")}
    environment = observe_environment(modules)
    assert list(packages(environment)) == ["deeper", "needed", "used-thing"]
    package = packages(environment)["used-thing"]
    assert (package["version"], package["modified"], package["local"]) == ("1.0", [], False)
    assert len(package["record_sha256"]) == 64
    assert canonical(environment)
    assert environment["libraries"] == []


def test_what_starts_with_every_process_is_no_choice_of_the_script(site: Path) -> None:
    install(site, "setuptools", files={"_distutils_hack/__init__.py": "", "setuptools/__init__.py": ""})
    hook = module("_distutils_hack", site / "_distutils_hack" / "__init__.py")
    assert packages(observe_environment({"_distutils_hack": hook})) == {}
    chosen = module("setuptools", site / "setuptools" / "__init__.py")
    assert list(packages(observe_environment({"_distutils_hack": hook, "setuptools": chosen}))) == ["setuptools"]


def test_this_very_process(tmp_path: Path) -> None:
    environment = observe_environment(installed=find_installed(cache=tmp_path / "cache.json"))
    assert {"python", "platform", "packages", "libraries", "instrument", "how"} == set(environment)
    python = environment["python"]
    assert isinstance(python, dict)
    assert python["version"] == ".".join(map(str, sys.version_info[:3]))
    assert "pytest" in packages(environment)
    assert "lakemark" not in packages(environment)
    assert "executable" not in json.dumps(environment)
    assert sys.prefix not in json.dumps(environment)


@pytest.mark.parametrize("cached", [True, False])
def test_an_edited_a_missing_and_an_untouched_file(site: Path, tmp_path: Path, *, cached: bool) -> None:
    cache = tmp_path / "cache" / "c.json" if cached else None
    install(site, "thing", files={"thing/__init__.py": "a = 1", "thing/b.py": "b", "thing/c.py": "c", "thing/d,e": ""})
    modules = {"thing": module("thing", site / "thing" / "__init__.py")}
    before = packages(observe_environment(modules, installed=find_installed(cache=cache)))["thing"]
    assert before["modified"] == []
    (site / "thing" / "__init__.py").write_text("a = 2")
    (site / "thing" / "c.py").unlink()
    (site / "thing-1.0.dist-info" / "INSTALLER").write_text("uv")
    after = packages(observe_environment(modules, installed=find_installed(cache=cache)))["thing"]
    assert after["modified"] == ["thing/__init__.py", "thing/c.py"]
    assert after["record_sha256"] == before["record_sha256"]
    assert packages(observe_environment(modules, installed=find_installed(cache=cache)))["thing"] == after


def test_an_edit_that_hides_its_time_is_found(site: Path, tmp_path: Path) -> None:
    install(site, "thing", files={"thing.py": "a = 1"})
    modules = {"thing": module("thing", site / "thing.py")}
    assert (
        packages(observe_environment(modules, installed=find_installed(cache=tmp_path / "c")))["thing"]["modified"]
        == []
    )
    (site / "thing.py").write_text("a = 2")
    os.utime(site / "thing.py", (1_600_000_000, 1_600_000_000))
    assert packages(observe_environment(modules, installed=find_installed(cache=tmp_path / "c")))["thing"][
        "modified"
    ] == ["thing.py"]


def test_the_cache_spares_reading_and_may_be_lost_or_broken(site: Path, tmp_path: Path) -> None:
    install(site, "thing", files={"thing.py": "a = 1"})
    modules = {"thing": module("thing", site / "thing.py")}
    cache = tmp_path / "c.json"
    expected = observe_environment(modules, installed=find_installed(cache=cache))
    known = json.loads(cache.read_text())
    (entry,) = known["verified"].values()
    entry["modified"] = ["from the cache"]
    cache.write_text(json.dumps(known))
    assert packages(observe_environment(modules, installed=find_installed(cache=cache)))["thing"]["modified"] == [
        "from the cache"
    ]
    for broken in ("", "[1]", '{"format": "older"}'):
        cache.write_text(broken)
        assert observe_environment(modules, installed=find_installed(cache=cache)) == expected


def test_a_new_name_of_an_installed_file_is_no_change(site: Path, tmp_path: Path) -> None:
    """Installers link files into new environments, which touches the time of status change of all names."""
    install(site, "thing", files={"thing.py": "a = 1"})
    os.link(site / "thing.py", tmp_path / "first")
    installed = InstalledDistributions([str(site)], cache=tmp_path / "c.json")
    installed.verify(installed.all["thing"])
    installed.save()
    before = (tmp_path / "c.json").read_bytes()
    os.link(site / "thing.py", tmp_path / "second")
    again = InstalledDistributions([str(site)], cache=tmp_path / "c.json")
    again.verify(again.all["thing"])
    again.save()
    assert (tmp_path / "c.json").read_bytes() == before


def test_the_identity_of_a_package_does_not_depend_on_who_installed_it(site: Path) -> None:
    install(site, "thing", files={"thing.py": "a = 1"})
    first = InstalledDistributions([str(site)]).verify(InstalledDistributions([str(site)]).all["thing"])
    record = site / "thing-1.0.dist-info" / "RECORD"
    lines = [line for line in record.read_text().splitlines() if "bin/tool" not in line and "pyc" not in line]
    record.write_text("\n".join(reversed(lines)) + "\nthing-1.0.dist-info/uv_cache.json,sha256=BBBB,1\n")
    installed = InstalledDistributions([str(site)])
    assert installed.verify(installed.all["thing"]) == first


def test_files_that_no_index_has_are_listed(site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project, lib, source = tmp_path / "project", tmp_path / "lib", tmp_path / "source"
    install(site, "thing", files={"thing/__init__.py": "t"})
    install(site, "copied", files={"copied/__init__.py": "c", "copied/data.json": "{}"}, direct_url=url(source / "c"))
    install(site, "linked", files={}, direct_url=url(source / "linked", editable=True))
    written = {
        project / "train.py": "",
        project / "credentials.py": "",
        lib / "pkg" / "sub" / "__init__.py": "",
        lib / "pkg" / "m.py": "",
        site / "thing" / "dropped_in.py": "",
        source / "linked" / "src" / "linked.py": "",
    }
    for path, text in written.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    monkeypatch.setattr(sys, "path", [str(project), str(lib), str(site)])
    modules = {
        "__main__": module("__main__", project / "train.py"),
        "credentials": module("credentials", project / "credentials.py"),
        "pkg": module("pkg", None),
        "pkg.sub": module("pkg.sub", lib / "pkg" / "sub" / "__init__.py"),
        "pkg.m": module("pkg.m", lib / "pkg" / "m.py"),
        "thing": module("thing", site / "thing" / "__init__.py"),
        "thing.dropped_in": module("thing.dropped_in", site / "thing" / "dropped_in.py"),
        "copied": module("copied", site / "copied" / "__init__.py"),
        "linked": module("linked", source / "linked" / "src" / "linked.py"),
        "json": json,
        "lakemark.recorder.environment": sys.modules["lakemark.recorder.environment"],
        "gone": module("gone", tmp_path / "gone.py"),
    }
    found = {
        str(file["path"]).removeprefix(f"{tmp_path}/"): file for file in loaded_files(project=project, modules=modules)
    }
    info = "site-packages/{0}-1.0.dist-info/{1}"
    assert set(found) == {
        "project/train.py",
        "lib/pkg/sub/__init__.py",
        "lib/pkg/m.py",
        "site-packages/thing/dropped_in.py",
        "site-packages/copied/__init__.py",
        "site-packages/copied/data.json",
        "source/linked/src/linked.py",
        *(info.format(name, note) for name in ("copied", "linked") for note in ("METADATA", "INSTALLER", "RECORD")),
        *(info.format(name, "direct_url.json") for name in ("copied", "linked")),
    }
    roots = {path: str(file["import_root"]).removeprefix(f"{tmp_path}/") for path, file in found.items()}
    assert roots["project/train.py"] == "project"
    assert roots["lib/pkg/sub/__init__.py"] == roots["lib/pkg/m.py"] == "lib"
    assert roots["source/linked/src/linked.py"] == "source/linked/src"
    assert roots["site-packages/thing/dropped_in.py"] == "site-packages"
    assert found["lib/pkg/m.py"]["module"] == "pkg.m"
    assert found["source/linked/src/linked.py"]["distribution"] == "linked"
    listed = packages(observe_environment(modules))
    assert {name: package["local"] for name, package in listed.items()} == {
        "copied": True,
        "linked": True,
        "thing": False,
    }


def url(folder: Path, *, editable: bool = False) -> str:
    return json.dumps({"url": folder.as_uri(), "dir_info": {"editable": editable} if editable else {}})


def test_two_distributions_share_a_name_space(site: Path) -> None:
    install(site, "cloud-a", files={"cloud/a/__init__.py": ""})
    install(site, "cloud-b", files={"cloud/b/__init__.py": ""})
    modules = {"cloud.b": module("cloud.b", site / "cloud" / "b" / "__init__.py")}
    assert list(packages(observe_environment(modules))) == ["cloud-b"]


def test_old_forms_of_distributions(site: Path) -> None:
    (site / "old-2.0.egg-info").mkdir()
    (site / "old-2.0.egg-info" / "PKG-INFO").write_text("Name: old\nVersion: 2.0\n")
    (site / "old-2.0.egg-info" / "top_level.txt").write_text("old\n")
    (site / "flat-3.0.egg-info").write_text("Name: flat\nVersion: 3.0\n")
    (site / "broken-1.0.dist-info").mkdir()
    modules = {"old": module("old", site / "old.py")}
    assert packages(observe_environment(modules)) == {
        "old": {"name": "old", "version": "2.0", "record_sha256": None, "modified": [], "local": False}
    }
    assert InstalledDistributions([str(site)]).all["flat"].version == "3.0"


def test_lazy_modules_are_not_woken(site: Path) -> None:
    class Lazy(ModuleType):
        def __getattribute__(self, name: str) -> Any:
            raise AssertionError(name)

    assert loaded_files(project=site, modules={"lazy": Lazy("lazy"), "odd": 3}) == []  # type: ignore[dict-item]  # it happens


def test_only_the_standard_library_is_needed() -> None:
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]);"
        "from pathlib import Path;"
        "from lakemark.recorder.environment import observe_environment, loaded_files;"
        "from lakemark.recorder.compute import observe_compute;"
        "observe_environment(); loaded_files(project=Path('.')); observe_compute();"
        "print(*{name.partition('.')[0] for name in sys.modules} - sys.stdlib_module_names)"
    )
    source = Path(__file__).parents[3] / "src"
    done = subprocess.run([sys.executable, "-SIc", code, str(source)], capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) == {"lakemark", "__main__"}


def test_names_are_normalised() -> None:
    assert normalize_name("scikit_learn") == "scikit-learn"
