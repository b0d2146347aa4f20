"""List every line with a remedy that the product can print, read from its code and not from its output.

A line is "what is wrong: what to do", with {} for each part that is filled in at run time. These shapes are found, in
any module of plugins/, and in the messages of fail and assert in roles/ and playbooks/:

- a pair of texts (wrong, remedy), wherever it is written: returned, passed to `add`, or in a table
- the arguments of Problem (host, variable, wrong, remedy), and of ClientProblem, UnresolvedValue and RequestError
  (wrong, remedy)
- any other text with ": " in it and words behind that, such as those that are raised or returned
- the texts that scripts in roles/ print with echo

What looks like a line and is not one is in NO_LINES, with the reason.
"""

from __future__ import annotations

import ast
import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]
GAP = "\0"
MOST_ALTERNATIVES = 64

# Constructors that take a line in two arguments: the places of wrong and remedy.
PAIRED = {
    "Problem": (2, 3),
    "ClientProblem": (0, 1),
    "UnresolvedValue": (0, 1),
    "_matches": (1, 2),
    "_number": (2, 3),
}
# Errors whose text is a line of its own, even without a colon.
RAISED = ("AnsibleError", "Failed", "Problem")


@dataclass(frozen=True)
class Line:
    """One line that can be printed. text: with {} for what is filled in; place: module and function."""

    text: str
    place: str

    @property
    def weight(self) -> int:
        """Return how many characters are fixed."""
        return len(self.text.replace("{}", ""))

    @property
    def pattern(self) -> re.Pattern:
        """Return what matches the line as it is printed, behind whatever introduces it."""
        return _pattern(self.text)


@cache
def _pattern(text: str) -> re.Pattern:
    return re.compile(".*?" + ".*".join(re.escape(part) for part in text.split("{}")), re.DOTALL)


_NOTE = "a note on progress or a finding, with nothing to do"
_OTHERS = "passes on the output of another program"
_PART = "is a part of another line"
_NOT_TEXT = "not shown to anybody"
_WHOLE = "passes on a whole line, whose own remedy is followed"
# Texts that look like a line and are not one, with the reason.
NO_LINES = {
    "update needed: the network has a new rollup ({})": _PART,
    "update needed: the network requires a newer version ({})": _PART,
    "it was killed (SIGKILL): memory ran out on the host, or it did not stop in time ({})": _PART,
    "reading {} from the kernel failed: {}": _OTHERS,
    "the kernel returns no generation of the ruleset": _OTHERS,
    "the kernel does not let this process own the tables: {}": _OTHERS,
    "another process changed the tables: loaded them again": _NOTE,
    r"^Pin: version (\S+)": _NOT_TEXT,
    r"^Status: \S+ \S+ installed$": _NOT_TEXT,
    r"Entering standby mode|Still waiting\. Rollup at 0x|Exiting standby mode|"
    "Subsystems stopped due to rollup upgrade|Canonical rollup upgrade detected: stopping subsystems": _NOT_TEXT,
    "traces (of block {}: chain too short)": _NOTE,
    "{} was stopped in the middle of its work ({}), as the drain timeout of {} s is over: "
    "other agents repeat this work": _NOTE,
    "is not queried: URL or API key contain characters that are not allowed": _PART,
    "not checked: the versions cannot be compared": _NOTE,
    "not checked: the file does not contain nodeVersion": _NOTE,
    "not checked: NETWORK_CONFIG_LOCATION is a file in the container": _NOTE,
    "Pull complete: Already exists": _NOT_TEXT,
    "^(Task failed: )?((Action|Module) failed: )?": _NOT_TEXT,
    "the task returned no message: run again with -v": _PART,
    "{} of the hosts cannot take part in a run, in the table above.": _WHOLE,
    "{} failed: {}": _OTHERS,
    "Querying Docker for containers failed: {}": _OTHERS,
    "Pulling {} failed: {}": _OTHERS,
    "Creating network {} on bridge {} failed: {}": _OTHERS,
    "left out of this run: {}": _WHOLE,
    "rewards: {}": _WHOLE,
    "prove_again: {}": _WHOLE,
    "rewards: the L1 could not be queried from the node's host: {}": _OTHERS,
    "{} failed on this host: {}": _OTHERS,
    "{}: the state of its job stays on the host until a later run removes it: {}": _NOTE,
    "{}: no progress for now: {}": _NOTE,
    "{}: {}; {} s left": _NOTE,
    "{} {} failed on the host: {}": _OTHERS,
    "{}: without prover_node_admin_api_key (keys.yml -e admin_api_key=true), the node does not report its epochs, "
    "so the run does not wait": _NOTE,
    "{}: the node does not report its epochs now, so the run does not wait": _NOTE,
    "{}: the node does not report its epochs now, query {} of {}": _NOTE,
    "{}: the node no longer reports its epochs, and {} is interrupted": _NOTE,
    "{}: waiting for the end of {}, for {} s at most": _NOTE,
    "{}: {} did not end within {} s, and is interrupted": _NOTE,
    "{}: was left out of this run: {}: correct it, then run again": _WHOLE,
    "{}: failed earlier in this run: see the error above, then run again": _WHOLE,
    "{}: is unreachable: see the error above, then run again": _WHOLE,
}


