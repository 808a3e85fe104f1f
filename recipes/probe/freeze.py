"""Turn the probe's package into one module, and that into bytecode in a C array: what the frozen program runs.

Usage: freeze.py bytecode|source|portable PACKAGE OUT, or freeze.py module FILE OUT

The modules are merged into one, since a program without importlib cannot import its own. What only people read is left
out: annotations, docstrings, file names, line numbers. Run by the very Python whose library the program is linked from,
as the format of bytecode changes with every version. `portable` is the source for an interpreter that has the operating
system in a module of its own, `system`: the package's is left out.
"""

import ast
import marshal
import sys
from pathlib import Path
from types import CodeType

TYPING_ONLY = {"__future__", "typing", "collections.abc"}
PACKAGE = "probe."
SYSTEM = "system"
NEVER_FROZEN = {"__init__", "ssl_session"}
"""The second one is for a plain Python: no frozen program has an ssl module."""


def merge(directory: Path, *, portable: bool = False) -> ast.Module:
    """Return all modules as one, each after those that it imports."""
    left_out = NEVER_FROZEN | {SYSTEM} if portable else NEVER_FROZEN
    trees = {
        path.stem: ast.parse(path.read_text("utf-8"))
        for path in sorted(directory.glob("*.py"))
        if path.stem not in left_out
    }
    needs = {name: set(own_imports(tree)) - left_out for name, tree in trees.items()}
    order: list[str] = []
    while len(order) < len(trees):
        ready = sorted(name for name in trees if name not in order and needs[name] <= set(order))
        if not ready:
            sys.exit("freeze.py: the modules import each other in a circle")
        order += [name for name in ready if name != "__main__"] or ready
    body = [node for name in order for node in trees[name].body if not for_people(node)]
    if portable:
        names = sorted({name for tree in trees.values() for name in names_of_the_system(tree)})
        body.insert(0, ast.ImportFrom(SYSTEM, [ast.alias(name) for name in names], 0))
    return unannotated(ast.Module(body, []))


def unannotated(tree: ast.Module) -> ast.Module:
    """Return ``tree`` without annotations and docstrings, ready to be compiled."""
    bare: ast.Module = Unannotate().visit(tree)
    return ast.fix_missing_locations(bare)


def names_of_the_system(tree: ast.Module) -> list[str]:
    """Name what ``tree`` imports from the package's own module for the operating system."""
    return [
        alias.name
        for node in tree.body
        if isinstance(node, ast.ImportFrom) and node.module == PACKAGE + SYSTEM
        for alias in node.names
    ]


def own_imports(tree: ast.Module) -> list[str]:
    """Name the modules of the package that ``tree`` imports from."""
    return [
        (node.module or "").removeprefix(PACKAGE)
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(PACKAGE)
    ]


def for_people(node: ast.stmt) -> bool:
    """True for what means nothing in the merged module."""
    match node:
        case ast.ImportFrom(module=str(name)):
            return name.startswith(PACKAGE) or name in TYPING_ONLY
        case ast.Assign(targets=[ast.Name(id="__all__" | "TYPE_CHECKING")]):
            return True
        case ast.If(test=ast.Name(id="TYPE_CHECKING")):
            return True
        case ast.Expr(value=ast.Constant()):
            return True
        case _:
            return False


class Unannotate(ast.NodeTransformer):
    """Takes the annotations and docstrings away."""

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        """Of arguments and results."""
        self.generic_visit(node)
        undocument(node)
        node.returns = None
        words = node.args
        for word in (*words.posonlyargs, *words.args, *words.kwonlyargs, words.vararg, words.kwarg):
            if word is not None:
                word.annotation = None
        return node

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST | None:
        """Of variables."""
        self.generic_visit(node)
        return ast.Assign([node.target], node.value) if node.value else None

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        """A class of annotations alone is empty now."""
        self.generic_visit(node)
        undocument(node)
        return node


def undocument(node: ast.FunctionDef | ast.ClassDef) -> None:
    """Take the docstring away; what has no other body does nothing."""
    if ast.get_docstring(node, clean=False) is not None:
        del node.body[0]
    node.body = node.body or [ast.Pass()]


def lean(code: CodeType) -> CodeType:
    """Leave out what only a traceback shows."""
    constants = tuple(lean(one) if isinstance(one, CodeType) else one for one in code.co_consts)
    return code.replace(
        co_filename="", co_linetable=b"", co_qualname=code.co_name, co_consts=constants
    )


def write_code(code: CodeType, out: Path) -> None:
    """Write bytecode as a C array, ``frozen`` and its size."""
    data = marshal.dumps(lean(code))
    lines = [",".join(map(str, data[at : at + 24])) for at in range(0, len(data), 24)]
    out.write_text(
        "static const unsigned char frozen[] = {\n" + ",\n".join(lines) + "};\n", "ascii"
    )
    print(f"{out.name}: {len(data)} bytes of bytecode")


def main(what: str, source: Path, out: Path) -> None:
    """Do ``what``: bytecode or source of a package (for others' systems, too), bytecode of a single module."""
    match what:
        case "bytecode":
            write_code(compile(merge(source), "", "exec", optimize=2, dont_inherit=True), out)
        case "module":
            tree = unannotated(ast.parse(source.read_text("utf-8")))
            write_code(compile(tree, "", "exec", optimize=2, dont_inherit=True), out)
        case "source":
            out.write_text(ast.unparse(merge(source)) + "\n", "utf-8")
        case "portable":
            out.write_text(ast.unparse(merge(source, portable=True)) + "\n", "utf-8")
        case _:
            sys.exit(f"freeze.py: it is bytecode, module, source or portable, not {what}")


main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
