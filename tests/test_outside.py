"""Methods that are not the suite's own: files and entry points, from their loading to a record and a row."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from benchmarks.catalog import split_method
from benchmarks.errors import UsageError
from benchmarks.methods import Method
from benchmarks.outside import Methods
from tests.small import home

ROOT = Path(__file__).parents[1]
EXAMPLE = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.S)[2]
PLAIN = """
from benchmarks.methods import Attachment, Method

class Mine(Method):
    name = "mine"
    def attach(self, model):
        return Attachment()
    def count(self, model):
        return 0

class Other:
    pass
"""


@pytest.fixture
def file(tmp_path):
    def write(text: str = PLAIN, name: str = "mine.py") -> Path:
        path = tmp_path / name
        path.write_text(text)
        return path

    return write


def test_the_readmes_example_is_short():
    assert len(EXAMPLE.splitlines()) < 30


def test_a_class_in_a_file_is_a_method(file):
    methods, path = Methods(), file()
    found = methods.get(f"{path}:Mine")
    assert issubclass(found, Method) and found is methods.get(f"{path}:Mine") is methods.get("mine")
    origin = methods.origin("mine")
    assert origin.place == f"{path}:Mine" and origin.shown == "mine.py:Mine"  # no folder of the user's
    path.write_text(PLAIN.replace("return 0", "return 1 - 1"))
    assert methods.get(f"{path}:Mine") is not found and methods.origin("mine").sha256 != origin.sha256


def test_a_place_below_the_working_folder_is_told_in_full(file, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path.parent)
    methods = Methods()
    methods.get(f"{file()}:Mine")
    assert methods.origin("mine").shown == f"{tmp_path.name}/mine.py:Mine"


@pytest.mark.parametrize(
    "text, reference, message",
    [
        (PLAIN, "mine.py", "name the class too: .*mine.py:MyMethod"),
        (PLAIN, "mine.txt:Mine", "mine.txt is no Python file; write --method path/to/file.py:MyMethod"),
        (PLAIN, "none.py:Mine", "No such file or directory; write --method path/to/file.py:MyMethod"),
        (PLAIN, "mine.py:Yours", "has no 'Yours'; its methods are: Mine$"),
        (PLAIN, "mine.py:Other", "not a subclass of benchmarks.methods.Method"),
        (PLAIN.replace('"mine"', '"dora"'), "mine.py:Mine", "'dora' as one of the suite's own methods"),
        (PLAIN.replace('"mine"', '"../mine"'), "mine.py:Mine", "needs a name of small letters"),
        (PLAIN.replace('"mine"', '"con.1"'), "mine.py:Mine", "needs a name of small letters"),
        (PLAIN.replace('"mine"', '"Mine"'), "mine.py:Mine", "needs a name of small letters"),
        (PLAIN.replace('"mine"', '"mi\\u202ene"'), "mine.py:Mine", "needs a name of small letters"),
        (PLAIN.replace('"mine"', '"m" * 300'), "mine.py:Mine", "needs a name of small letters"),
        (PLAIN.replace('name = "mine"', ""), "mine.py:Mine", "needs a name of small letters"),
        ("import no_such_module", "mine.py:Mine", "does not import: ModuleNotFoundError: .*no_such_module"),
        ("class Mine(:", "mine.py:Mine", "does not import: SyntaxError"),
    ],
)
def test_what_is_no_method_is_refused_in_a_line(file, tmp_path, text, reference, message):
    file(text)
    methods = Methods()
    methods.add("dora", "benchmarks.methods.low_rank:Dora")
    with pytest.raises(UsageError, match=message) as error:
        methods.get(str(tmp_path / reference))
    assert "\n" not in str(error.value)


def test_a_file_in_a_folder_with_a_plus_takes_a_swap(tmp_path):
    folder = tmp_path / "a+b"
    folder.mkdir()
    (folder / "mine.py").write_text(PLAIN.replace('"mine"', '"mine-plus"'))
    assert split_method(f"{folder}/mine.py:Mine+swap") == ("mine-plus", True)
    assert split_method(f"{folder}/mine.py:Mine") == ("mine-plus", False)


@pytest.fixture
def package(tmp_path):
    """An environment's variables in which a package is installed that offers methods."""

    def install(**points: str) -> dict[str, str]:
        (tmp_path / "my_package.py").write_text(PLAIN)
        about = tmp_path / "my_package-1.0.dist-info"
        about.mkdir()
        (about / "METADATA").write_text("Metadata-Version: 2.1\nName: my-package\nVersion: 1.0\n")
        lines = "".join(f"{name.replace('_', '-')} = {value}\n" for name, value in points.items())
        (about / "entry_points.txt").write_text(f"[chanswap.methods]\n{lines}")
        return {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{tmp_path}"}

    return install


def python(code: str, env: dict[str, str]) -> str:
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], env=env, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_entry_points_are_methods_by_name(package):
    env = package(mine="my_package:Mine")
    code = """
        from benchmarks.catalog import METHODS, split_method
        print(split_method("mine+swap"), list(METHODS)[-1], METHODS.origin("mine").shown, METHODS.origin("mine").place)
    """
    assert python(code, env) == "('mine', True) mine my_package:Mine mine\n"
    listed = subprocess.run([sys.executable, "-m", "benchmarks", "list"], env=env, capture_output=True, text=True, cwd=ROOT)
    assert listed.returncode == 0 and re.search(r"^mine\b", listed.stdout, re.M)


