"""The documents say what the code does: links lead somewhere, examples are accepted as they stand.

Nothing here loads torch: what a recipe may say is read from the sources of its tables.
"""

import ast
import doctest
import importlib.util
import json
import re
import shlex
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer

from deeppneumonia.cli import app
from deeppneumonia.datasets import AugmentConfig
from deeppneumonia.datasets.manifest import OPTIONAL, REQUIRED
from deeppneumonia.evaluation import evaluation_report
from deeppneumonia.evaluation.metrics import METRICS
from deeppneumonia.preprocessing import PreprocessConfig

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "deeppneumonia"
DOCS = ROOT / "docs"
REFERENCE = DOCS / "reference"
PAGES = [*sorted(ROOT.glob("[RC]*.md")), *sorted(DOCS.rglob("*.md"))]

FENCE = re.compile(r"^(?P<indent> *)```(?P<language>[^\n]*)\n(?P<text>.*?)^ *```$", re.M | re.S)
LINK = re.compile(r"\[[^\]]*\]\((?P<target>[^)\s]+)\)")


@dataclass(frozen=True)
class Block:
    """One fenced block of a page."""

    page: Path
    number: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}-{self.number}"


def blocks_of(page: Path) -> Iterator[Block]:
    for number, found in enumerate(FENCE.finditer(page.read_text()), start=1):
        text = re.sub(f"^{found['indent']}", "", found["text"], flags=re.M)
        yield Block(page, number, found["language"].strip(), text)


def prose_of(page: Path) -> str:
    return FENCE.sub("", page.read_text())


def anchors_of(page: Path) -> set[str]:
    """What GitHub calls the headings of a page."""
    titles = re.findall(r"^#+ +(.+?) *$", prose_of(page), re.M)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def section(page: Path, title: str) -> str:
    """The text under one heading, up to the next heading of its level or above."""
    level = title.partition(" ")[0]
    _, found, rest = page.read_text().partition(f"\n{title}\n")
    assert found, f"{page.name} has no heading {title}"
    return re.split(rf"^#{{1,{len(level)}}} ", rest, maxsplit=1, flags=re.M)[0]


