"""Paragraphs cut into sentences, by rules that need no model and never fail."""

from __future__ import annotations

import re

# A full stop, a question or an exclamation mark, what closes after it, then space before what may open a
# sentence: a capital, a digit or an opening quote or bracket.
_END = re.compile(r"""(?<=[.!?])["'”’)\]]*(?=\s+["'“‘(\[]*[A-Z0-9À-Þ])|(?<=[。！？])""")
# The same where a paragraph has no capitals, or is of another script that may have Latin names in it.
_CAPITAL = re.compile(r"[A-ZÀ-Þ]")
_OTHER_SCRIPT = re.compile(r"[^a-zß-ÿ]*[\u0370-\u1fff][^a-zß-ÿ]*")
_END_WITHOUT_CAPITALS = re.compile(r"""(?<=[.!?])["'”’)\]]*(?=\s)|(?<=[。！？])""")
# Words whose full stop ends no sentence: titles, abbreviations before names and numbers, single initials.
_TITLES = (
    "Mrs?|Ms|Drs?|Prof|Rev|Hon|Gen|Col|Maj|Capt|Lt|Sgt|Gov|Sen|Rep|Pres|Jr|Sr|Inc|Ltd|Corp|Bros|Vol|Figs?|Eq|Ch"
    "|Jan|Feb|Mar|Apr|Jun|Jul|Aug|Sept?|Oct|Nov|Dec"
)
# Without a capital these are, or may be, words that end a sentence.
_TITLES_OR_WORDS = "Sts?|Mt|Ft|Co|Nos?|Sec"
_ABBREVIATIONS = r"pp?|vs|v|ca|c|cf|al|approx|e\.g|i\.e|etc|a\.k\.a"
_BEFORE = r"(?:^|[\s(\[\"'“‘])"
_GOES_ON = re.compile(rf"{_BEFORE}(?:{_TITLES}|{_TITLES_OR_WORDS}|{_ABBREVIATIONS}|[A-Z](?:\.[A-Z])*)\.$")
_GOES_ON_WITHOUT_CAPITALS = re.compile(
    rf"{_BEFORE}(?:{_TITLES.lower()}|{_ABBREVIATIONS}|[^\W\d_](?:\.[^\W\d_])*)\.$"
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
    end, goes_on = _END, _GOES_ON
    if not _CAPITAL.search(paragraph) or _OTHER_SCRIPT.fullmatch(paragraph):
        end, goes_on = _END_WITHOUT_CAPITALS, _GOES_ON_WITHOUT_CAPITALS
    for match in end.finditer(paragraph):
        if not goes_on.search(paragraph, max(begin, match.start() - _LONGEST), match.start()):
            found.append(paragraph[begin : match.end()].strip())
            begin = match.end()
    found.append(paragraph[begin:].strip())
    return [sentence for sentence in found if sentence]