class _Module:
    """One module of the product: its functions, its constants, and the possible texts of its expressions."""

    def __init__(self, path: Path, modules: dict, calls: dict) -> None:
        self.name = path.stem
        # As in imports, without the name of the collection.
        self.dotted = ".".join(path.with_suffix("").parts).rpartition("plugins.")[2]
        self.tree = ast.parse(path.read_text(encoding="utf-8"))
        self.modules = modules
        self.calls = calls
        self.constants = {
            target.id: node.value
            for node in self.tree.body
            if isinstance(node, ast.Assign)
            for target in node.targets
            if isinstance(target, ast.Name)
        }
        self.nodes = list(ast.walk(self.tree))
        self.own = {node.name: node for node in self.nodes if isinstance(node, ast.FunctionDef)}
        self.imported = {
            name.asname or name.name: ((node.module or "").rpartition("plugins.")[2], name.name)
            for node in self.nodes
            if isinstance(node, ast.ImportFrom)
            for name in node.names
        }
        self.touched: set = set()
        self.parents = {child: node for node in self.nodes for child in ast.iter_child_nodes(node)}

    def function_of(self, node: ast.AST) -> ast.AST:
        """Return the innermost function around a node, or the module."""
        while node in self.parents:
            node = self.parents[node]
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                return node
        return self.tree

    def texts(self, node: ast.AST, scope: ast.AST, seen: tuple = ()) -> list[str]:
        """Return the possible texts of an expression, with GAP for parts that are not known before run time."""
        found = list(dict.fromkeys(self._texts(node, scope, seen)))
        return found[:MOST_ALTERNATIVES] or [GAP]

    def _texts(self, node: ast.AST, scope: ast.AST, seen: tuple) -> list[str]:
        self.touched.add(node)
        if isinstance(node, ast.Constant):
            return [node.value if isinstance(node.value, str) else GAP]
        if isinstance(node, ast.JoinedStr):
            return self._product(node.values, scope, seen)
        if isinstance(node, ast.FormattedValue):
            before = set(self.touched)
            texts = [GAP] if node.format_spec else self.texts(node.value, scope, seen)
            # Words that are filled in are not part of the line's identity. The remedy is.
            if all(" " in text and len(text.replace(GAP, "")) > 9 for text in texts):
                return texts
            # A text that is not part of this line may be a line itself.
            self.touched = before
            return [GAP]
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
            return self._product([node.left, node.right], scope, seen)
        if isinstance(node, ast.IfExp):
            return self.texts(node.body, scope, seen) + self.texts(node.orelse, scope, seen)
        if isinstance(node, ast.BoolOp):
            return [text for value in node.values for text in self.texts(value, scope, seen)]
        if isinstance(node, ast.Name) and (scope, node.id) not in seen:
            return self._named(node, scope, (*seen, (scope, node.id)))
        if isinstance(node, ast.Call):
            return self._called(node, scope, seen)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            other = self._imported_module(node.value.id)
            if other and node.attr in other.constants:
                return other.texts(other.constants[node.attr], other.tree, seen)
        if isinstance(node, ast.Subscript) and isinstance(node.value, ast.Name):
            wanted = node.slice.value if isinstance(node.slice, ast.Constant) else None
            return self._in_table(node.value, scope, seen, wanted) or [GAP]
        return [GAP]

    def _product(self, nodes: list, scope: ast.AST, seen: tuple) -> list[str]:
        parts = [self.texts(node, scope, seen) for node in nodes]
        return ["".join(one) for one in itertools.islice(itertools.product(*parts), MOST_ALTERNATIVES)]

    def _named(self, use: ast.Name, scope: ast.AST, seen: tuple) -> list[str]:
        """Return what a name stands for where it is used: what was assigned last before, on each path there."""
        found: list = []
        for value, added in self._assigned(use):
            found += self._with(value, added, scope, seen)
        if not found and use.id in self.constants:
            found = self.texts(self.constants[use.id], self.tree, seen)
        return found or self._passed(use.id, scope, seen)

    def _passed(self, name: str, scope: ast.AST, seen: tuple) -> list[str]:
        """Return what a function's parameter stands for: what the calls of that function pass."""
        if not isinstance(scope, ast.FunctionDef) or scope in seen:
            return []
        names = [one.arg for one in scope.args.args if one.arg != "self"]
        if name not in names:
            return []
        found: list = []
        for module, call in self.calls.get(scope.name, ()):
            if module is not self and scope.name in module.own:
                continue
            keywords = {one.arg: one.value for one in call.keywords}
            value = keywords.get(name)
            if value is None and len(call.args) > names.index(name):
                value = call.args[names.index(name)]
            if value is not None:
                found += module.texts(value, module.function_of(call), (*seen, scope))
        return found

    def _with(self, value: ast.AST | None, added: list, scope: ast.AST, seen: tuple) -> list[str]:
        """Return the texts of a value with what is added to it."""
        texts = self.texts(value, scope, seen) if value is not None else [GAP]
        for more in added:
            texts = [one + two for one in texts for two in self.texts(more, scope, seen)][:MOST_ALTERNATIVES]
        return texts

    def _assigned(self, use: ast.Name) -> list[tuple]:
        """Return (value, what is added to it) for each path on which a name can get its value."""
        node: ast.AST = use
        paths = [_OPEN]
        while not isinstance(node, (ast.FunctionDef, ast.Module)) and _OPEN[0] in [value for value, _added in paths]:
            block, node = node, self.parents[node]
            parts = [part for _name, part in ast.iter_fields(node) if isinstance(part, list) and block in part]
            if parts and isinstance(block, ast.stmt):
                paths = _paths(parts[0][: parts[0].index(block)], use.id, paths)
            if isinstance(node, ast.For):
                paths = [
                    (None, added) if value is None and _has(node.target, use.id) else (value, added)
                    for value, added in paths
                ]
        return [(value if value != _OPEN[0] else None, added) for value, added in paths if value != _OPEN[0] or added]

    def _called(self, node: ast.Call, scope: ast.AST, seen: tuple) -> list[str]:
        if isinstance(node.func, ast.Attribute) and node.func.attr == "format":
            return [text.replace("{}", GAP) for text in self.texts(node.func.value, scope, seen)]
        if isinstance(node.func, ast.Attribute) and node.func.attr == "get" and isinstance(node.func.value, ast.Name):
            default = self.texts(node.args[1], scope, seen) if len(node.args) > 1 else []
            return [*self._in_table(node.func.value, scope, seen), *default] or [GAP]
        name = getattr(node.func, "attr", getattr(node.func, "id", ""))
        module = self._home(node.func)
        function = module.own.get(name) if module else None
        if module is None or function is None or function in seen:
            return [GAP]
        returned = [one.value for one in _own(function) if isinstance(one, ast.Return) and one.value is not None]
        # Nothing is returned where nothing is wrong.
        results = [value for value in returned if not isinstance(value, ast.Constant) or value.value]
        return [text for value in results for text in module.texts(value, function, (*seen, function))] or [GAP]

    def _home(self, called: ast.AST) -> _Module | None:
        """Return the module that a called function is of."""
        if isinstance(called, ast.Name):
            return self if called.id in self.own else self.modules.get(self.imported.get(called.id, ("", ""))[0])
        if isinstance(called, ast.Attribute) and isinstance(called.value, ast.Name):
            return self if called.value.id == "self" else self._imported_module(called.value.id)
        return None

    def _imported_module(self, name: str) -> _Module | None:
        """Return the module that a name stands for, None where it stands for something else."""
        return self.modules.get(".".join(self.imported.get(name, ())))

    def _in_table(self, name: ast.Name, scope: ast.AST, seen: tuple, wanted: object = None) -> list[str]:
        """Return the texts of a dict by its name, with those of the dicts that it is made of, or that of one key."""
        if name.id in seen:
            return []
        seen = (*seen, name.id)
        values = [
            node.value
            for node in _own(scope)
            if isinstance(node, ast.Assign) and any(getattr(one, "id", "") == name.id for one in node.targets)
        ] or [self.constants.get(name.id)]
        found: list = []
        for value in values:
            for table in [value.body, value.orelse] if isinstance(value, ast.IfExp) else [value]:
                if isinstance(table, ast.Name):
                    found += self._in_table(table, scope, seen)
                elif isinstance(table, ast.Dict):
                    for key, one in zip(table.keys, table.values):
                        if key is None and isinstance(one, ast.Name):
                            found += self._in_table(one, scope, seen)
                        elif wanted is not None and getattr(key, "value", None) != wanted:
                            continue
                        elif key is not None and isinstance(one, (ast.Constant, ast.JoinedStr, ast.Name)):
                            found += self.texts(one, scope, seen)
        return found

    def lines(self) -> Iterator[Line]:
        """Return the module's lines; one may come several times."""
        pairs = [pair for node in self.nodes for pair in self._pairs(node)]
        inside: set = set()
        for wrong, remedy in pairs:
            self.touched.clear()
            scope = self.function_of(wrong)
            for one, other in self._combined(wrong, remedy, scope):
                # What passes on the line of another place has no text of its own.
                if _words(other):
                    yield Line(_filled(f"{one}: {other}"), self._place(scope))
            inside |= self.touched
        found: dict = {}
        for node in self.nodes:
            text = isinstance(node, (ast.Constant, ast.JoinedStr, ast.BinOp))
            # A text that is a statement of its own is a docstring.
            if text and node not in inside and not isinstance(self.parents[node], ast.Expr):
                self.touched.clear()
                found[node] = self.texts(node, self.function_of(node))
                inside |= self.touched - {node}
        for node, texts in found.items():
            if node not in inside:
                raised = self._is_raised(node)
                for text in texts:
                    for line in [text] if raised and " " in text and _words(text) else _lines_in(text):
                        yield Line(_filled(line), self._place(self.function_of(node)))

    def _is_raised(self, node: ast.AST) -> bool:
        call = self.parents.get(node)
        raised = isinstance(call, ast.Call) and isinstance(self.parents.get(call), ast.Raise)
        return raised and getattr(call.func, "id", "") in RAISED

    def _combined(self, wrong: ast.AST, remedy: ast.AST, scope: ast.AST) -> Iterator[tuple]:
        """Return the possible texts of a pair. Two names that are assigned in the same branches go together."""
        if isinstance(wrong, ast.Name) and isinstance(remedy, ast.Name):
            paths = [self._assigned(name) for name in (wrong, remedy)]
            blocks = [[self._block(value) for value, added in each if value is not None] for each in paths]
            if len(blocks[0]) > 1 and blocks[0] == blocks[1] and len(blocks[0]) == len(paths[0]) == len(paths[1]):
                for (one, more), (other, further) in zip(*paths):
                    yield from itertools.product(
                        self._with(one, more, scope, ((scope, wrong.id),)),
                        self._with(other, further, scope, ((scope, remedy.id),)),
                    )
                return
        yield from itertools.product(self.texts(wrong, scope), self.texts(remedy, scope))

    def _block(self, node: ast.AST) -> tuple:
        """Return the statement around a node's own, and which of its branches that is in."""
        while not isinstance(node, ast.stmt):
            node = self.parents[node]
        parent = self.parents[node]
        return parent, next(name for name, part in ast.iter_fields(parent) if isinstance(part, list) and node in part)

    def _place(self, scope: ast.AST) -> str:
        return f"{self.name}.{getattr(scope, 'name', '')}".rstrip(".")

    def _pairs(self, node: ast.AST) -> Iterator[tuple]:
        if isinstance(node, ast.Call):
            name = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
            first, second = PAIRED.get(name, (0, 99))
            keywords = {one.arg: one.value for one in node.keywords}
            wrong = node.args[first] if len(node.args) > first else keywords.get("wrong")
            remedy = node.args[second] if len(node.args) > second else keywords.get("remedy")
            if name in PAIRED and wrong is not None and remedy is not None:
                yield wrong, remedy
        elif isinstance(node, ast.Tuple) and not isinstance(
            self.parents[node], (ast.comprehension, ast.For, ast.Compare)
        ):
            elements = node.elts[1:] if len(node.elts) == 3 and isinstance(node.elts[0], ast.Set) else node.elts
            if len(elements) == 2 and all(isinstance(one, _TEXTS) for one in elements):
                scope = self.function_of(node)
                wrong, remedy = (self.texts(one, scope) for one in elements)
                literal = isinstance(elements[1], (ast.Constant, ast.JoinedStr))
                passed_on = literal and isinstance(elements[0], (ast.Call, ast.Subscript))
                if any(" " in text and _words(text) for text in remedy) and (passed_on or any(map(_words, wrong))):
                    yield tuple(elements)


