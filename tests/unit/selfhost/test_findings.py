"""The measure finds what a docstring keeps from callers, and its edit mends exactly that."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from ringmaster.selfhost import findings
from ringmaster.selfhost.findings import Finding, choose, find_all

PATH = "ringmaster/shop/ledger.py"


def find(text: str, path: str = PATH) -> list[Finding]:
    return find_all({path: text})


def function(
    body: str, docstring: str = '"""Sum the rows."""', head: str = "def total(rows: list[int]) -> int:"
) -> str:
    lines = "\n".join(f"    {line}" for line in (docstring + "\n" + body).splitlines())
    return f"{head}\n{lines}\n"


RAISES = 'raise RingmasterError(ErrorKind.NOT_FOUND, f"no row {row.name} in {len(rows)} rows", "rmctl ls")'


def test_a_public_function_that_raises_in_silence_is_found_and_mended():
    text = f"import x\n\n\n{function(RAISES)}\n\nOTHER = 1\n"
    [finding] = find(text)
    assert (finding.path, finding.name, finding.line) == (PATH, "total", 4)
    mended = finding.mend(text)
    assert (
        '    """Sum the rows.\n\n    Raises:\n'
        '        RingmasterError: NOT_FOUND ("no row {row.name} in … rows").\n    """\n' in mended
    )
    assert find(mended) == []


def test_nothing_but_the_docstring_changes():
    text = (
        function(RAISES, '"""Sum the rows.\n\nrows: of one day.\n"""')
        + "\n\n"
        + function("return 1", head="def one() -> int:")
    )
    [finding] = find(text)

    def without_docstring(source: str) -> str:
        tree = ast.parse(source)
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef):
                node.body = node.body[1:] or [ast.Pass()]
        return ast.dump(tree)

    assert without_docstring(finding.mend(text)) == without_docstring(text)
    assert text.count(finding.old) == 1


def test_a_method_and_an_async_function_are_found_by_their_qualified_names():
    method = "class Shop:\n" + "".join(
        f"    {line}\n" for line in function(RAISES, head="async def close(self) -> None:").splitlines()
    )
    [finding] = find(method)
    assert finding.id == f"{PATH}:Shop.close"
    assert "\n        Raises:\n            RingmasterError: NOT_FOUND" in finding.new
    assert find(finding.mend(method)) == []


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(function(RAISES, '"""Sum. Raises NOT_FOUND."""'), id="says so"),
        pytest.param(function(RAISES, "total = 0"), id="no docstring at all"),
        pytest.param(function(RAISES, head="def _total(rows: list[int]) -> int:"), id="private"),
        pytest.param(
            f"class _Shop:\n    def total(self):\n        '''Sum.'''\n        {RAISES}\n", id="of a private class"
        ),
        pytest.param(function("raise make_error(rows)"), id="made elsewhere"),
        pytest.param(function("raise AssertionError(rows)"), id="a broken invariant"),
        pytest.param(function(f"try:\n    {RAISES}\nexcept RingmasterError:\n    return 0"), id="caught by itself"),
        pytest.param(
            function(f"try:\n    {RAISES}\nexcept (OSError, Exception):\n    return 0"), id="caught among others"
        ),
        pytest.param(function(f"def inner() -> None:\n    {RAISES}\nreturn inner"), id="raised by what is inside"),
        pytest.param(function("try:\n    return 1\nexcept OSError:\n    raise"), id="passed on"),
    ],
)
def test_what_is_no_finding(text: str):
    assert find(text) == []


def test_a_raise_in_a_handler_leaves_the_function():
    text = function(
        'try:\n    return 1\nexcept ShopError as error:\n    raise ShopError("the shop is shut") from error'
    )
    [finding] = find(text)
    assert 'ShopError: "the shop is shut".' in finding.new


@pytest.mark.parametrize(
    "body",
    [
        pytest.param("raise ShopError(rows)", id="computed words"),
        pytest.param('raise ShopError("shut")', id="a code for words"),
        pytest.param("raise ShopError()", id="no words"),
    ],
)
def test_what_is_not_told_by_the_source_takes_a_person(body: str):
    [finding] = find(function(body))
    assert not finding.is_mendable
    assert choose([finding]) is None


def test_computed_words_of_a_ringmaster_error_leave_its_kind():
    [finding] = find(function("raise RingmasterError(ErrorKind.REFUSED, words)"))
    assert "        RingmasterError: REFUSED.\n" in finding.new


def test_an_edit_that_could_hit_another_place_takes_a_person():
    text = function(RAISES)
    twice = f"if True:\n    pass\n{text}\n\n{text}"
    assert [finding.is_mendable for finding in find(twice)] == [False, False]


def test_a_file_does_not_outgrow_its_limit():
    text = function(RAISES) + "\n" * (findings.LONGEST_FILE - 4)
    assert [finding.is_mendable for finding in find(text)] == [False]


def test_long_sections_stay_within_the_line():
    body = "\n".join(f'raise RingmasterError(ErrorKind.USAGE, "the {"very " * 12}long message {n}")' for n in range(3))
    [finding] = find(function(body))
    assert max(map(len, finding.new.splitlines())) <= findings.LINE_LENGTH


@pytest.mark.parametrize(
    "path",
    ["ringmaster/cli/task.py", "ringmaster/proc/shim_run.py", "ringmaster/reload/gate.py", "tests/x.py", "bin/x.py"],
)
def test_what_judges_and_what_is_no_contract_is_left_alone(path: str):
    assert find(function(RAISES), path) == []


def test_what_users_see_comes_first_then_the_order_of_paths():
    other = function('raise ShopError("the shop is shut")')
    own = function(RAISES)
    found = find_all({"ringmaster/a.py": other, "ringmaster/c.py": own, "ringmaster/b.py": own})
    chosen = choose(found)
    assert chosen is not None
    assert chosen.path == "ringmaster/b.py"


def test_the_program_measures_the_tree_it_stands_in(tmp_path: Path):
    file = tmp_path / PATH
    file.parent.mkdir(parents=True)
    file.write_text(function(RAISES))

    def run(*args: str) -> tuple[int, str]:
        argv = [sys.executable, "-I", "-S", findings.__file__, *args]
        done = subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True, check=False)
        return done.returncode, done.stdout

    assert run("--count") == (0, "1\n")
    assert run() == (0, f"{PATH}:1 total: RingmasterError NOT_FOUND\n")
    assert run("--mended", f"{PATH}:total")[0] == 1
    file.write_text(find(function(RAISES))[0].mend(function(RAISES)))
    assert run("--mended", f"{PATH}:total") == (0, f"{PATH}:total: mended; 0 left\n")
    assert run("--count") == (0, "0\n")
    assert run("--bogus")[0] == 2
