"""Sentences to words, near enough to the Penn Treebank's tokenizer that COCO's caption scores use.

COCO's evaluation runs Stanford's PTBTokenizer (Java) with lower-casing and then drops punctuation. The rules
below give the same words for ordinary English captions: contractions are split (`dog's` -> `dog 's`, `don't`
-> `do n't`, `cannot` -> `can not`), words keep their inner hyphens, apostrophes and decimal points, and
punctuation is dropped. What differs: abbreviations are known by their inner full stops only (`u.s.` keeps
them, `mr.` loses its own, where PTB keeps a list), brackets are dropped (COCO's evaluation leaves them as the
words `-lrb-` and `-rrb-`), and URLs, e-mail addresses and `'n'` are split at their punctuation.
"""

from __future__ import annotations

import re

__all__ = ["tokenize"]

_APOSTROPHES = str.maketrans({"’": "'", "‘": "'", "“": '"', "”": '"', "–": "--", "—": "--", "…": "..."})
_TOKEN = re.compile(
    r"""
      (?:[^\W\d_]\.){2,}                     # u.s.
    | [$£€%&@#*+=/<>]                        # signs that are words of their own
    | \d+(?:[.,:]\d+)+ | \.\d+               # 1,000  4.5  7:30  .5
    | '\d\ds?(?!\w)                          # '90s
    | (?<!\w)'(?:s|m|d|re|ve|ll)(?!\w)       # 's, split off before
    | \w+(?:[-/]\w+)*(?:'\w+)*               # dog  x-ray  2-year  1/2  dog's
    """,
    re.VERBOSE,
)
# A clitic that PTB makes a word of its own, at the end of a word.
_CLITIC = re.compile(r"(.+?)('s|'m|'d|'re|'ve|'ll|n't)$")
_TWO_WORDS = {
    "cannot": ("can", "not"),
    "gimme": ("gim", "me"),
    "gonna": ("gon", "na"),
    "gotta": ("got", "ta"),
    "lemme": ("lem", "me"),
    "wanna": ("wan", "na"),
}


def tokenize(sentence: str) -> list[str]:
    """The words of a sentence, lower-case, without punctuation.

    What it gives, joined by spaces, it gives again.
    """
    words: list[str] = []
    for match in _TOKEN.finditer(sentence.translate(_APOSTROPHES).lower()):
        word = match.group()
        if word in _TWO_WORDS:
            words.extend(_TWO_WORDS[word])
            continue
        ends: list[str] = []
        while clitic := _CLITIC.match(word):
            word = clitic[1]
            ends.append(clitic[2])
        words += [word, *reversed(ends)]
    return words
