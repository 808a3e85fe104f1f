"""Turn a module into bytecode in a C array, ``frozen``: what the start of the compiled probe runs.

Usage: freeze.py FILE OUT

What only people read is left out: annotations, docstrings, file names, line numbers. Run by the very Python whose
library the program is linked from, as the format of bytecode changes with every version.
"""

import ast
import marshal
import sys
from pathlib import Path
from types import CodeType


class Unannotate(ast.NodeTransformer):
    """Takes the annotations away."""

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        """Of arguments and results."""
        self.generic_visit(node)
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
        node.body = node.body or [ast.Pass()]
        return node


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


def main(source: Path, out: Path) -> None:
    """Write the bytecode of a module."""
    bare: ast.Module = Unannotate().visit(ast.parse(source.read_text("utf-8")))
    tree = ast.fix_missing_locations(bare)
    write_code(compile(tree, "", "exec", optimize=2, dont_inherit=True), out)


main(Path(sys.argv[1]), Path(sys.argv[2]))
