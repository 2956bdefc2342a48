"""Which small faults in a formula would the tests notice? Each is made in a copy of the package, and tests are run on it.

python tools/mutants.py [MODULE ...]    such as laws.tiling models.ops (default: all laws and models)
    --each N    faults of a module, drawn with --seed; 0: all there are
    --list      the faults, without running anything
    --prove-red two wrong formulas, which a test by hand and a budget must notice: see prove_red.py

A fault is another operator, comparison or constant, a condition turned round, arguments or branches swapped, or a
term left out. It is asked of the tests of the module's own wing that name it, and of its doctests. Docstrings,
errors, and what only shows or only speeds up are left alone. One process at a time; a child is forked for each.
"""

import argparse
import ast
import compileall
import copy
import os
import random
import re
import resource
import sys
import tempfile
from collections import Counter
from pathlib import Path

import hypothesis  # noqa: F401  imported here once, not by each child
import numpy  # noqa: F401
import pint  # noqa: F401
import prove_red
import pytest

ROOT = Path(__file__).resolve().parents[1]
WINGS = ("laws", "models")
SECONDS = 120  # of the processor, for the tests of one fault; one that hangs is noticed
DEAR = "not those_of_the_fit"  # a test that takes longer than all others, of what is fitted
SHOWS = {"kernels_shown", "_readable"}  # functions that only show
SIZES = {"TOGETHER", "REMEMBERED", "LONG", "WHOLE"}  # constants that only speed up
OPERATORS = {
    ast.Add: (ast.Sub,),
    ast.Sub: (ast.Add,),
    ast.Mult: (ast.Div,),
    ast.Div: (ast.Mult,),
    ast.FloorDiv: (ast.Mult,),
    ast.Mod: (ast.Mult,),
    ast.Pow: (ast.Mult,),
    ast.BitAnd: (ast.BitOr,),
    ast.BitOr: (ast.BitAnd,),
}
COMPARISONS = {
    ast.Lt: (ast.GtE, ast.LtE),
    ast.LtE: (ast.Gt, ast.Lt),
    ast.Gt: (ast.LtE, ast.GtE),
    ast.GtE: (ast.Lt, ast.Gt),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
}
PAIRS = (
    ("minimum", "maximum"),
    ("min", "max"),
    ("ceil", "floor"),
    ("any", "all"),
    ("equal", "not_equal"),
    ("less", "greater_equal"),
    ("greater", "less_equal"),
)
NAMES = {a: b for pair in PAIRS for a, b in (pair, pair[::-1])}
EITHER_WAY = set(NAMES) - {"less", "greater", "less_equal", "greater_equal"} | {
    "hypot",
    "zip",
    "broadcast_arrays",
    "overlapped_s",
}


# ---- the faults


def faults(tree):
    """(line, what, change) of every fault: `change(tree)` makes it in a copy of the tree."""
    found = []
    for place, node in enumerate(ast.walk(tree)):
        if id(node) not in _left_alone(tree):
            found += [(node.lineno, what, place, change) for what, change in _of(node)]
    return found


def _left_alone(tree):
    """Ids of nodes in docstrings, texts, errors, annotations, imports, and what only shows or speeds up."""
    if not hasattr(tree, "left_alone"):
        tree.left_alone = {id(each) for node in ast.walk(tree) for part in _skipped(node) for each in ast.walk(part)}
    return tree.left_alone


def _skipped(node):
    if isinstance(node, (ast.Raise, ast.JoinedStr, ast.Import, ast.ImportFrom)):
        yield node
    elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
        yield from (node,) if node.name in SHOWS else node.decorator_list
        yield from (a.annotation for a in node.args.args + node.args.kwonlyargs if a.annotation)
    elif isinstance(node, ast.ClassDef):
        yield from node.decorator_list
    elif isinstance(node, ast.keyword) and node.arg == "strict":
        yield node
    elif isinstance(node, ast.AnnAssign):
        yield node.annotation
    elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.targets[0].id in SIZES:
        yield node


