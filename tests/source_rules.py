"""What a source file imports and reads, found in its syntax tree. Nothing is run.

Sources are given as a mapping from the path in the project ("recsys/ids.py") to the text.
Imports inside functions and under TYPE_CHECKING count like any other.
"""

import ast
from collections.abc import Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import PurePosixPath

CLOCK_AND_ENVIRONMENT = {
    "datetime.date.today",
    "datetime.datetime.now",
    "datetime.datetime.today",
    "datetime.datetime.utcnow",
    "os.environ",
    "os.environb",
    "os.getenv",
    "time.ctime",
    "time.gmtime",
    "time.localtime",
    "time.time",
    "time.time_ns",
}
PICKLES = {"cloudpickle", "dill", "joblib", "marshal", "pickle", "shelve"}


def module_name(path: str) -> str:
    """recsys/dataset/__init__.py is recsys.dataset."""
    parts = PurePosixPath(path).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(path: str, source: str) -> Iterator[tuple[int, str]]:
    """Line and dotted name of everything that is imported; `from a import b` gives a.b."""
    package = module_name(path).split(".")
    if not path.endswith("__init__.py"):
        package = package[:-1]
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            base = [*above, *([node.module] if node.module else [])]
            yield from ((node.lineno, ".".join([*base, alias.name])) for alias in node.names)
        elif isinstance(node, ast.Call) and _called(node) in {"import_module", "__import__"}:
            name = (
                node.args[0].value if node.args and isinstance(node.args[0], ast.Constant) else ""
            )
            yield node.lineno, str(name) or "(a name that is computed)"


def _called(node: ast.Call) -> str:
    function = node.func
    if isinstance(function, ast.Attribute):
        return function.attr
    return function.id if isinstance(function, ast.Name) else ""


def foreign_imports(
    sources: Mapping[str, str], *, ours: set[str], allowed: set[str], never: set[str]
) -> list[str]:
    """Imports of a part of ours that is not allowed, of anything in `never`, or of a computed name.

    `never` names whole packages or dotted modules.
    """
    found = []
    for path, source in sources.items():
        for line, name in imports(path, source):
            top = name.partition(".")[0]
            banned = any(name == word or name.startswith(f"{word}.") for word in never)
            if banned or (top in ours and top not in allowed) or name.startswith("("):
                found.append(f"{path}:{line} imports {name}")
    return found


def dependencies(sources: Mapping[str, str]) -> dict[str, set[str]]:
    """For each module, the modules among `sources` that it imports, at any depth of its code."""
    modules = {module_name(path) for path in sources}
    graph: dict[str, set[str]] = {}
    for path, source in sources.items():
        edges = graph.setdefault(module_name(path), set())
        for _, name in imports(path, source):
            # from a import b: b is a module, or a name in the module a
            target = name if name in modules else name.rpartition(".")[0]
            if target in modules:
                edges.add(target)
    return graph


def cycle(sources: Mapping[str, str]) -> list[str]:
    """One import cycle, first module repeated at its end; empty when there is none."""
    try:
        TopologicalSorter(dependencies(sources)).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def reached(sources: Mapping[str, str], start: set[str]) -> set[str]:
    """Paths of the modules in `start` (paths) and of all that they import in turn."""
    graph = dependencies(sources)
    paths = {module_name(path): path for path in sources}
    seen: set[str] = set()
    waiting = [module_name(path) for path in start]
    while waiting:
        module = waiting.pop()
        if module not in seen:
            seen.add(module)
            waiting.extend(graph[module])
    return {paths[module] for module in seen}


def readings(path: str, source: str, *, of: set[str]) -> list[tuple[int, str]]:
    """Line and dotted name of each use of a name in `of`, whatever it was imported as.

    A mention counts as a use: a function handed over as a default reads the clock too.
    """
    tree = ast.parse(source)
    origins: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                name = alias.asname or alias.name.partition(".")[0]
                origins[name] = alias.name if alias.asname else name
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            for alias in node.names:
                origins[alias.asname or alias.name] = f"{node.module}.{alias.name}"
    return [
        (node.lineno, name)
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute | ast.Name) and (name := _origin(node, origins)) in of
    ]


def _origin(node: ast.expr, origins: Mapping[str, str]) -> str:
    """`dt.now` is datetime.datetime.now after `from datetime import datetime as dt`."""
    if isinstance(node, ast.Name):
        return origins.get(node.id, "")
    if isinstance(node, ast.Attribute) and (base := _origin(node.value, origins)):
        return f"{base}.{node.attr}"
    return ""


def pickling(path: str, source: str) -> list[str]:
    """Imports of pickle and its kin, and arrays loaded with `allow_pickle`."""
    found = [
        f"{path}:{line} imports {name}"
        for line, name in imports(path, source)
        if name.partition(".")[0] in PICKLES
    ]
    found += [
        f"{path}:{node.lineno} allows pickles in an array"
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.keyword)
        and node.arg == "allow_pickle"
        and not _is_false(node.value)
    ]
    return found


def _is_false(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is False