_TEXTS = (
    ast.Constant,
    ast.JoinedStr,
    ast.IfExp,
    ast.Name,
    ast.BinOp,
    ast.Call,
    ast.BoolOp,
    ast.Subscript,
    ast.Attribute,
)


@cache
def _own(function: ast.AST) -> list[ast.AST]:
    """Return the nodes of a function without those of functions inside it."""
    own = [node for node in ast.iter_child_nodes(function) if not isinstance(node, (ast.FunctionDef, ast.Lambda))]
    return [inner for node in own for inner in (node, *_own(node))]


def _lines_in(text: str) -> list[str]:
    """Return the lines in a text: the whole, or what a shell script prints."""
    if "\n" in text.strip():
        echoed = re.findall(r'echo "([^"]*)"', text)
        return [line for one in echoed for line in _lines_in(re.sub(r"\$\{[^}]*\}|\$\w+", GAP, one))]
    behind = text.partition(": ")[2]
    return [text] if " " in behind and _words(behind) else []


def _words(text: str) -> bool:
    """Return whether a text has words of its own."""
    return bool(re.search("[a-z]{2}", text.replace(GAP, "")))


# A path on which nothing was assigned yet; a value of None stands for what is not a text of the code.
_OPEN: tuple = ("open", [])


def _paths(statements: list, name: str, paths: list) -> list[tuple]:
    """Return the paths behind statements: those that are still open continue backwards through them."""
    for before in reversed(statements):
        if not any(value == _OPEN[0] for value, _added in paths):
            break
        through = _paths_of(before, name)
        further = [
            (value, [*more, *added]) if at == _OPEN[0] else (at, added)
            for at, added in paths
            for value, more in (through if at == _OPEN[0] else [(at, [])])
        ]
        paths = list({(id(value), *map(id, added)): (value, added) for value, added in further}.values())
    return paths