def _of(node):
    """What can go wrong in a node: (in words, a change of a node like it)."""
    if isinstance(node, ast.BinOp) and not _text(node):
        for other in OPERATORS.get(type(node.op), ()):
            yield f"{_sign(node.op)} becomes {_sign(other())}", lambda n, o=other: _set(n, op=o())
        if isinstance(node.op, (ast.Add, ast.Sub)):
            yield "the second term is left out", lambda n: n.left
    elif isinstance(node, ast.Compare) and len(node.ops) == 1:
        for other in COMPARISONS.get(type(node.ops[0]), ()):
            yield f"{_sign(node.ops[0])} becomes {_sign(other())}", lambda n, o=other: _set(n, ops=[o()])
    elif isinstance(node, ast.Constant):
        yield from _of_constant(node)
    elif isinstance(node, ast.BoolOp):
        other = ast.Or if isinstance(node.op, ast.And) else ast.And
        yield "and, or", lambda n: _set(n, op=other())
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, (ast.Not, ast.Invert, ast.USub)):
        yield f"{_sign(node.op)} is left out", lambda n: n.operand
    elif isinstance(node, ast.IfExp):
        yield "branches are swapped", lambda n: _set(n, body=n.orelse, orelse=n.body)
    elif isinstance(node, ast.If):
        yield "if not", lambda n: _set(n, test=ast.UnaryOp(ast.Not(), n.test))
    elif isinstance(node, ast.Call):
        yield from _of_call(node)


def _of_constant(node):
    if isinstance(node.value, bool):
        yield f"{node.value} becomes {not node.value}", lambda n: _set(n, value=not n.value)
    elif isinstance(node.value, (int, float)):
        changed = {node.value + 1, 2 * node.value} if isinstance(node.value, int) else {2 * node.value or 1.0}
        for value in sorted(changed - {node.value}):
            yield f"{node.value} becomes {value}", lambda n, v=value: _set(n, value=v)


def _of_call(node):
    name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
    if name in NAMES:
        yield f"{name} becomes {NAMES[name]}", lambda n: _rename(n, NAMES[name])
    plain = [a for a in node.args if not isinstance(a, ast.Starred)]
    if len(plain) == len(node.args) > 1 and name not in EITHER_WAY:
        i = len(node.args) - 2
        if ast.dump(node.args[i]) != ast.dump(node.args[i + 1]):
            yield f"the last two of {name} are swapped", lambda n: _set(n, args=[*n.args[:i], n.args[i + 1], n.args[i]])


def _text(node):
    """Is it a sum of texts, tuples or lists?"""
    kinds = (ast.JoinedStr, ast.Tuple, ast.List, ast.Dict)
    sides = (node.left, node.right)
    return any(isinstance(s, kinds) or (isinstance(s, ast.Constant) and isinstance(s.value, str)) for s in sides)


def _set(node, **fields):
    for name, value in fields.items():
        setattr(node, name, value)
    return node


def _rename(node, name):
    if isinstance(node.func, ast.Attribute):
        node.func.attr = name
    else:
        node.func.id = name
    return node


def _sign(node):
    signs = "Add + Sub - Mult * Div / FloorDiv // Mod % Pow ** BitAnd & BitOr | Lt < LtE <= Gt > GtE >= Eq == NotEq !="
    words = signs.split()
    return dict(zip(words[::2], words[1::2], strict=True)).get(type(node).__name__, type(node).__name__.lower())


def mutated(text, place, change):
    """The source with one fault."""
    tree = ast.parse(text)
    old = list(ast.walk(tree))[place]
    return ast.unparse(ast.fix_missing_locations(_Replace(old, change(copy.deepcopy(old))).visit(tree)))


class _Replace(ast.NodeTransformer):
    def __init__(self, old, new):
        self.old, self.new = old, new

    def visit(self, node):
        return self.new if node is self.old else self.generic_visit(node)


# ---- the tests


