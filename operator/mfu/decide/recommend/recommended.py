"""A recommendation and the state of the workload that it leads to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from mfu.api.causes import Actor
from mfu.api.recommendations import RecommendationKind as Kind
from mfu.hardware.price import per_million_tokens, price_per_hour
from mfu.predict.types import Placement, Prediction, Setup


@dataclass(frozen=True, slots=True)
class Reach:
    """One state of a workload: how it is set, where it runs, what is predicted there, and how much of that is made."""

    setup: Setup
    placement: Placement
    prediction: Prediction
    replicas: int = 1
    share: float = 1.0
    """Observed ÷ expected; 1 where nothing is observed. It stays the same whatever is set differently."""
    runs: bool = True
    """False before it fits: then it makes nothing, and what it would make is no figure to show."""

    @property
    def gpus(self) -> int:
        return self.placement.gpus * self.replicas

    @property
    def rate(self) -> float:
        """Tokens/s of one replica as predicted: what replicas are counted by."""
        return self.prediction.tokens_per_s_per_gpu * self.placement.gpus

    @property
    def tokens_per_s(self) -> float | None:
        """Of all its GPUs; None where it does not run."""
        return self.rate * self.replicas * self.share if self.runs else None

    def cost_per_hour(self, prices: Mapping[str, float]) -> float | None:
        return price_per_hour(prices, self.placement.device, self.gpus)

    def cost_per_million_tokens(self, prices: Mapping[str, float]) -> float | None:
        return per_million_tokens(self.cost_per_hour(prices), self.tokens_per_s)


@dataclass(frozen=True, slots=True)
class NextStep:
    """One thing to do; what it leaves as it is is None."""

    kind: Kind
    field: str = ""
    before: str = ""
    after: str = ""
    actor: Actor = Actor.TENANT
    words: str = ""
    """What to do where `field before → after` does not say it."""
    setup: Setup | None = None
    placement: Placement | None = None
    prediction: Prediction | None = None
    replicas: int | None = None
    share: float | None = None

    @property
    def action(self) -> str:
        return self.words or f"{self.field} {self.before} → {self.after}"

    def on(self, reach: Reach) -> Reach:
        """The state with this done; what was made to fit runs."""
        return replace(
            reach,
            setup=self.setup or reach.setup,
            placement=self.placement or reach.placement,
            prediction=self.prediction or reach.prediction,
            replicas=reach.replicas if self.replicas is None else self.replicas,
            share=reach.share if self.share is None else self.share,
            runs=True,
        )


@dataclass(frozen=True, slots=True)
class Recommended:
    """One step of the list, with the state that it leads to on top of all steps before it."""

    step: NextStep
    reach: Reach
    gain: float | None
    """Tokens/s that it adds, as a share of the state before it; None where nothing ran before, or runs after."""

    @property
    def kind(self) -> Kind:
        return self.step.kind


def first_of(recommended: Sequence[Recommended], kind: Kind) -> Recommended | None:
    return next((each for each in recommended if each.kind is kind), None)
