"""Size report: how long files and functions are, against the house's rules of thumb. Fails only on gross outliers."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

FILE_SMELL, FUNCTION_SMELL = 300, 50
FILE_LIMIT, FUNCTION_LIMIT = 450, 90


def functions(path: Path) -> list[tuple[int, str]]:
    """(lines, name) of each function in a file, without its docstring."""
    out = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[1] if ast.get_docstring(node) and len(node.body) > 1 else node.body[0]
            out.append(((node.end_lineno or first.lineno) - first.lineno + 1, f"{path}:{node.lineno} {node.name}"))
    return out


def main() -> int:
    paths = [p for top in ("app", "pipelines") for p in sorted(Path(top).rglob("*.py")) if "_pb2" not in p.name]
    files = sorted((len(p.read_text().splitlines()), str(p)) for p in paths)
    defs = sorted(f for p in paths for f in functions(p))
    tests = sum(len(p.read_text().splitlines()) for p in Path("tests").rglob("*.py"))
    print(
        f"sizes: {len(files)} files, {sum(n for n, _ in files)} lines (tests {tests}), "
        f"median file {files[len(files) // 2][0]}, median function {defs[len(defs) // 2][0]}"
    )
    for label, items, smell in (("file", files, FILE_SMELL), ("function", defs, FUNCTION_SMELL)):
        for lines, name in items:
            if lines > smell:
                print(f"  long {label}: {lines} {name}")
    return int(files[-1][0] > FILE_LIMIT or defs[-1][0] > FUNCTION_LIMIT)


if __name__ == "__main__":
    sys.exit(main())
