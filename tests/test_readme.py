"""Every Python block of the README runs, on the real edge model, and prints what it says it prints."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from confroute.demo.stand_in import stand_in_cloud

README = Path(__file__).parents[1] / "README.md"
BLOCKS = re.findall(r"^```python\n(.*?)^```", README.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)


def test_there_are_blocks() -> None:
    """The pattern finds the blocks, so that the tests below cannot pass on nothing."""
    assert len(BLOCKS) == README.read_text(encoding="utf-8").count("```python") >= 3


@pytest.mark.real_model
@pytest.mark.parametrize("block", BLOCKS, ids=[f"block{i}" for i in range(1, len(BLOCKS) + 1)])
def test_block_runs(block: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """The block runs as it stands against an OpenAI-compatible server on loopback; `# prints:` lines are its output."""
    for module in re.findall(r"^from (\S+) import", block, flags=re.MULTILINE):
        pytest.importorskip(module)
    settings = None
    if "llama_index" in block:
        from llama_index.core import Settings as settings  # noqa: N813

        monkeypatch.setattr(settings, "_llm", None)

    with stand_in_cloud({"What is the capital of Japan?": "Tokyo"}) as url:
        monkeypatch.setenv("OPENAI_API_KEY", "not-needed")
        for name in ("OPENAI_BASE_URL", "OPENAI_API_BASE"):
            monkeypatch.setenv(name, url)
        exec(compile(block, str(README), "exec"), {})  # noqa: S102

    printed = capsys.readouterr().out
    expected = "".join(f"{line}\n" for line in re.findall(r"^# prints: (.*)$", block, flags=re.MULTILINE))
    if expected:
        assert printed == expected
    else:
        assert "Tokyo" in printed
        assert re.search(r"\b(edge|cloud)\b", printed)


def test_the_file_tree_is_the_tree() -> None:
    """Each path that the README's tree names exists, and each module of the core is named."""
    text = README.read_text(encoding="utf-8")
    tree = re.search(r"```text\n(.*?)```", text, flags=re.DOTALL)
    assert tree is not None
    root, core = README.parent, README.parent / "shared/confroute"
    named = re.findall(r"^( *)([\w./]+)", tree[1], flags=re.MULTILINE)
    for indent, name in named:
        assert ((core if indent else root) / name).exists(), name
    inside = {name.rstrip("/") for indent, name in named if indent}
    modules = {path.name for path in core.iterdir() if path.name[0] not in "_." and path.name != "py.typed"}
    assert inside == modules
