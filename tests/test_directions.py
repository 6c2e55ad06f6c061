"""Who may import whom, as docs/architecture.md says, read from the source with `ast`."""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("henasy", "indexer", "service", "benchmarks")

FORBIDDEN = {
    "henasy/": {"ray", "grpc", "grpc_health", "grpc_reflection", "henasy_api", "indexer", "service", "benchmarks"},
    "henasy/errors.py": {"henasy", "numpy", "torch"},
    "henasy/index/": {"torch"},
    "henasy/model/": {
        "henasy.checkpoint",
        "henasy.commands",
        "henasy.evaluation",
        "henasy.index",
        "henasy.losses",
        "henasy.scenes",
        "henasy.search",
        "henasy.text",
        "henasy.training",
        "henasy.video",
    },
    "henasy/losses/": {"henasy.model", "henasy.training", "henasy.index", "henasy.video", "henasy.checkpoint"},
    "henasy/video/": {"henasy.model", "henasy.index", "henasy.search", "henasy.training", "henasy.checkpoint"},
    "henasy/text/": {"henasy.model", "henasy.index", "henasy.video", "henasy.training", "torch"},
    "henasy/checkpoint/": {"henasy.training", "henasy.index", "henasy.search", "henasy.evaluation", "henasy.scenes"},
    "henasy/search/": {"henasy.training", "henasy.evaluation", "henasy.scenes", "henasy.model"},
    "henasy/evaluation/metrics/": {
        "torch",
        "henasy.checkpoint",
        "henasy.evaluation.ablation",
        "henasy.evaluation.encoding",
        "henasy.evaluation.machine",
        "henasy.evaluation.moments",
        "henasy.evaluation.own",
        "henasy.evaluation.pages",
        "henasy.evaluation.queries",
        "henasy.evaluation.rendered",
        "henasy.evaluation.span_tasks",
        "henasy.evaluation.tasks",
        "henasy.index",
        "henasy.search",
        "henasy.training",
    },
    "henasy/evaluation/annotations/": {
        "torch",
        "henasy.checkpoint",
        "henasy.evaluation.pages",
        "henasy.evaluation.rendered",
        "henasy.evaluation.tasks",
        "henasy.search",
        "henasy.training",
    },
    "henasy/scenes/": {"torch", "henasy.model", "henasy.training", "henasy.index", "henasy.search"},
    "indexer/": {"service", "benchmarks"},
    "service/": {"indexer", "benchmarks", "ray"},
    "benchmarks/": {"indexer", "service"},
}
"""By the start of a path: modules that nothing below it may import, not even inside a function."""

OWNERS = {
    "faiss": ("henasy/index/nearest.py",),
    "ray": ("indexer/ray_",),
    "decord": ("henasy/video/decord_decoder.py",),
    "panda3d": ("henasy/scenes/renderer.py",),
    "tokenizers": ("henasy/text/tokenizer.py", "henasy/text/wordpiece.py"),
    "ftfy": ("henasy/text/tokenizer.py",),
    "pycocotools": ("henasy/search/regions.py",),
    "huggingface_hub": ("henasy/checkpoint/locate.py",),
    "safetensors": (
        "henasy/checkpoint/adapter_folder.py",
        "henasy/checkpoint/folder.py",
        "henasy/checkpoint/weights.py",
        "henasy/heads/files.py",
    ),
    "scipy": ("henasy/losses/matching.py", "henasy/evaluation/ablation/report.py"),
    "peft": ("henasy/model/adapters.py",),
    "transformers": ("henasy/model/distilbert_dual.py", "henasy/text/chat_model.py"),
    "av": ("henasy/video/", "henasy/scenes/"),
    "pyarrow": ("henasy/index/", "henasy/training/", "indexer/metadata.py"),
    "torch.distributed": ("henasy/training/distributed.py",),
    "torch.utils.tensorboard": ("henasy/training/curves.py",),
    "ir_measures": ("henasy/evaluation/metrics/ranking_measures.py",),
    "grpc": ("service/",),
    "henasy_api": ("service/",),
}
"""The files, or the folders, that alone may import a heavy dependency; benchmarks may compare libraries."""

TORCH_FREE = ("henasy/index/", "henasy/video/", "henasy/text/", "henasy/scenes/")
TORCH_IN_VIDEO = "henasy/video/preprocess.py"


class Import(NamedTuple):
    """One imported module and where."""

    path: str
    line: int
    module: str
    is_at_import: bool
    """Whether importing the file imports the module: not inside a function or under TYPE_CHECKING."""