def _paths_of(statement: ast.AST, name: str) -> list[tuple]:
    """Return the paths through one statement; none where each of them leaves the block."""
    if isinstance(statement, ast.Assign):
        for target in statement.targets:
            if isinstance(target, ast.Name) and target.id == name:
                return [(statement.value, [])]
            if isinstance(target, ast.Tuple) and name in [getattr(one, "id", "") for one in target.elts]:
                place = [getattr(one, "id", "") for one in target.elts].index(name)
                whole = isinstance(statement.value, ast.Tuple)
                return [(statement.value.elts[place] if whole else None, [])]
    if isinstance(statement, ast.AugAssign) and _has(statement.target, name):
        return [(_OPEN[0], [statement.value])]
    if isinstance(statement, (ast.Return, ast.Raise, ast.Continue, ast.Break)):
        return []
    if isinstance(statement, ast.If):
        return [path for branch in (statement.body, statement.orelse) for path in _paths(branch, name, [_OPEN])]
    if isinstance(statement, (ast.For, ast.While)):
        return [*_paths(statement.body, name, [_OPEN]), _OPEN]
    if isinstance(statement, ast.With):
        return _paths(statement.body, name, [_OPEN])
    if isinstance(statement, ast.Try):
        blocks = [[*statement.body, *statement.orelse], *(handler.body for handler in statement.handlers)]
        return [path for block in blocks for path in _paths(block, name, [_OPEN])]
    return [_OPEN]


