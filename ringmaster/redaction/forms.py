"""What keys look like: the known forms, as literal tables. No promise that there are no others."""

from __future__ import annotations

import re
from collections.abc import Iterator

import msgspec

WORD = "A-Za-z0-9_-"
LONGEST = 4096
"""Of a run of characters, what may be a key: a longer one is its beginning."""


class Form(msgspec.Struct, frozen=True):
    """A beginning, then at least `least` of `characters` (as in a character class). is_shown: the beginning stays."""

    begins: tuple[str, ...]
    characters: str
    least: int
    is_shown: bool = False
    longest: int = LONGEST
    end: str = ""

    @property
    def run(self) -> re.Pattern[str]:
        """What follows the beginning."""
        return re.compile(f"[{self.characters}]{{{self.least},{self.longest}}}{self.end}")

    @property
    def begun(self) -> str:
        """The regular expression of what the rest of a line may make one of these, up to the end of the text."""
        run = f"[{self.characters}]{{0,{self.longest}}}"
        if self.is_shown:
            return "(?:" + "|".join(f"(?<={re.escape(text)})" for text in self.begins) + ")" + run
        parts = {re.escape(text[:count]) for text in self.begins for count in range(1, len(text))}
        heads = [re.escape(text) + run for text in self.begins]
        return r"\b(?:" + "|".join([*heads, *sorted(parts, key=len, reverse=True)]) + ")"


FORMS = (
    Form(("sk-",), WORD, 16),
    Form(("sk_live_", "sk_test_", "rk_live_", "rk_test_", "whsec_"), "A-Za-z0-9", 16),
    Form(("ghp_", "gho_", "ghu_", "ghs_", "ghr_"), "A-Za-z0-9", 20),
    Form(("github_pat_",), "A-Za-z0-9_", 20),
    Form(("glpat-", "gldt-", "glrt-", "glptt-", "glcbt-"), WORD, 16),
    Form(("AKIA", "ASIA"), "A-Z0-9", 16, longest=16, end=r"\b"),
    Form(("AIza",), WORD, 30),
    Form(("ya29.",), WORD, 20),
    Form(("GOCSPX-",), WORD, 20),
    Form(("xoxa-", "xoxb-", "xoxp-", "xoxr-", "xoxs-", "xapp-"), "A-Za-z0-9-", 10),
    Form(("hooks.slack.com/services/",), "A-Za-z0-9/", 20, is_shown=True),
    Form(("npm_",), "A-Za-z0-9", 36),
    Form(("pypi-AgE",), WORD, 16),
    Form(("hf_",), "A-Za-z0-9", 30),
    Form(("SG.",), "." + WORD, 40),
    Form(("dop_v1_",), "a-f0-9", 40),
    Form(("AGE-SECRET-KEY-1",), "A-Z0-9", 40),
    # JSON Web Tokens: base64 of {"alg": or {"typ": or {"kid":
    Form(("eyJhbGci", "eyJ0eXAi", "eyJraWQi"), "." + WORD, 20),
    Form(("Bearer ", "bearer "), "A-Za-z0-9._~+/=-", 12, is_shown=True),
    Form(("uthorization: Basic ", "uthorization: basic "), "A-Za-z0-9+/=", 8, is_shown=True),
    Form(("AccountKey=",), "A-Za-z0-9+/=", 40, is_shown=True),
)
# Name and password in an address. Bounded: an unbounded one takes quadratic time where somebody means it to.
_NAME, _PASSWORD = "[^/\\s:@\"'<>\\\\]{0,256}", "[^/\\s@\"'<>\\\\]{1,700}"
_ADDRESS = re.compile(f"{_NAME}:{_PASSWORD}(?=@)")
_ADDRESS_BEGUN = f"(?<=://){_NAME}(?::(?:{_PASSWORD})?)?"
NEEDLES = (*(text for form in FORMS for text in form.begins), "://")
_LOOKED_FOR = (
    *((begin, form.run, form.is_shown) for form in FORMS for begin in form.begins),
    ("://", _ADDRESS, True),
)
BEGUN = re.compile("(?:" + "|".join([*(form.begun for form in FORMS), _ADDRESS_BEGUN]) + r")\Z")
BEGUN_LENGTH = 1024
"""How many characters a form may need until it is one."""


def find_keys(text: str) -> Iterator[tuple[int, int]]:
    """Where keys of known forms are, in no order: by their beginnings, which are seldom there at all."""
    for begin, run, is_shown in _LOOKED_FOR:
        at = text.find(begin)
        while at >= 0:
            # What begins a key begins a word; what is shown may end anything.
            is_word = is_shown or at == 0 or not (text[at - 1].isalnum() or text[at - 1] == "_")
            found = run.match(text, at + len(begin)) if is_word else None
            if found is not None:
                yield found.start() if is_shown else at, found.end()
            at = text.find(begin, found.end() if found is not None else at + 1)


BLOCK_NEEDLE = "PRIVATE KEY"
BLOCK_BEGIN = re.compile("-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----")
BLOCK_END = re.compile("-----END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----")
BLOCK_RUN = re.compile(r"[A-Za-z0-9+/=\s\\]{0,16384}")
"""What may follow the beginning of a block that does not end."""
BLOCK_LENGTH = 16384
BLOCK_LINES = 100
BLOCK_REST = re.compile(r"[\s\\nr\"',;+]{0,8}\Z")
"""What may stand behind the beginning of a block in a line whose next lines are the key."""
BLOCK_MARK_LENGTH = 80
