"""Paragraphs cut into sentences, by rules that need no model and never fail."""

from __future__ import annotations

import re

# A full stop, a question or an exclamation mark, what closes after it, then space before what may open a
# sentence: a capital, a digit or an opening quote or bracket.
_END = re.compile(r"""(?<=[.!?])["'”’)\]]*(?=\s+["'“‘(\[]*[A-Z0-9À-Þ])|(?<=[。！？])""")
# The same where a paragraph has no capitals, as in lower-cased text or in scripts without Latin letters.
_CAPITAL = re.compile(r"[A-ZÀ-Þ]")
_END_WITHOUT_CAPITALS = re.compile(r"""(?<=[.!?])["'”’)\]]*(?=\s)|(?<=[。！？])""")
# Words whose full stop ends no sentence: titles, abbreviations before names and numbers, single initials.
_GOES_ON = re.compile(
    r"(?:^|[\s(\[\"'“‘])(?:Mrs?|Ms|Drs?|Prof|St|Sts|Rev|Hon|Gen|Col|Maj|Capt|Lt|Sgt|Gov|Sen|Rep|Pres|Jr|Sr|Mt|Ft"
    r"|Inc|Ltd|Co|Corp|Bros|No|Nos|Vol|Fig|Figs|Eq|Ch|Sec|pp?|vs|v|ca|c|cf|al|approx|e\.g|i\.e|etc|a\.k\.a"
    r"|Jan|Feb|Mar|Apr|Jun|Jul|Aug|Sept?|Oct|Nov|Dec|[A-Z](?:\.[A-Z])*)\.$"
)


_LONGEST = 32
"""Characters of the longest of these words, and more; what lies before is not searched again."""


def sentences(paragraph: str) -> list[str]:
    """Cut a paragraph into its sentences, in order; joined with spaces they are its words again.

    Args:
        paragraph: text without line breaks.
    """
    found: list[str] = []
    begin = 0
    end = _END if _CAPITAL.search(paragraph) else _END_WITHOUT_CAPITALS
    for match in end.finditer(paragraph):
        if not _GOES_ON.search(paragraph, max(begin, match.start() - _LONGEST), match.start()):
            found.append(paragraph[begin : match.end()].strip())
            begin = match.end()
    found.append(paragraph[begin:].strip())
    return [sentence for sentence in found if sentence]
