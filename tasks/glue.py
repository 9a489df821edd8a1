"""Tasks of GLUE (Wang et al., ICLR 2019, arXiv 1804.07461) as the Hub's `nyu-mll/glue` holds them.

Sizes, label names and majority scores are those of the pinned revision. The Hub's test labels are all -1, so
the official validation split is what papers score on, and so do we.
"""

from __future__ import annotations

from tasks.task import Task

_PATH = "nyu-mll/glue"
_REVISION = "bcdcba79d07bc864c1c254ccfcedcce55bcc9a8c"
_LICENCE = "other: the terms of the original data apply"
_GLUE = (
    "Wang et al., GLUE: A Multi-Task Benchmark and Analysis Platform for Natural Language Understanding, "
    "ICLR 2019, arXiv 1804.07461"
)

RTE = Task(
    name="rte",
    title="Recognizing Textual Entailment",
    short="RTE",
    path=_PATH,
    config="rte",
    revision=_REVISION,
    columns=("sentence1", "sentence2"),
    labels=("entailment", "not_entailment"),
    metrics=("accuracy",),
    primary="accuracy",
    majority=146 / 277,
    margin=3.0,
    rows={"train": 2_490, "validation": 277, "test": 3_000},
    licence=_LICENCE,
    citation="Dagan et al. 2006; Bar Haim et al. 2006; Giampiccolo et al. 2007; Bentivogli et al. 2009; in "
    + _GLUE,
)

MRPC = Task(
    name="mrpc",
    title="Microsoft Research Paraphrase Corpus",
    short="MRPC",
    path=_PATH,
    config="mrpc",
    revision=_REVISION,
    columns=("sentence1", "sentence2"),
    labels=("not_equivalent", "equivalent"),
    metrics=("f1", "accuracy"),
    primary="f1",
    majority=2 * 279 / (279 + 408),
    margin=2.0,
    rows={"train": 3_668, "validation": 408, "test": 1_725},
    licence=_LICENCE,
    citation=(
        "Dolan and Brockett, Automatically Constructing a Corpus of Sentential Paraphrases, IWP 2005; in "
        + _GLUE
    ),
)

SST2 = Task(
    name="sst2",
    aliases=("SST-2",),
    title="Stanford Sentiment Treebank",
    short="SST-2",
    path=_PATH,
    config="sst2",
    revision=_REVISION,
    columns=("sentence",),
    labels=("negative", "positive"),
    metrics=("accuracy",),
    primary="accuracy",
    majority=444 / 872,
    margin=1.5,
    rows={"train": 67_349, "validation": 872, "test": 1_821},
    licence=_LICENCE,
    citation=(
        "Socher et al., Recursive Deep Models for Semantic Compositionality Over a Sentiment Treebank, "
        "EMNLP 2013; in " + _GLUE
    ),
)

QNLI = Task(
    name="qnli",
    title="Question-answering Natural Language Inference",
    short="QNLI",
    path=_PATH,
    config="qnli",
    revision=_REVISION,
    columns=("question", "sentence"),
    labels=("entailment", "not_entailment"),
    metrics=("accuracy",),
    primary="accuracy",
    majority=2_761 / 5_463,
    margin=1.0,
    rows={"train": 104_743, "validation": 5_463, "test": 5_463},
    licence=_LICENCE,
    citation=(
        "Rajpurkar et al., SQuAD: 100,000+ Questions for Machine Comprehension of Text, EMNLP 2016; in "
        + _GLUE
    ),
)

COLA = Task(
    name="cola",
    title="Corpus of Linguistic Acceptability",
    short="CoLA",
    path=_PATH,
    config="cola",
    revision=_REVISION,
    columns=("sentence",),
    labels=("unacceptable", "acceptable"),
    metrics=("matthews",),
    primary="matthews",
    majority=0.0,
    margin=3.0,
    domains={"in-domain": (0, 527), "out-of-domain": (527, 1_043)},
    rows={"train": 8_551, "validation": 1_043, "test": 1_063},
    licence=_LICENCE,
    citation=(
        "Warstadt, Singh and Bowman, Neural Network Acceptability Judgments, TACL 7, 2019, arXiv 1805.12471; "
        "in " + _GLUE
    ),
)

GLUE = (RTE, MRPC, SST2, QNLI, COLA)
"""The tasks the overall score is a mean over."""

MNLI = Task(
    name="mnli",
    title="Multi-Genre Natural Language Inference",
    path=_PATH,
    config="mnli",
    revision=_REVISION,
    columns=("premise", "hypothesis"),
    labels=("entailment", "neutral", "contradiction"),
    metrics=("accuracy",),
    primary="accuracy",
    majority=(3_479 + 3_463) / (9_815 + 9_832),
    margin=1.0,
    validation=("validation_matched", "validation_mismatched"),
    domains={"matched": (0, 9_815), "mismatched": (9_815, 19_647)},
    rows={"train": 392_702, "validation": 19_647},
    overall=False,
    licence=_LICENCE,
    citation=(
        "Williams, Nangia and Bowman, A Broad-Coverage Challenge Corpus for Sentence Understanding through "
        "Inference, NAACL 2018, arXiv 1704.05426; in " + _GLUE
    ),
)

WNLI = Task(
    name="wnli",
    title="Winograd Natural Language Inference",
    path=_PATH,
    config="wnli",
    revision=_REVISION,
    columns=("sentence1", "sentence2"),
    labels=("not_entailment", "entailment"),
    metrics=("accuracy",),
    primary="accuracy",
    majority=40 / 71,
    margin=5.0,
    rows={"train": 635, "validation": 71, "test": 146},
    overall=False,
    licence=_LICENCE,
    citation="Levesque, Davis and Morgenstern, The Winograd Schema Challenge, KR 2012; in " + _GLUE,
)

BESIDE = (MNLI, WNLI)
"""Tasks papers study heads on, outside the overall score."""