def _has(target: ast.AST, name: str) -> bool:
    """Return whether a target is a name or holds it."""
    return any(isinstance(one, ast.Name) and one.id == name for one in ast.walk(target))


def _filled(text: str) -> str:
    return re.sub(f"{GAP}+", "{}", " ".join(text.split()))


def module_lines(*paths: Path) -> list[Line]:
    """Return the lines of modules, each text once in a module."""
    modules: dict = {}
    calls: dict = {}
    read = [_Module(path, modules, calls) for path in paths]
    for module in read:
        modules[module.dotted] = module
        for node in module.nodes:
            if isinstance(node, ast.Call):
                name = getattr(node.func, "attr", getattr(node.func, "id", ""))
                calls.setdefault(name, []).append((module, node))
    return [line for module in read for line in dict.fromkeys(module.lines())]


def code_lines() -> list[Line]:
    """Return the lines of plugins/."""
    folders = ("module_utils", "plugin_utils", "modules", "action", "filter")
    return module_lines(*(path for folder in folders for path in sorted((ROOT / "plugins" / folder).rglob("*.py"))))


def task_lines() -> list[Line]:
    """Return the lines of roles/ and playbooks/."""
    found = []
    for path in sorted([*(ROOT / "roles").rglob("*.yml"), *(ROOT / "playbooks").rglob("*.yml")]):
        for task in _tasks(yaml.safe_load(path.read_text(encoding="utf-8"))):
            for module in ("ansible.builtin.fail", "ansible.builtin.assert"):
                arguments = task.get(module) or {}
                text = arguments.get("msg") or arguments.get("fail_msg")
                if text:
                    line = re.sub(r"\{\{.*?\}\}", GAP, " ".join(text.split()))
                    # What passes on the line of a plugin has no text of its own.
                    if _words(line):
                        found.append(Line(_filled(line), path.relative_to(ROOT).as_posix()))
    return found


