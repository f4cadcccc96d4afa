"""ModelWorkload: what a tenant declares about one training job or one serving deployment."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field

from mfu.api.base import Moment, Name, Resource, ShortText, list_map
from mfu.api.cel import validations
from mfu.api.inference import Inference
from mfu.api.metadata import LabelSelector, ObjectMeta
from mfu.api.model import Model
from mfu.api.recommendations import AdviceAnswer
from mfu.api.rules import SPEC_RULES
from mfu.api.runtime import Precisions, Runtime
from mfu.api.training import Parallelism, Training
from mfu.api.workload_status import WorkloadStatus
from mfu.hardware.types import Precision


class Mode(StrEnum):
    TRAINING = "Training"
    INFERENCE = "Inference"


class Tunable(StrEnum):
    """What advice may change. None of the defaults alters results; Precision and Product may."""

    MICRO_BATCH = "MicroBatch"
    RECOMPUTE = "Recompute"
    LAYOUT = "Layout"
    PRECISION = "Precision"
    CONCURRENCY = "Concurrency"
    PRODUCT = "Product"


class Objective(StrEnum):
    THROUGHPUT = "Throughput"
    COST = "Cost"
    LATENCY = "Latency"


class ProgressUnit(StrEnum):
    TOKENS = "Tokens"
    SAMPLES = "Samples"
    STEPS = "Steps"


class ProgressScope(StrEnum):
    TOTAL = "Total"
    PER_RANK = "PerRank"


class TargetRef(Resource):
    """The object in the same namespace that owns the workload's pods."""

    api_version: Annotated[str, Field(min_length=1, max_length=128)]
    """API group and version, such as batch/v1."""
    kind: Annotated[str, Field(min_length=1, max_length=63)]
    """Kind, such as Job, Deployment, StatefulSet, JobSet or LeaderWorkerSet."""
    name: Name
    """Name of the object."""


class Accelerators(Resource):
    """The GPUs that the workload takes."""

    count: Annotated[int, Field(ge=1, le=1_048_576)]
    """GPUs (or MIG slices): in total for Training, per replica for Inference."""
    products: Annotated[tuple[Annotated[str, Field(min_length=1, max_length=64)], ...], Field(max_length=16)] = ()
    """Products it may run on, such as H100-SXM5; `mfu gpus` lists them. Empty means any."""
    resource_name: Annotated[str, Field(min_length=1, max_length=128)] = "nvidia.com/gpu"
    """Extended resource that the pods ask for."""
    mig_profile: Annotated[str, Field(max_length=32, pattern=r"^([1-9]g\.[0-9]{1,3}gb(\+[a-z.]{1,12})?)?$")] = ""
    """MIG profile such as 3g.40gb; empty for whole GPUs."""


class Progress(Resource):
    """Where the workload reports what it has done. Read from its own pods only."""

    metric: Annotated[str, Field(min_length=1, max_length=128, pattern=r"^[a-zA-Z_:][a-zA-Z0-9_:]*$")]
    """Name of a Prometheus counter, such as train_tokens_total."""
    port: Annotated[int, Field(ge=1, le=65_535)]
    """Port on the pod."""
    path: Annotated[str, Field(min_length=1, max_length=256, pattern=r"^(/[A-Za-z0-9._~-]+)*/?$")] = "/metrics"
    """HTTP path on the pod."""
    unit: ProgressUnit = ProgressUnit.TOKENS
    """What the counter counts: Tokens, Samples (sequences) or Steps."""
    scope: ProgressScope = ProgressScope.TOTAL
    """Total: each reporting pod gives the whole workload's count. PerRank: each gives its own share, to be added up."""


class Objection(Resource):
    """A tenant's objection to giving idle GPUs back. It has a term, which the policy's maxExemptionHours bounds."""

    exempt_until: Moment
    """Until when nothing is taken back from this workload (RFC 3339), such as 2026-12-01T18:00:00Z."""
    reason: ShortText = ""
    """Why, for the people who run the cluster."""


_DEFAULT_TUNABLE = (Tunable.MICRO_BATCH, Tunable.RECOMPUTE, Tunable.LAYOUT, Tunable.CONCURRENCY)


class WorkloadSpec(Resource):
    """What the model is and how it runs, as its owner declares it."""

    model_config = validations(*SPEC_RULES)

    mode: Mode
    """Training or Inference; the block of the same name must be there."""
    target_ref: TargetRef | None = None
    """Object that owns the pods; instead of podSelector. Pods labelled mfu.gpuaas.io/workload win over both."""
    pod_selector: LabelSelector | None = None
    """Labels of the pods; instead of targetRef."""
    model: Model
    """Which model it is: the name of a preset, or explicit dimensions."""
    precision: Precisions = Precisions()
    """Number formats; MFU is judged against the peak of precision.compute."""
    accelerators: Accelerators
    """GPUs that it takes: in total for Training, per replica for Inference."""
    training: Training | None = None
    """Batch, layout and memory saving of a training job; with mode: Training only."""
    inference: Inference | None = None
    """Requests, concurrency and latency objectives of one replica; with mode: Inference only."""
    runtime: Runtime | None = None
    """Software that runs the model, such as vLLM or Megatron, and how; what is absent means the engine's habit."""
    progress: Progress | None = None
    """Where it reports progress; without it MFU is estimated from GPU counters."""
    tunable: Annotated[
        tuple[Tunable, ...], Field(max_length=6, json_schema_extra={"x-kubernetes-list-type": "set"})
    ] = _DEFAULT_TUNABLE
    """What advice may change; `attainable` is the best within it. An empty list means nothing."""
    objective: Objective = Objective.THROUGHPUT
    """What advice optimises: Throughput, Cost or Latency."""
    reclaim: Objection | None = None
    """An objection to giving idle GPUs back, with a term; absent means none."""
    answers: Annotated[tuple[AdviceAnswer, ...], list_map("field", bound=16)] = ()
    """What you did with recommendations, and why: each is Done or Declined."""

    @property
    def parallelism(self) -> Parallelism:
        """Layout of whichever mode is declared; one GPU when the block is missing (then not accepted anyway)."""
        block = self.training or self.inference
        return Parallelism() if block is None else block.parallelism

    @property
    def weight_precision(self) -> Precision:
        """Stored format of weights after the documented default."""
        if self.precision.weights is not None:
            return self.precision.weights
        narrow = self.precision.compute in (Precision.FP8, Precision.FP4, Precision.INT8, Precision.INT4)
        return Precision.BF16 if self.mode == Mode.TRAINING and narrow else self.precision.compute

    @property
    def kv_precision(self) -> Precision:
        """Format of the key-value cache after the documented default."""
        if self.precision.kv_cache is not None:
            return self.precision.kv_cache
        narrow = {Precision.FP4: Precision.FP8, Precision.INT4: Precision.FP8}
        return narrow.get(self.weight_precision, self.weight_precision)


class ModelWorkload(Resource):
    """One training job or serving deployment, with how fast it should run, how fast it does, and why the two differ."""

    api_version: Literal["mfu.gpuaas.io/v1alpha1"] = "mfu.gpuaas.io/v1alpha1"
    kind: Literal["ModelWorkload"] = "ModelWorkload"
    metadata: ObjectMeta = ObjectMeta()
    spec: WorkloadSpec
    """What the model is and how it runs, as its owner declares it."""
    status: WorkloadStatus | None = None
    """What the operator predicts, observes and recommends."""

    @property
    def key(self) -> tuple[str, str]:
        """Namespace and name."""
        return (self.metadata.namespace or "default", self.metadata.name)