def tests_of(module):
    """Tests of its own wing that name a module, or one that imports it; its own file first. And its doctests."""
    wing, name = module.split(".")
    files = sorted((ROOT / "tests" / wing).glob("test_*.py"), key=lambda p: (p.stem != f"test_{name}", p.name))
    homes = sorted((ROOT / "bottlenecks" / wing).glob("[a-z]*.py"))
    users = [p.stem for p in homes if _names(p, [name])]
    chosen = [p for p in files if _names(p, [name])] or [p for p in files if _names(p, users)] or files
    return [f"bottlenecks/{wing}/{name}.py", *(str(p.relative_to(ROOT)) for p in chosen)]


def _names(path, modules):
    """Does a file import one of some modules?"""
    return bool(modules) and bool(
        re.search(rf"^from .*\b({'|'.join(modules)})\b", path.read_text(encoding="utf-8"), re.M)
    )


def noticed(tests, *, fresh=False):
    """Does a child that runs the tests find a fault? `fresh`: it may write what is compiled."""
    child = os.fork()
    if not child:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 1)
        os.dup2(nowhere, 2)
        resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
        sys.dont_write_bytecode = not fresh
        off = ["-p", "no:cacheprovider", "-p", "no:xdist", "-p", "no:nbval", "--hypothesis-seed=0", "-k", DEAR]
        early = ["-W", "ignore::pytest.PytestAssertRewriteWarning"]  # the parent has imported hypothesis
        os._exit(int(pytest.main(["-x", "-q", *off, *early, *tests])))
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) != 0


def ask(module, folder, *, each, seed, only_list):
    """Draw faults of a module and run its tests on each: [(line, what, noticed)]."""
    path = folder / "bottlenecks" / (module.replace(".", "/") + ".py")
    text = path.read_text(encoding="utf-8")
    drawn = faults(ast.parse(text))
    if each and len(drawn) > each:
        drawn = random.Random(f"{seed} {module}").sample(drawn, each)
    found, stamp, tests = [], path.stat().st_mtime, tests_of(module)
    if not only_list and noticed(tests, fresh=True):
        raise SystemExit(f"{module}: its tests fail as it is: {' '.join(tests)}")
    for i, (line, what, place, change) in enumerate(sorted(drawn, key=lambda fault: fault[0])):
        path.write_text(mutated(text, place, change), encoding="utf-8")
        os.utime(path, (stamp + 10 * (i + 1),) * 2)  # else what was compiled may be taken for it
        found.append((line, what, None if only_list else noticed(tests)))
        if found[-1][2] is not True:
            print(f"  {module}:{line}  {what}    {text.splitlines()[line - 1].strip()}", flush=True)
    path.write_text(text, encoding="utf-8")
    os.utime(path, (stamp, stamp))
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("modules", nargs="*", metavar="MODULE")
    parser.add_argument("--each", type=int, default=12)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--prove-red", action="store_true")
    args = parser.parse_args()
    if args.prove_red:
        return prove_red.prove()
    files = [p for wing in WINGS for p in sorted((ROOT / "bottlenecks" / wing).glob("[a-z]*.py"))]
    modules = args.modules or [f"{p.parent.name}.{p.stem}" for p in files]
    killed, asked = Counter(), Counter()
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        prove_red.copied(folder)
        compileall.compile_dir(folder / "bottlenecks", quiet=1)
        os.chdir(folder)
        sys.path.insert(0, str(folder))
        os.environ["PYTHONPATH"] = str(folder)
        for module in modules:
            found = ask(module, folder, each=args.each, seed=args.seed, only_list=args.list)
            asked[module], killed[module] = len(found), sum(bool(seen) for _, _, seen in found)
            if not args.list:
                print(f"{module}: {killed[module]} of {asked[module]} noticed", flush=True)
    if not args.list:
        of = max(asked.total(), 1)
        print(f"\nall: {killed.total()} of {asked.total()} noticed, {killed.total() / of:.0%}")


if __name__ == "__main__":
    sys.exit(main())