def test_a_package_is_another_method_when_any_of_its_files_changes(package, tmp_path):
    env = package(mine="in_parts.method:Mine")
    folder = tmp_path / "in_parts"
    folder.mkdir()
    (folder / "__init__.py").touch()
    (folder / "method.py").write_text(PLAIN)
    code = "from benchmarks.catalog import METHODS; METHODS.get('mine'); print(METHODS.origin('mine').sha256)"
    found = [python(code, env)]
    for text in ("x = 1", "x = 2"):
        (folder / "layers.py").write_text(text)
        found.append(python(code, env))
    assert len(set(found)) == 3


def test_two_classes_of_one_name_are_refused(file):
    methods = Methods()
    methods.get(f"{file()}:Mine")
    with pytest.raises(UsageError, match="mine.py:Mine and other.py:Mine are both named 'mine'; give one of them another name"):
        methods.get(f"{file(name='other.py')}:Mine")


def test_a_broken_package_costs_no_list(package):
    env = package(mine="my_package:Gone", other_name="my_package:Mine", nameless="my_package:Other")
    listed = subprocess.run([sys.executable, "-m", "benchmarks", "list"], env=env, capture_output=True, text=True, cwd=ROOT)
    assert listed.returncode == 0
    assert "does not import: AttributeError" in listed.stdout and "give both one name" in listed.stdout
    assert "is a method named None" in listed.stdout
    assert re.search(r"^dora\b", listed.stdout, re.M)


def benchmarks(*words, cwd: Path) -> subprocess.CompletedProcess:
    code = "from tests.small import shrink; shrink(); import sys; from benchmarks.cli import main; sys.exit(main())"
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, words)], cwd=cwd, env=home(cwd / "home"), capture_output=True, text=True
    )


def test_the_readmes_example_keeps_the_contract_and_a_spoilt_one_does_not(tmp_path):
    (tmp_path / "ssf.py").write_text(EXAMPLE)
    (tmp_path / "spoilt.py").write_text(EXAMPLE.replace("torch.zeros(width)", "torch.ones(width)").replace('"ssf"', '"spoilt"'))
    done = benchmarks("check", "method", "ssf.py:Ssf", "spoilt.py:Ssf+swap", cwd=tmp_path)
    good, spoilt = done.stdout.split("spoilt.py:Ssf+swap\n")
    assert good.count("\n  ok ") == 10 and "keeps the contract" in good
    assert done.returncode == 1 and re.search(r"^  FAILED +start ", spoilt, re.M) and "breaks 1 of 10 clauses: start" in spoilt
    assert [p.name for p in (tmp_path / "home").iterdir()] == ["data"]  # the link that was there


