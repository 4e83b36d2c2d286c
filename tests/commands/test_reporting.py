"""What the commands share: overrides that are quoted."""

from __future__ import annotations

from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import example, given
from hypothesis import strategies as st
from omegaconf import OmegaConf

from cloudedge_pl.commands.reporting import quoted


@example("\\\n")
@example("\n\\")
@given(st.text("\\\\\\\\'\"${}=,[]() a\n\u00e9", max_size=12))
def test_a_quoted_value_comes_through_hydra_as_it_is(value: str) -> None:
    parsed = OverridesParser.create().parse_override(f"key=[{quoted(value)}]").value()
    assert OmegaConf.to_container(OmegaConf.create({"key": parsed}), resolve=True) == {"key": [value]}
