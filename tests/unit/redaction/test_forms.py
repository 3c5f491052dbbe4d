"""Keys of the known forms, whole and in pieces, and what only looks like them."""

from __future__ import annotations

import base64
import random

import pytest

from ringmaster.output.rendering import LinesRenderer
from ringmaster.redaction.redactor import KNOWN_FORMS, REDACTED


def token(head: str, claims: str) -> str:
    """A JSON Web Token with this head."""
    parts = (base64.urlsafe_b64encode(part.encode()).decode().rstrip("=") for part in (head, claims))
    return ".".join([*parts, "c2ln" * 10])


HEX, MIXED, UPPER = "0a1b2c3d" * 5, "A1b2C3d4" * 5, "A2B3C4D5" * 2
BASIC = base64.b64encode(b"somebody:hunter2").decode()
# What stands before a key and is shown, and the key. Begun in two parts: whoever scans this file for keys finds none.
KEYS = {
    "GitHub": ("", "gh" + "p_" + MIXED),
    "GitHub, with a token in it": ("", "gh" + "s_12345_" + token('{"alg":"RS256"}', '{"iss":"1"}')),
    "GitHub, fine-grained": ("", "github" + "_pat_" + MIXED + "_" + MIXED),
    "GitLab": ("", "gl" + "pat-" + MIXED[:20]),
    "GitLab, routable": ("", "gl" + "pat-" + MIXED[:27] + ".01.0a1b2c3d4"),
    "OpenAI": ("", "sk" + "-proj-" + MIXED + "_" + MIXED + "-x"),
    "OpenAI, admin": ("", "sk" + "-admin-" + MIXED),
    "Anthropic": ("", "sk" + "-ant-oat01-" + MIXED + "-AA"),
    "Google": ("", "AI" + "za" + MIXED[:35]),
    "Google, new": ("", "AQ" + ".Ab8" + MIXED),
    "Google, refresh": ("", "1/" + "/0" + MIXED + MIXED),
    "AWS": ("", "AK" + "IA" + UPPER),
    "AWS, Bedrock": ("", "AB" + "SK" + MIXED * 3 + "="),
    "AWS, in a file": ("aws_secret_access_key = ", MIXED),
    "AWS, in JSON": ('"aws_session_token": "', MIXED + "/+="),
    "Slack": ("", "xo" + "xb-123456789012-123456789012-" + MIXED[:24]),
    "Slack, rotated": ("", "xo" + "xe.xoxp-1-" + MIXED),
    "Slack, cookie": ("", "xo" + "xd-" + MIXED + "%2F" + MIXED + "%3D"),
    "Stripe": ("", "sk" + "_live_" + MIXED[:24]),
    "npm": ("", "np" + "m_" + MIXED[:36]),
    "npmrc": ("//registry.example/:_authToken=", HEX),
    "PyPI": ("", "pypi" + "-AgEIcHlwaS5vcmc" + MIXED),
    "Hugging Face": ("", "h" + "f_" + MIXED[:34]),
    "Docker": ("", "dckr" + "_pat_" + MIXED[:27]),
    "Vault": ("", "hv" + "s." + MIXED * 2),
    "Databricks": ("", "da" + "pi" + HEX[:32]),
    "JSON Web Token": ("", token('{"alg":"HS256"}', '{"sub":"1"}')),
    "JSON Web Token, another order": ("", token('{"iss":"me","alg":"HS256"}', '{"sub":"1"}')),
    "bearer": ("Authorization: Bearer ", HEX),
    "basic": ("Authorization: Basic ", BASIC),
    "basic, in JSON": ('{"Authorization": "Basic ', BASIC),
    "basic, of Python": ("{'authorization': 'basic ", BASIC),
    "basic, of curl": ("-H 'Authorization:Basic ", BASIC),
    "a header": ("x-api-key: ", HEX),
    "a variable": ("export DB_PASSWORD='", "hunter2-hunter2"),
    "another": ("CI_JOB_TOKEN_V2=", "a1-b2-c3-d4"),
    "an address": ("postgres://", "somebody:hun@ter2"),
}
WORDS = """\
commit 9d5ed678fe57bcca610140957afab571e6f9f8a0
index 9fceb02..d670460 100644
550e8400-e29b-41d4-a716-446655440000
sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855
"integrity": "sha512-z4PhNX7vuL3xVChQ1m2AB9Yg5AULVxXcg/SpIdNs6c5H0NE8XYXysP+DGNKHfuwvY7kxvUdBeoGlODJ6+SfaPg=="
sourceMappingURL=data:application/json;base64,eyJ2ZXJzaW9uIjozLCJmaWxlIjoidGVzdC5qcyIsInNvdXJjZXMiOlsidGVzdCJdfQ==
TOKEN = os.environ["TOKEN"]
PASSWORD=$PASSWORD SECRET=${SECRET} API_TOKEN=$(cat /run/x1)
MAX_TOKENS=20000000 TOKEN_COUNT=12345678 API_KEY=None SECRET_KEY=settings.SECRET_KEY
TOKEN_URL=https://host/v1/token TOKEN_FILE=/run/secrets/token1
tests/unit/test_token.py::test_a_token_is_found PASSED
http://localhost:8080/x@1.2.3 https://user@host/x http://[::1]:8080/
git@github.com:owner/repo.git ssh://git@github.com:22/owner/repo
Basic authentication is used; Bearer of news; Authorization: none
-----BEGIN CERTIFICATE-----
MIIDdzCCAl+gAwIBAgIEAgAAuTANBgkqhkiG9w0BAQUFADBaMQswCQYDVQQGEwJJ
-----END CERTIFICATE-----
task-list-of-things-that-are-long disk-usage-of-the-whole-thing
ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJqfX7m user@host
trace_id=4bf92f3577b34da6a3ce929d0e0e4736 "version": "1.2.3-alpha.1+build.5"
def test_sk(): hf_hub_download(repo_id); npm_config_cache=/tmp/x; PRIVATE KEY handling
"""


def line_of(name: str) -> tuple[str, str]:
    """A line with the key of this name, and the line as it is to be shown."""
    before, key = KEYS[name]
    quote = next((quote for quote in "\"'" if quote in before), "")
    after = "@host/x\n" if "://" in before else f"{quote} rest\n"
    return f"{before}{key}{after}", f"{before}{REDACTED}{after}"


@pytest.mark.parametrize("name", KEYS)
def test_a_key_of_a_known_form_is_taken_out_and_nothing_else(name: str):
    line, shown = line_of(name)
    assert KNOWN_FORMS.redact(line) == shown


@pytest.mark.parametrize("name", KEYS)
def test_it_is_taken_out_however_its_line_comes_in_pieces(name: str):
    line, expected = line_of(name)
    data, rng = line.encode(), random.Random(name)
    for _ in range(10):
        renderer, at, end, shown = LinesRenderer(KNOWN_FORMS), 0, 0, ""
        while at < len(data):
            end = min(len(data), end + rng.randint(1, 9))
            rendered = renderer.take(data[at:end], is_last=end == len(data), is_due=True)
            shown += rendered.text
            at += rendered.length
        assert shown == expected


@pytest.mark.parametrize("line", WORDS.splitlines())
def test_hashes_and_words_that_only_look_like_keys_stay(line: str):
    assert KNOWN_FORMS.redact(line) == line
