"""What is vendored is what its packages publish: each file has the hash that the manifest says, and none besides."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from ringmaster.web import pages

PLACE = Path(pages.__file__).parent / "page" / "vendor"
PACKAGES = json.loads((PLACE / "manifest.json").read_text())
WORDS = {"manifest.json", "README.md"}


def test_every_file_has_the_hash_of_its_package():
    for package in PACKAGES:
        for file in package["files"]:
            assert hashlib.sha256((PLACE / file["name"]).read_bytes()).hexdigest() == file["sha256"], file["name"]


def test_nothing_is_there_that_no_package_has():
    named = {file["name"] for package in PACKAGES for file in package["files"]}
    assert {path.name for path in PLACE.iterdir()} == named | WORDS


def test_each_package_comes_with_its_licence_version_and_integrity():
    for package in PACKAGES:
        assert package["license"], package
        assert package["version"], package
        assert package["integrity"].startswith("sha512-"), package
        assert any(file["name"].startswith("LICENSE.") for file in package["files"]), package
