#!/usr/bin/env bash
# The built wheel holds the three packages and works from an environment that has nothing else of ours.
# Use: tests/wheel_check.sh PYTHON
set -euo pipefail
python=$1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"$python" -m build --quiet --wheel --outdir "$work/dist" .
"$python" -m venv "$work/venv"
"$work/venv/bin/python" -m pip --disable-pip-version-check install --quiet "$work"/dist/confroute-*.whl
cd "$work"
venv/bin/python - <<'PY'
import importlib.resources as resources
import sys

import confroute
from confroute import MissingExtraError, Router
from confroute.testing import ScriptedEngine

for package in ("confroute", "confroute_langchain", "confroute_llamaindex"):
    spec = sys.modules.get(package) or __import__("importlib.util").util.find_spec(package)
    assert spec is not None, package
for package in ("confroute", "confroute_langchain", "confroute_llamaindex"):
    origin = __import__("importlib.util").util.find_spec(package).submodule_search_locations[0]
    assert "venv" in origin, origin
    assert (__import__("pathlib").Path(origin) / "py.typed").is_file(), f"{package} has no py.typed"
assert resources.files("confroute.demo").joinpath("demo.jsonl").is_file()
decision = Router(ScriptedEngine({"q": ("a", ["a"])})).decide([{"role": "user", "content": "q"}])
assert decision.record.route == "edge", decision
for missing in ("confroute_langchain", "confroute_llamaindex"):
    try:
        __import__(missing)
    except MissingExtraError as error:
        assert "pip install 'confroute[" in str(error), error
    else:
        raise AssertionError(f"{missing} imported without its extra")
try:
    confroute.resolve_edge("some/checkpoint")
except MissingExtraError as error:
    assert "confroute[transformers]" in str(error), error
else:
    raise AssertionError("the transformers engine came up without its extra")
PY
venv/bin/confroute --version
if venv/bin/confroute demo 2> error.txt; then echo "demo ran without its extra"; exit 1; fi
grep -q "pip install 'confroute\[demo\]'" error.txt
echo "wheel: ok"
