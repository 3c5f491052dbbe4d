"""What keys look like: the known forms, as literal tables. No promise that there are no others."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

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
    def going_on(self) -> re.Pattern[str]:
        """What may follow the beginning up to the end of a text, of which more comes."""
        return re.compile(f"[{self.characters}]{{0,{self.longest}}}\\Z")


FORMS = (
    Form(("sk-",), WORD, 16),
    Form(("sk_live_", "sk_test_", "rk_live_", "rk_test_"), "A-Za-z0-9", 16),
    Form(("sk_org_", "whsec_"), "A-Za-z0-9+/=_", 16),
    # Those of GitHub's servers may hold a JSON Web Token, those of GitLab the place that answers for them.
    Form(("ghp_", "gho_", "ghu_", "ghs_", "ghr_"), "." + WORD, 20),
    Form(("github_pat_",), "A-Za-z0-9_", 20),
    Form(("glpat-", "gldt-", "glrt-", "glptt-", "glcbt-", "glimt-", "glft-", "glsoat-", "gloas-"), "." + WORD, 16),
    Form(("glffct-", "glagent-", "glrtr-", "GR1348941"), "." + WORD, 16),
    Form(("AKIA", "ASIA", "ABIA", "ACCA"), "A-Z0-9", 16, longest=16, end=r"\b"),
    Form(("ABSK",), "A-Za-z0-9+/=", 100),
    Form(("X-Amz-Signature=", "X-Amz-Security-Token="), "A-Za-z0-9%+/=", 32, is_shown=True),
    Form(("AIza",), WORD, 30),
    Form(("AQ.Ab",), WORD, 30),
    Form(("1//0",), WORD, 40),
    Form(("ya29.",), "." + WORD, 20),
    Form(("GOCSPX-",), WORD, 20),
    Form(
        ("xoxa-", "xoxb-", "xoxc-", "xoxd-", "xoxe-", "xoxe.", "xoxo-", "xoxp-", "xoxr-", "xoxs-"), "A-Za-z0-9%.-", 10
    ),
    Form(("xapp-", "xwfp-"), "A-Za-z0-9-", 10),
    Form(("hooks.slack.com/services/", "hooks.slack.com/workflows/"), "A-Za-z0-9/", 20, is_shown=True),
    Form(("npm_",), "A-Za-z0-9", 36),
    Form(("pypi-AgE",), WORD, 16),
    Form(("rubygems_",), "a-f0-9", 40),
    Form(("hf_", "api_org_"), "A-Za-z0-9", 30),
    Form(("gsk_", "r8_", "xai-", "pplx-"), "A-Za-z0-9", 30),
    Form(("lsv2_pt_", "lsv2_sk_", "lin_api_", "lin_oauth_"), "A-Za-z0-9_", 30),
    Form(("SG.",), "." + WORD, 40),
    Form(("dop_v1_", "doo_v1_", "dor_v1_"), "a-f0-9", 40),
    Form(("dckr_pat_", "dckr_oat_"), WORD, 20),
    Form(("dapi",), "a-f0-9", 32),
    Form(("hvs.", "hvb.", "hvr."), WORD, 20),
    Form(("glsa_", "glc_", "sntrys_", "sntryu_"), "A-Za-z0-9+/=_", 30),
    Form(("shpat_", "shpss_", "shpca_", "shppa_"), "a-fA-F0-9", 32),
    Form(("ntn_", "sbp_", "sb_secret_", "nfp_"), WORD, 20),
    Form(("ATATT3x", "ATCTT3x", "ATBB"), "=" + WORD, 20),
    Form(("dp.pt.", "dp.st.", "dp.sa.", "dp.ct."), "." + WORD, 40),
    Form(("PMAK-",), "a-f0-9-", 50),
    Form(("AGE-SECRET-KEY-1",), "A-Z0-9", 40),
    # JSON Web Tokens: base64 of {"alg": or {"typ": or {"kid":
    Form(("eyJhbGci", "eyJ0eXAi", "eyJraWQi", "eyJlbmMi", "eyJ4NXQi", "eyJjdHki", "eyJqa3Ui"), "." + WORD, 20),
    Form(("Bearer ", "bearer ", "BEARER ", "Bearer%20"), "A-Za-z0-9._~+/=-", 12, is_shown=True),
    Form(("AccountKey=", "SharedAccessKey="), "A-Za-z0-9+/=", 40, is_shown=True),
    Form(("authToken=",), "A-Za-z0-9._~+/=-", 12, is_shown=True),
)
# Name and password in an address. Bounded: an unbounded one takes quadratic time where somebody means it to.
_NAME, _PASSWORD = "[^/\\s:@\"'<>\\\\]{0,256}", "[^/\\s\"'<>\\\\]{1,700}"
_ADDRESS = re.compile(f"{_NAME}:{_PASSWORD}(?=@)")
# Any other token, by its second part. Begun within a run, each "eyJ" of a long one would be tried.
_TOKEN = re.compile(
    rf"(?<![{WORD}]eyJ)[{WORD}]{{8,{LONGEST}}}\.eyJ[{WORD}]{{8,{LONGEST}}}(?:\.[{WORD}]{{0,{LONGEST}}})?"
)
_IS = "[\"']{0,2}\\s{0,4}[:=]\\s{0,4}[\"']{0,2}"
_VALUE = f"[A-Za-z0-9+/=._~-]{{8,{LONGEST}}}"
_AUTHORIZATION = re.compile(rf"{_IS}(?:[Bb]asic|BASIC|[Tt]oken|[Aa]pi[Kk]ey|[Bb]ot|SSWS)\s{{1,4}}({_VALUE})")
_HEADER = re.compile(rf"{_IS}({_VALUE})")
_AWS = re.compile(rf"{_IS}([A-Za-z0-9+/=]{{40,{LONGEST}}})")
# A variable named like a secret, and a value with letters and digits that is no expression, path or address.
_ASSIGNED = re.compile(
    r"(?:_[A-Z0-9]{1,30}){0,3}=[\"']?"
    rf"((?=[^\s\"'=0-9]{{0,256}}[0-9])(?=[^\s\"'=A-Za-z]{{0,256}}[A-Za-z])(?!https?:)"
    rf"[^\s\"'$<>(){{}}\[\]/\\][^\s\"'$<>(){{}}\[\]\\,;]{{7,{LONGEST}}})"
)
_AFTER_NAMES = (
    ("uthorization", _AUTHORIZATION),
    ("UTHORIZATION", _AUTHORIZATION),
    *(
        (name, _HEADER)
        for name in ("x-api-key", "X-Api-Key", "X-API-Key", "X-API-KEY", "PRIVATE-TOKEN", "Private-Token")
    ),
    *((name, _AWS) for name in ("aws_secret_access_key", "aws_session_token")),
    *((name, _ASSIGNED) for name in ("SECRET", "TOKEN", "PASSWORD", "PASSWD", "API_KEY", "ACCESS_KEY", "PRIVATE_KEY")),
)
"""What may be a key by what it is called: the name, and what follows it with the key as its group."""
NEEDLES = (*(text for form in FORMS for text in form.begins), "://", "eyJ", *(name for name, _ in _AFTER_NAMES))
_LOOKED_FOR = (
    *((begin, form.run, form.is_shown) for form in FORMS for begin in form.begins),
    ("://", _ADDRESS, True),
    ("eyJ", _TOKEN, False),
    *((name, run, True) for name, run in _AFTER_NAMES),
)
_ADDRESS_GOES_ON = re.compile(f"{_NAME}(?::(?:{_PASSWORD})?)?\\Z")
_TOKEN_GOES_ON = re.compile(rf"[{WORD}]{{0,900}}(?:\.(?:e(?:y(?:J[{WORD}]{{0,8}})?)?)?)?\Z")
_NAMED_GOES_ON = re.compile(
    r"(?:_[A-Z0-9]{1,30}){0,3}[\"']{0,2}\s{0,4}(?:[:=]\s{0,4}[\"']{0,2}(?:[A-Za-z]{1,6}\s{1,4})?"
    r"[^\s\"'$<>(){}\[\]\\,;]{0,300})?\Z"
)
_GOING_ON = (
    *((begin, form.going_on, form.is_shown) for form in FORMS for begin in form.begins),
    ("://", _ADDRESS_GOES_ON, True),
    ("eyJ", _TOKEN_GOES_ON, False),
    *((name, _NAMED_GOES_ON, True) for name, _ in _AFTER_NAMES),
)
_HALVES = {begin[:count] for begin, _, is_shown in _GOING_ON if not is_shown for count in range(1, len(begin))}
_LONGEST_HALF = max(map(len, _HALVES))
_BY_NEEDLE = {needle: tuple(one for one in _LOOKED_FOR if one[0] == needle) for needle in NEEDLES}
_GOING_ON_BY_NEEDLE = {needle: tuple(one for one in _GOING_ON if one[0] == needle) for needle in NEEDLES}
BEGUN_LENGTH = 1024
"""How many characters a form may need until it is one."""


def find_keys(text: str, needles: Iterable[str]) -> Iterator[tuple[int, int]]:
    """Where keys of known forms are, in no order. needles: those of `NEEDLES` that are in the text."""
    for begin, run, is_shown in (one for needle in needles for one in _BY_NEEDLE.get(needle, ())):
        at = text.find(begin)
        while at >= 0:
            # What begins a key begins a word; what is shown may end anything.
            found = run.match(text, at + len(begin)) if is_shown or _begins_word(text, at) else None
            if found is not None:
                yield found.span(found.lastindex or 0) if is_shown else (at, found.end())
            at = text.find(begin, found.end() if found is not None else at + 1)


def find_begun(text: str, needles: Iterable[str]) -> int:
    """Where at the end of a text something begins that what follows may make a key; the text's length if not.

    needles: those of `NEEDLES` that are in the last `BEGUN_LENGTH` characters.
    """
    begun = len(text)
    for begin, going_on, is_shown in (one for needle in needles for one in _GOING_ON_BY_NEEDLE.get(needle, ())):
        at = text.find(begin, max(0, len(text) - BEGUN_LENGTH))
        while 0 <= at < begun:
            if (is_shown or _begins_word(text, at)) and going_on.match(text, at + len(begin)):
                begun = at + len(begin) if is_shown else at
            at = text.find(begin, at + 1)
    for count in range(1, min(_LONGEST_HALF, len(text)) + 1):
        if text[-count:] in _HALVES and _begins_word(text, len(text) - count):
            begun = min(begun, len(text) - count)
    return begun


def _begins_word(text: str, at: int) -> bool:
    return at == 0 or not (text[at - 1].isalnum() or text[at - 1] == "_")


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
