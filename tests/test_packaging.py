"""What the packages promise as packages: light imports, one copy of each class, short files."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from importlib.metadata import metadata, requires
from pathlib import Path

import pytest

import confroute

ROOT = Path(__file__).parents[1]
PACKAGES = [ROOT / "shared" / "confroute", ROOT / "confroute_langchain", ROOT / "confroute_llamaindex"]
FILES = sorted(path for package in PACKAGES for path in package.rglob("*.py"))
CORE = [path for path in FILES if PACKAGES[0] in path.parents]

HEAVY = {
    "gguf", "langchain", "langchain_core", "llama_index", "numpy", "openai", "pydantic", "rich", "safetensors",
    "sklearn", "torch", "transformers", "typer", "xllamacpp",
}  # fmt: skip

each_file = pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))


def imported(path: Path) -> set[str]:
    """The modules that a file imports anywhere, in functions too."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
    return names


def test_import_is_light() -> None:
    """`import confroute` in a fresh process loads no framework, no torch, and nothing that opens a network."""
    program = "import json, sys, confroute; print(json.dumps(sorted({name.split('.')[0] for name in sys.modules})))"
    output = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)  # noqa: S603
    assert HEAVY.intersection(json.loads(output.stdout)) == set()
    assert output.stderr == ""


def test_an_extra_that_an_error_names_can_be_installed() -> None:
    """Each is declared."""
    named = {
        keyword.value.value
        for path in FILES
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "require"
        for keyword in node.keywords
        if keyword.arg == "extra" and isinstance(keyword.value, ast.Constant)
    }
    declared = set(metadata("confroute").get_all("Provides-Extra") or ())
    assert {"init", "langchain", "train"} <= named <= declared


def test_public_names() -> None:
    """`__all__` is sorted, without repetition, and each name exists."""
    assert confroute.__all__ == sorted(set(confroute.__all__))
    for name in confroute.__all__:
        assert getattr(confroute, name) is not None


def test_one_copy_of_each_class() -> None:
    """The core is imported by its own name, never through its folder."""
    assert "shared.confroute" not in sys.modules
    assert Path(confroute.__file__).parent == PACKAGES[0]


@each_file
def test_file_does_not_import_the_folder(path: Path) -> None:
    """`shared.confroute` would be a second copy of every class."""
    assert "shared.confroute" not in path.read_text(encoding="utf-8")


@each_file
def test_file_is_short(path: Path) -> None:
    """At most 400 lines: one noun a file."""
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 400


@each_file
def test_file_holds_no_machine_path(path: Path) -> None:
    """A path of the machine it was written on means nothing on another."""
    assert not re.search(r"[\"'](?:/(?:home|root|work|Users)/|C:\\\\)", path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("path", CORE, ids=lambda path: str(path.relative_to(ROOT)))
def test_core_knows_no_framework(path: Path) -> None:
    """The core imports neither framework nor adapter; the demo and the command line may run an adapter's."""
    if {"demo", "cli.py"}.intersection(path.relative_to(PACKAGES[0]).parts):
        return
    frameworks = ("langchain", "llama_index", "confroute_langchain", "confroute_llamaindex")
    assert [name for name in imported(path) if name.startswith(frameworks)] == []


@pytest.mark.parametrize("package", PACKAGES, ids=lambda package: package.name)
def test_package_is_typed(package: Path) -> None:
    """Type checkers read a package's annotations only beside a py.typed."""
    assert (package / "py.typed").is_file()


def test_heavy_packages_are_optional() -> None:
    """What `import confroute` must not load is not installed without an extra, but for the command line's two."""
    plain = {re.split(r"[^\w-]", line)[0].replace("-", "_") for line in requires("confroute") or () if ";" not in line}
    assert plain & (HEAVY - {"rich", "typer"}) == set()


def test_changelog_names_the_version() -> None:
    """The version that is released has an entry, once there is a changelog."""
    changelog = ROOT / "CHANGELOG.md"
    if changelog.exists():
        version = confroute.__version__.split(".dev")[0]
        assert re.search(rf"{re.escape(version)}|Unreleased", changelog.read_text(encoding="utf-8"))