def source_files() -> list[Path]:
    return sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))


def imports_of(path: Path) -> list[Import]:
    relative = path.relative_to(ROOT).as_posix()
    package = path.relative_to(ROOT).parent.parts
    tree = ast.parse(path.read_text(encoding="utf-8"))
    found = []
    for node, is_at_import in _walk(tree, True):
        for module in _modules(node, package):
            found.append(Import(relative, node.lineno, module, is_at_import))
    return found


def _walk(node: ast.AST, is_at_import: bool) -> Iterator[tuple[ast.Import | ast.ImportFrom, bool]]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import | ast.ImportFrom):
            yield child, is_at_import
        is_typing = isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test)
        is_later = is_typing or isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        yield from _walk(child, is_at_import and not is_later)


def _modules(node: ast.Import | ast.ImportFrom, package: tuple[str, ...]) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    base = [*package[: len(package) - node.level + 1]] if node.level else []
    origin = ".".join([*base, *([node.module] if node.module else [])])
    # `from a import b` may name the module a.b
    return [origin, *(f"{origin}.{alias.name}" for alias in node.names)]


def _is_in(module: str, parent: str) -> bool:
    return module == parent or module.startswith(f"{parent}.")


@pytest.fixture(scope="module")
def imports() -> list[Import]:
    return [found for path in source_files() for found in imports_of(path)]


@pytest.mark.parametrize("start", FORBIDDEN)
def test_directions(imports: list[Import], start: str) -> None:
    wrong = [
        f"{found.path}:{found.line} imports {found.module}"
        for found in imports
        if found.path.startswith(start) and any(_is_in(found.module, module) for module in FORBIDDEN[start])
    ]
    assert not wrong


@pytest.mark.parametrize("package", OWNERS)
def test_heavy_dependencies_have_their_owners(imports: list[Import], package: str) -> None:
    users = [found for found in imports if _is_in(found.module, package) and not found.path.startswith("benchmarks/")]
    wrong = [f"{user.path}:{user.line}" for user in users if not user.path.startswith(OWNERS[package])]
    assert not wrong
    assert users, f"nothing imports {package} any more"


def test_faiss_is_imported_only_when_it_is_needed(imports: list[Import]) -> None:
    eager = [found for found in imports if found.is_at_import and _is_in(found.module, "faiss")]
    assert not [found for found in eager if not found.path.startswith("benchmarks/")]


def test_torch_free_parts_do_not_reach_torch(imports: list[Import]) -> None:
    by_path: dict[str, set[str]] = {}
    for found in imports:
        if found.is_at_import:
            by_path.setdefault(found.path, set()).add(found.module)
    files = {path.relative_to(ROOT).as_posix() for path in source_files()}
    for start in sorted(file for file in files if file.startswith(TORCH_FREE) and file != TORCH_IN_VIDEO):
        chain = _chain_to_torch(start, by_path, files)
        assert chain is None, " -> ".join(chain or [])


def _chain_to_torch(start: str, by_path: dict[str, set[str]], files: set[str]) -> list[str] | None:
    """The files through which importing `start` imports torch."""
    chains = [[start]]
    seen = {start}
    while chains:
        chain = chains.pop()
        for module in sorted(by_path.get(chain[-1], ())):
            if _is_in(module, "torch"):
                return [*chain, module]
            for file in _files_of(module, files) - seen:
                seen.add(file)
                chains.append([*chain, file])
    return None


def _files_of(module: str, files: set[str]) -> set[str]:
    """What importing a module runs: its file and the `__init__` of every package around it."""
    parts = module.split(".")
    around = {"/".join([*parts[:depth], "__init__.py"]) for depth in range(1, len(parts) + 1)}
    return (around | {f"{module.replace('.', '/')}.py"}) & files


def test_this_reads_every_kind_of_import(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(f"{__name__}.ROOT", tmp_path)
    file = tmp_path / "henasy" / "index" / "x.py"
    file.parent.mkdir(parents=True)
    file.write_text(
        "import torch.nn as nn\nfrom . import part\nfrom ..video.probe import probe\n"
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import ray\ndef f():\n    import grpc\n"
    )
    found = {(one.module, one.is_at_import) for one in imports_of(file)}
    assert {("torch.nn", True), ("ray", False), ("grpc", False), ("henasy.index.part", True)} <= found
    assert ("henasy.video.probe", True) in found
