"""Which encoders heads and neurons can be removed from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from tasks.errors import BadInput

if TYPE_CHECKING:
    from methods.pretrained import Source


class RefusesPartlySharedLayers:
    """Mix-in of what removes heads or neurons: refuses layers that share only one of their parts."""

    def check_models(self, model: Source, models: Mapping[str, Source]) -> None:
        """Make sure that layers share nothing, or everything.

        Raises:
            BadInput: they share their attention or their feed-forward part alone.
        """
        share = model.config().get("share")
        if share in ("attention", "ffn"):
            raise BadInput(
                f"{model.id!r} shares the {share} part of its layers alone, so heads and neurons are not "
                "those of one layer; choose an encoder that shares all or nothing"
            )