def script_lines() -> list[Line]:
    """Return the lines of the scripts in roles/."""
    paths = sorted((ROOT / "roles").rglob("files/*.sh"))
    return [
        Line(_filled(text), path.relative_to(ROOT).as_posix())
        for path in paths
        for text in _lines_in(path.read_text(encoding="utf-8"))
    ]


def _tasks(value: object) -> Iterator[dict]:
    if isinstance(value, dict):
        yield value
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            yield from _tasks(item)


@cache
def every_line() -> list[Line]:
    """Return the lines of all places."""
    return [*code_lines(), *task_lines(), *script_lines()]


def lines() -> list[Line]:
    """Return every line that the product can print, each text once."""
    found: dict = {}
    for line in every_line():
        if line.text not in NO_LINES:
            found.setdefault(line.text, line)
    return list(found.values())


def unused_exceptions() -> list[str]:
    """Return the entries of NO_LINES that nothing in the code is any more."""
    there = {line.text for line in every_line()}
    return [text for text in NO_LINES if text not in there]


def line_of(text: str, known: list[Line]) -> Line | None:
    """Return the line that a text as it was printed is, or None: of those that fit the one that fixes most of it."""
    shown = " ".join(text.split())
    fitting = [line for line in known if line.pattern.fullmatch(shown)]
    return max(fitting, key=lambda line: line.weight, default=None)


if __name__ == "__main__":
    for number, line in enumerate(lines(), 1):
        print(f"{number:4} {line.place:45} {line.text}")
