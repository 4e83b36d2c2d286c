"""Every damaged bundle of bundles.py is refused in one line that names what is wrong, and the good one is not."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from cloudedge_pl.commands.reporting import described
from cloudedge_pl.serving import Manifest
from cloudedge_pl.serving.session import OnnxPart
from tests.fuzz.bundles import BUNDLES, write_bundles


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("bundles")
    write_bundles(made)
    return made


def refusal(bundle: Path) -> str | None:
    """What `cloudedge node` would say; None if it would serve the bundle."""
    try:
        OnnxPart(Manifest.read(bundle), "edge", threads=1)
    except Exception as error:  # as the commands catch it
        return described(error)
    return None


def test_the_good_bundle_is_served(folder: Path) -> None:
    assert refusal(folder / "bundle") is None


@pytest.mark.parametrize(("name", "answer"), BUNDLES, ids=[name for name, _ in BUNDLES])
def test_a_damaged_bundle_is_refused(folder: Path, name: str, answer: str) -> None:
    said = refusal(folder / "bundles" / name)
    assert said is not None, "it is served"
    assert said.startswith("BundleError: "), said
    assert str(folder) in said
    assert re.search(answer, said), said
    assert "\n" not in said