def test_the_readmes_example_gets_its_row(tmp_path):
    """From the file to the leaderboard; a second call reads what is kept, a changed file does not."""
    (tmp_path / "ssf.py").write_text(EXAMPLE)
    words = ("run", "--task", "camo", "--results", tmp_path / "results", "--method")
    done = benchmarks(*words, "ssf.py:Ssf+swap", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    (path,) = (tmp_path / "results" / "community").rglob("*.json")
    record = json.loads(path.read_text())
    assert record["spec"]["method"] == "ssf+swap" and record["trainable"]["method"] == 6 * 2 * 128
    assert record["origin"]["place"] == "ssf.py:Ssf" and "--method ssf.py:Ssf+swap " in record["command"]
    page = next((tmp_path / "leaderboard").glob("mini-v1-camo-mini.md")).read_text()
    assert re.search(r"^\| ssf\+swap ", page, re.M)
    assert "cached" in benchmarks(*words, "ssf.py:Ssf+swap", cwd=tmp_path).stderr
    (tmp_path / "ssf.py").write_text(EXAMPLE.replace("torch.zeros(width)", "0 * torch.ones(width)"))
    again = benchmarks(*words, "ssf.py:Ssf+swap", cwd=tmp_path)
    assert "cached" not in again.stderr and "kept from earlier calls: evaluate base\n" in again.stderr
    (newer,) = {*(tmp_path / "results" / "community").rglob("*.json")} - {path}  # beside the other version's, not over it
    assert json.loads(path.read_text()) == record
    assert json.loads(newer.read_text())["origin"]["sha256"] != record["origin"]["sha256"]
    assert f"{path.name}: other version: " in (tmp_path / "leaderboard" / "README.md").read_text()


def test_a_sweep_takes_it_too_and_verified_does_not(tmp_path):
    (tmp_path / "ssf.py").write_text(EXAMPLE)
    words = (
        "sweep",
        "--tasks",
        "camo",
        "--seeds",
        "0",
        "--results",
        tmp_path / "results",
        "--methods",
        "ssf.py:Ssf",
        "--jobs",
        "1",
    )
    refused = benchmarks(*words, "--verified", cwd=tmp_path)
    assert refused.returncode == 2 and refused.stderr.count("\n") <= 4
    assert "for the suite's own methods; leave it out for ssf" in refused.stderr or "clean git checkout" in refused.stderr
    plan = benchmarks(*words, "--dry-run", cwd=tmp_path)
    assert plan.returncode == 0 and "ssf" in plan.stdout
    done = benchmarks(*words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr


def test_a_run_is_refused_where_the_code_is_no_longer_what_was_planned(tmp_path, monkeypatch):
    from dataclasses import replace

    from benchmarks.errors import RunFailed
    from benchmarks.plan import Request, plan
    from benchmarks.sweep import _same_code

    monkeypatch.setenv("CHANSWAP_HOME", str(tmp_path))
    path = tmp_path / "mine.py"
    path.write_text(PLAIN.replace('"mine"', '"changing"'))
    planned = plan(Request("camo", f"{path}:Mine"), 0)
    _same_code(planned)
    with pytest.raises(RunFailed, match="the code of changing or of the suite has changed since"):
        _same_code(replace(planned, code="0" * 16))
    path.write_text(path.read_text() + "\n")
    with pytest.raises(RunFailed, match="the code of changing or of the suite has changed since"):
        _same_code(planned)


def test_a_method_that_declares_nothing_says_so(tmp_path):
    (tmp_path / "mine.py").write_text(PLAIN)
    done = benchmarks("run", "--task", "camo", "--results", "results", "--method", "mine.py:Mine", cwd=tmp_path)
    assert done.returncode == 1 and "method mine declares nothing to train" in done.stderr and "Traceback" not in done.stderr
    (path,) = (tmp_path / "results").rglob("*.json")
    assert json.loads(path.read_text())["status"] == "failed"
