"""Methods and studies by name: the built-in ones and those of installed plug-ins. Imports no torch."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from importlib.metadata import EntryPoint, entry_points

from methods.method import Method, Work
from methods.study import Study
from tasks.errors import BadInput, did_you_mean

GROUP = "leanboard.methods"
STUDY_GROUP = "leanboard.studies"

METHODS = {
    "finetune": "methods.baselines.finetune:Finetune",
    "finetune-more": "methods.baselines.finetune_more:FinetuneMore",
    "random-heads": "methods.pruning.random_heads:RandomHeads",
    "auber": "methods.pruning.auber.method:Auber",
    "confidence-heads": "methods.pruning.confidence_heads:ConfidenceHeads",
    "magnitude-heads": "methods.pruning.magnitude_heads:MagnitudeHeads",
    "l0-heads": "methods.pruning.l0_heads:L0Heads",
    "greedy-heads": "methods.pruning.greedy_heads:GreedyHeads",
    "sixteen-heads": "methods.pruning.sixteen_heads:SixteenHeads",
    "ffn-neurons": "methods.pruning.ffn_neurons:FfnNeurons",
    "kd": "methods.distillation.kd:KnowledgeDistillation",
    "patient-kd": "methods.distillation.patient_kd:PatientKD",
    "distilbert": "methods.distillation.distilbert:DistilBERT",
    "tinybert": "methods.distillation.tinybert:TinyBERT",
    "pea-kd": "methods.distillation.pea_kd:PeaKD",
    "shared-layers": "methods.sharing.shared_layers:SharedLayers",
    "albert": "methods.sharing.albert.albert:Albert",
    "mobilebert": "methods.compact.mobilebert.mobilebert:MobileBert",
}
PREREQUISITES = {
    "teacher-outputs": "methods.distillation.teacher_outputs:TeacherOutputs",
    "teacher-states": "methods.distillation.teacher_states:TeacherStates",
    "pretrained-encoder": "methods.pretraining.encoder:PretrainedEncoder",
    "ib-bert-teacher": "methods.compact.mobilebert.ib_bert_teacher:IbBertTeacher",
    "mobilebert-transfer": "methods.compact.mobilebert.mobilebert_transfer:MobileBertTransfer",
}
BUILT_IN = METHODS | PREREQUISITES

STUDIES = {
    "head-ablation": "methods.studies.head_ablation:HeadAblation",
    "one-head": "methods.studies.one_head:OneHead",
    "transfer": "methods.studies.transfer:Transfer",
    "pruning-curve": "methods.studies.pruning_curve:PruningCurve",
    "pruning-speed": "methods.studies.pruning_speed:PruningSpeed",
    "training-dynamics": "methods.studies.training_dynamics:TrainingDynamics",
    "layerwise": "methods.studies.layerwise:Layerwise",
    "equal-budget": "methods.studies.equal_budget:EqualBudget",
    "sharing-ablation": "methods.studies.sharing_ablation:SharingAblation",
    "sentence-objective": "methods.studies.sentence_objective:SentenceObjective",
    "pretraining-curves": "methods.studies.pretraining_curves:PretrainingCurves",
    "layer-distance": "methods.studies.layer_distance:LayerDistance",
    "operations": "methods.studies.operations:Operations",
    "transfer-strategies": "methods.studies.transfer_strategies:TransferStrategies",
    "pea-kd-steps": "methods.studies.pea_kd_steps:PeaKDSteps",
    "tuning": "methods.studies.tuning:Tuning",
}


def find(name: str) -> type[Work]:
    """Return the work of this name.

    Raises:
        BadInput: there is none, or a plug-in cannot be imported.
    """
    addresses = _addresses()
    if name not in addresses:
        raise BadInput(
            f"unknown method {name!r}; {did_you_mean(name, addresses.keys() - PREREQUISITES.keys())}"
        )
    return resolve(addresses[name])


def find_study(name: str) -> type[Study]:
    """Return the study of this name.

    Raises:
        BadInput: there is none, or a plug-in cannot be imported or is no study.
    """
    addresses = _addresses(STUDY_GROUP, STUDIES)
    if name not in addresses:
        raise BadInput(f"unknown study {name!r}; {did_you_mean(name, addresses)}")
    return _study(addresses[name])


def studies() -> dict[str, type[Study]]:
    """Every study by name."""
    return {name: _study(address) for name, address in _addresses(STUDY_GROUP, STUDIES).items()}


def _study(address: str) -> type[Study]:
    work = resolve(address)
    if not issubclass(work, Study):
        raise BadInput(f"study {address!r} is not a subclass of leanboard.Study")
    return work


def methods() -> dict[str, type[Method]]:
    """Every method by name; prerequisites are left out."""
    found = {name: resolve(address) for name, address in _addresses().items()}
    return {name: work for name, work in found.items() if issubclass(work, Method)}


def address(work: type[Work]) -> str:
    """Return `module:Class`, by which workers find the class without entry points."""
    return f"{work.__module__}:{work.__qualname__}"


def resolve(address: str) -> type[Work]:
    """Import the class at `module:Class`.

    Raises:
        BadInput: it cannot be imported, is no method, or has no name.
    """
    module, _, name = address.partition(":")
    try:
        work = getattr(importlib.import_module(module), name)
    except Exception as error:  # A plug-in's module may raise anything.
        raise BadInput(
            f"method {address!r} cannot be imported: {error!r}; fix or uninstall its package"
        ) from error
    if not (isinstance(work, type) and issubclass(work, Work)):
        raise BadInput(f"method {address!r} is not a subclass of leanboard.Method")
    if "name" not in vars(work):
        raise BadInput(
            f"method {address!r} has no name; add class arguments, e.g. "
            f"class {work.__name__}(Method, name='my-method', family='pruning')"
        )
    return work


def _addresses(group: str = GROUP, built_in: Mapping[str, str] = BUILT_IN) -> dict[str, str]:
    found = dict(built_in)
    for plug_in in entry_points(group=group):
        if plug_in.name in found:
            raise BadInput(
                f"two {group.rpartition('.')[2]} are called {plug_in.name!r}: {found[plug_in.name]} and "
                f"{_origin(plug_in)}"
            )
        found[plug_in.name] = plug_in.value
    return found


def _origin(plug_in: EntryPoint) -> str:
    package = plug_in.dist.name if plug_in.dist else "an unknown package"
    return f"{plug_in.value} of {package}"
