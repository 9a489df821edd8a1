"""The sweep: what a user asks for, validated."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Discriminator, Field, PositiveInt, PrivateAttr, Tag, field_validator

from benchmark.config.yaml_source import YamlSource
from methods.settings import Settings, Training, number_or_by_task
from tasks.corpus.declaration import Corpus

Limit = Annotated[int, Field(ge=8)]
Limits = Annotated[
    Annotated[Limit | None, Tag("number")] | Annotated[dict[str, Limit], Tag("by task")],
    Discriminator(number_or_by_task),
]


def _one_entry(entry: Any) -> Any:
    """Say in one sentence what pydantic says once for each branch of the union."""
    if isinstance(entry, str):
        return entry
    if not isinstance(entry, dict):
        raise ValueError(f"takes a name or {{name: {{field: value}}}}, not {entry!r}")
    for name, fields in entry.items():
        if fields is None or isinstance(fields, dict):
            continue
        if above := [other for other, its in entry.items() if its is None]:
            raise ValueError(f"indent {name} further: it is a field of {above[-1]}, and no method or study")
        raise ValueError(f"write {{{name}: {{field: value}}}}, not {{{name}: {fields!r}}}")
    return entry


Entry = Annotated[str | dict[str, dict[str, Any] | None], BeforeValidator(_one_entry)]
"""An entry of `methods` or `studies`: a name, or names with their fields."""
CollapsedTeacher = Literal["mark", "redraw", "fail"]


class Resources(Settings):
    """What one trial gets."""

    cpu: float = Field(1, gt=0, description="CPUs of a trial; also its number of threads")
    gpu: float = Field(0, ge=0, description="GPUs of a trial; a fraction shares one")


class SweepResources(Resources):
    """What each trial gets, with exceptions by method."""

    methods: dict[str, Resources] = Field(
        default_factory=dict, description="overrides by method, e.g. {kd: {cpu: 2}}"
    )

    def of(self, method: str) -> Resources:
        """Return the resources of one trial of `method`; what its exception leaves out is the sweep's."""
        own = self.methods.get(method)
        return Resources(
            **{"cpu": self.cpu, "gpu": self.gpu, **(own.model_dump(exclude_unset=True) if own else {})}
        )


class LatencySettings(Settings):
    """How latency is measured, apart from training, on really smaller weights."""

    batch_sizes: tuple[PositiveInt, ...] = Field((1, 4, 16, 64), min_length=1)
    length: int = Field(128, ge=4, description="tokens of every example")
    repeats: int = Field(7, ge=3, description="interleaved repeats; median and quartiles are shown")


class Sweep(Settings):
    """Methods x tasks x seeds, and the protocol they share."""

    name: str = Field(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", description="names the output folder and MLflow run"
    )
    model: str = Field(
        min_length=1,
        description="pretrained encoder: a Hub id, pinned as `id@revision`; a folder; or `minilm` (packaged)",
    )
    data: str = Field("nyu-mll/glue", description="Hub id, a folder in the Hub's layout, or `bundled`")
    corpus: Corpus | None = Field(
        None, description="text for pre-training: a folder of .txt files, or a data set with a text column"
    )
    tasks: tuple[str, ...] = Field(min_length=1, description="see `leanboard list tasks`")
    methods: tuple[Entry, ...] = Field(
        min_length=1, description="names or {name: {field: value}}; {field: {grid: [a, b]}} expands"
    )
    studies: tuple[Entry, ...] = Field(
        (), description="analyses with the same start models; see `leanboard list studies`"
    )
    seeds: tuple[int, ...] = Field((1, 2, 3, 4, 5), min_length=1, description="a number n means 1..n")
    limit: Limits = Field(
        None, description="training examples per task, stratified: a number, or by task; null: all"
    )
    selection: Annotated[float, Field(gt=0, lt=1)] | Annotated[int, Field(ge=2)] = Field(
        0.2, description="share of train held out for choices, or a number of examples"
    )
    train: Training = Field(default_factory=Training, description="how every model is trained")
    resources: SweepResources = Field(default_factory=SweepResources, description="CPUs and GPUs of a trial")
    timeout: float = Field(7200, gt=0, le=1e7, description="seconds after which a trial is killed")
    baseline: str = Field("finetune", description="label every method is compared with")
    margins: dict[str, Annotated[float, Field(gt=0)]] = Field(
        default_factory=dict, description="equivalence margins in points, by task or `overall`"
    )
    latency: LatencySettings | None = Field(default_factory=LatencySettings, description="null: not measured")
    collapsed_teacher: CollapsedTeacher = Field(
        "mark",
        description="mark: run and say so; redraw: other seeds, at most three times; fail: stop dependants",
    )

    _source: YamlSource = PrivateAttr(default_factory=lambda: YamlSource("sweep", None))
    _folder: Path = PrivateAttr(default_factory=Path.cwd)

    @field_validator("seeds", mode="before")
    @classmethod
    def _count(cls, seeds: Any) -> Any:
        if isinstance(seeds, int) and not isinstance(seeds, bool):
            if seeds < 1:
                raise ValueError("needs at least one seed")
            return tuple(range(1, seeds + 1))
        return seeds

    @field_validator("corpus", mode="before")
    @classmethod
    def _source_alone(cls, corpus: Any) -> Any:
        return {"source": corpus} if isinstance(corpus, str) else corpus

    @field_validator("seeds", "tasks")
    @classmethod
    def _once(cls, values: tuple[Any, ...]) -> tuple[Any, ...]:
        twice = sorted({value for value in values if values.count(value) > 1})
        if twice:
            raise ValueError(f"{', '.join(map(str, twice))} appears twice; every entry is run once")
        return values

    @field_validator("selection", mode="before")
    @classmethod
    def _share_or_count(cls, selection: Any) -> Any:
        # One sentence instead of one for each branch of the union.
        number = isinstance(selection, int | float) and not isinstance(selection, bool)
        if number and not (0 < selection < 1 or (isinstance(selection, int) and selection >= 2)):
            raise ValueError(
                f"must be a share between 0 and 1 or a whole number of examples from 2, not {selection}"
            )
        return selection

    @field_validator("methods", "studies", mode="before")
    @classmethod
    def _not_one_name(cls, works: Any) -> Any:
        if isinstance(works, str | dict):
            raise ValueError("must be a list, e.g. [finetune, {kd: {layers: 3}}]")
        return works

    @property
    def source(self) -> YamlSource:
        """The YAML it was read from; errors found later name its lines."""
        return self._source

    @property
    def folder(self) -> Path:
        """The folder relative paths of this sweep are relative to."""
        return self._folder

    def read_from(self, source: YamlSource, folder: Path) -> Sweep:
        """Remember where the sweep was read from."""
        self._source, self._folder = source, folder
        return self