def rows_of(text: str) -> list[list[str]]:
    """The cells of the rows of all tables, their headings left out; none of ours holds a bar."""
    tables = re.findall(r"^\|[^\n]*\n\|[-|]+\n((?:\|[^\n]*\n?)+)", text, re.M)
    lines = [line for table in tables for line in table.splitlines()]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def words_in(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


BLOCKS = [block for page in PAGES for block in blocks_of(page)]


def in_language(*names: str) -> list[Block]:
    return [block for block in BLOCKS if block.language in names]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_relative_link_leads_somewhere(page: Path) -> None:
    for link in LINK.finditer(prose_of(page)):
        target, _, anchor = link["target"].partition("#")
        if re.match(r"[a-z]+:", target):
            continue
        file = (page.parent / target).resolve() if target else page
        assert file.exists(), f"{link[0]} leads nowhere"
        assert not anchor or anchor in anchors_of(file), f"{link[0]} has no such heading"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_pages_name_neither_machines_nor_registries(page: Path) -> None:
    assert not re.search(r"(?<![\w.])/(work|root|tmp|home)/|pypi|npmjs|anaconda", page.read_text())


@pytest.mark.parametrize("page", sorted(DOCS.rglob("*.md")), ids=lambda page: page.stem)
def test_every_page_can_be_reached_from_the_map(page: Path) -> None:
    reached, waiting = set(), [DOCS / "README.md"]
    while waiting:
        here = waiting.pop()
        if here in reached or here.suffix != ".md":
            continue
        reached.add(here)
        links = (link["target"].partition("#")[0] for link in LINK.finditer(prose_of(here)))
        waiting += [(here.parent / link).resolve() for link in links if link and ":" not in link]
    assert page in reached or page.parent.name == "models"  # cards are found by `models list`


def commands_of(block: Block) -> Iterator[list[str]]:
    for line in block.text.replace("\\\n", " ").splitlines():
        words = shlex.split(line, comments=True)
        if words and words[0].removeprefix(".venv/bin/") == "deeppneumonia":
            yield words[1:]


SHOWN = [words for block in in_language("", "sh", "bash") for words in commands_of(block)]


@pytest.mark.parametrize("words", SHOWN, ids=" ".join)
def test_every_command_shown_is_accepted(words: list[str]) -> None:
    command: Any = typer.main.get_command(app)
    if words[:1] == ["--limits"]:  # the one option that stands before a command
        words = words[2:]
    while words and hasattr(command, "commands") and words[0] != "--help":
        assert words[0] in command.commands, f"there is no command {words[0]}"
        command, words = command.commands[words[0]], words[1:]
    if "--help" not in words:
        command.make_context(command.name, list(words))  # parses, and runs nothing


def verbs(command: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Every command with its whole name, such as `models list`."""
    if not hasattr(command, "commands"):
        yield name, command
        return
    for verb, below in command.commands.items():
        yield from verbs(below, f"{name} {verb}".strip())


VERBS = dict(verbs(typer.main.get_command(app)))


def test_the_reference_has_every_command_and_no_other() -> None:
    titles = re.findall(r"^## `(.+)`$", (REFERENCE / "cli.md").read_text(), re.M)
    assert sorted(titles) == sorted(VERBS)


@pytest.mark.parametrize("verb", sorted(VERBS))
def test_the_reference_has_every_option_and_no_other(verb: str) -> None:
    text = section(REFERENCE / "cli.md", f"## `{verb}`")
    told = {word for row in rows_of(text) for word in words_in(row[0])}
    assert told == {name for option in VERBS[verb].params for name in option.opts if "-" in name}


@pytest.mark.parametrize("block", in_language("json"), ids=str)
def test_every_json_block_is_json(block: Block) -> None:
    json.loads(block.text)


@pytest.mark.parametrize("block", in_language("python"), ids=str)
def test_every_python_block_compiles_and_its_results_are_right(block: Block) -> None:
    if ">>>" not in block.text:
        compile(block.text, str(block), "exec")
        return
    example = doctest.DocTestParser().get_doctest(block.text, {}, str(block), None, 0)
    assert doctest.DocTestRunner().run(example).failed == 0


def train_config() -> Any:
    """The class, loaded from its own file, since the package it lies in brings torch along."""
    name = "train_config_of_test_docs"
    spec = importlib.util.spec_from_file_location(name, PACKAGE / "training" / "config.py")
    assert spec and spec.loader
    sys.modules[name] = module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.TrainConfig


def literal_or_dots(node: ast.expr | None) -> Any:
    return ast.literal_eval(node) if isinstance(node, ast.Constant | ast.Tuple) else ...


def entries_of(class_name: str) -> dict[str, Any]:
    """Fields of a class of workflows/recipes.py with their defaults, without importing it."""
    tree = ast.parse((PACKAGE / "workflows" / "recipes.py").read_text())
    (found,) = (n for n in tree.body if isinstance(n, ast.ClassDef) and n.name == class_name)
    return {
        ast.unparse(node.target): literal_or_dots(node.value)
        for node in found.body
        if isinstance(node, ast.AnnAssign)
    }


def configures_the_server(block: Block) -> bool:
    return block.language == "toml" and not {"server", "dicom_node"}.isdisjoint(
        tomllib.loads(block.text)
    )


@pytest.mark.parametrize("block", [one for one in BLOCKS if configures_the_server(one)], ids=str)
def test_every_toml_block_of_the_server_is_a_configuration(block: Block, tmp_path: Path) -> None:
    pytest.importorskip("sqlalchemy", reason="the extra [serve] is not installed")
    from deeppneumonia.server.dicom_settings import NodeSettings
    from deeppneumonia.server.settings import Settings

    (tmp_path / "archive").write_text("Bearer token")  # read when settings are loaded
    text = block.text.replace("/etc/deeppneumonia/archive", str(tmp_path / "archive"))
    (tmp_path / "config.toml").write_text(text)
    Settings.from_toml(tmp_path / "config.toml")
    NodeSettings.from_toml(tmp_path / "config.toml")


@pytest.mark.parametrize(
    "block", [one for one in in_language("toml") if not configures_the_server(one)], ids=str
)
def test_every_toml_block_is_part_of_a_recipe(block: Block) -> None:
    table = tomllib.loads(block.text)
    assert set(table) <= set(entries_of("Recipe"))
    assert set(table.get("data", {})) <= set(entries_of("DataConfig"))
    PreprocessConfig.from_dict(table.get("preprocessing", {}))
    AugmentConfig(**table.get("augmentation", {}))
    train_config().from_dict(table.get("training", {}))
    if "model" in table:
        assert table["model"] in network_names()


def defaults_told(text: str) -> dict[str, Any]:
    """The entries of a table of entry, default and meaning; `...` for a required one."""
    told = {}
    for row in rows_of(text):
        default = {"required": ..., "none": None}.get(row[1])
        if words_in(row[1]):
            default = tomllib.loads(f"value = {words_in(row[1])[0]}")["value"]
        told[words_in(row[0])[0]] = tuple(default) if isinstance(default, list) else default
    return told


def test_the_page_of_the_server_has_every_setting_with_its_default() -> None:
    pytest.importorskip("sqlalchemy", reason="the extra [serve] is not installed")
    from deeppneumonia.server.settings import Settings

    told = defaults_told(section(DOCS / "how-to" / "serve.md", "## Settings"))
    assert told == {entry.name: entry.default for entry in fields(Settings)}


@pytest.mark.parametrize("name", ["data", "preprocessing", "augmentation", "training"])
def test_the_recipe_page_has_every_entry_with_its_default(name: str) -> None:
    configs = {
        "preprocessing": PreprocessConfig, "augmentation": AugmentConfig, "training": train_config()
    }  # fmt: skip
    if name == "data":
        expected = entries_of("DataConfig")
    else:
        expected = {entry.name: entry.default for entry in fields(configs[name])}
    assert defaults_told(section(REFERENCE / "recipe.md", f"## `[{name}]`")) == expected


def network_names() -> set[str]:
    registry = (PACKAGE / "models" / "registry.py").read_text()
    return set(re.findall(r'^    "([\w-]+)": (?:\w+|\(\w+, "[\w-]+"\)),$', registry, re.M))


def test_the_networks_page_has_every_network() -> None:
    rows = rows_of((REFERENCE / "networks.md").read_text())
    assert {words_in(row[0])[0] for row in rows} == network_names()


def keys_of(node: dict[str, Any], definitions: dict[str, Any], above: str = "") -> Iterator[str]:
    """Every key that the schema names, written as in `slices[].details[].box`."""
    node = definitions[node["$ref"].rpartition("/")[2]] if "$ref" in node else node
    if node.get("type") == "array":
        yield from keys_of(node["items"], definitions, f"{above}[]")
    for name, below in node.get("properties", {}).items():
        key = f"{above}.{name}" if above else name
        yield key
        yield from keys_of(below, definitions, key)


def test_the_result_page_has_every_key_of_the_schema_and_no_other() -> None:
    rows = rows_of(section(REFERENCE / "result-json.md", "## Keys"))
    schema = json.loads((PACKAGE / "reports" / "templates" / "result.schema.json").read_text())
    expected = list(keys_of(schema, schema["$defs"]))
    assert sorted(words_in(row[0])[0] for row in rows) == sorted(expected)
    (example,) = (block for block in in_language("json") if block.page.name == "result-json.md")
    assert list(json.loads(example.text)) == schema["required"]


def test_the_result_page_has_every_flag_and_no_other() -> None:
    sources = [file.read_text() for file in PACKAGE.rglob("*.py")]
    raised = {code for text in sources for code in re.findall(r'QualityFlag\(\s*"(\w+)"', text)}
    rows = rows_of(section(REFERENCE / "result-json.md", "## Flags"))
    assert {words_in(row[0])[0] for row in rows} == raised


def test_the_metrics_page_has_every_key_and_metric() -> None:
    page = REFERENCE / "metrics.md"
    answers = np.array([[0.8, 0.2], [0.3, 0.7]])
    report = evaluation_report(np.array([0, 1]), answers, ["a", "b"], ["ill", "well"], repeats=2)
    by_workflow = "checkpoint manifest_sha256 split refusals training_patients indeterminate"
    added = set(by_workflow.split())
    keys = {word for row in rows_of(section(page, "## metrics.json")) for word in words_in(row[0])}
    assert keys == set(report) | added
    metrics = {words_in(row[0])[0] for row in rows_of(section(page, "## Conventions"))}
    assert metrics == set(METRICS)


def test_the_manifest_page_has_every_column() -> None:
    rows = rows_of((REFERENCE / "manifest.md").read_text())
    told = {words_in(row[0])[0]: row[1] for row in rows}
    assert told == dict.fromkeys(REQUIRED, "required") | dict.fromkeys(OPTIONAL, "optional")


def errors_of(folder: Path) -> set[str]:
    pattern = re.compile(r"^class (\w+Error)\(", re.M)
    return {name for file in folder.rglob("*.py") for name in pattern.findall(file.read_text())}


def test_errors_are_named_as_the_code_names_them() -> None:
    named = {name for page in PAGES for name in re.findall(r"`(\w+Error)`", page.read_text())}
    assert named <= errors_of(PACKAGE)
    told = set(words_in((REFERENCE / "input-formats.md").read_text()))
    assert errors_of(PACKAGE / "readers") <= told
