"""One ModelWorkload up to what was found out about it: accept, predict, observe, and count its cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from mfu.api.acceptance import problems
from mfu.api.modelworkload import WorkloadSpec
from mfu.api.workload_status import Basis
from mfu.decide.types import EffectivePolicy
from mfu.engine.demand import attained_by, load_of, replicas_of, token_rates
from mfu.engine.history.calibration import learned_elsewhere
from mfu.engine.holdings.workload import Candidate, Held, candidates, held
from mfu.engine.judged import Judged, LearnedElsewhere, Refused, Running, Surroundings, Waiting
from mfu.engine.losses import explained
from mfu.engine.spending import cost_of
from mfu.engine.views import PodView, WorkloadView
from mfu.hardware.problem import Problem, ProblemReason
from mfu.observe.assess import Hints, assess
from mfu.observe.readings import WorkloadSeries
from mfu.predict import attainable, key_of, predict
from mfu.predict.declared import from_spec
from mfu.predict.types import Attainable, Corrections, Placement, Prediction, Setup, Tunable

SHIPPED: Final = Corrections()


def judge(
    view: WorkloadView,
    pods: Sequence[PodView],
    series: WorkloadSeries | None,
    policy: EffectivePolicy,
    around: Surroundings,
    *,
    conflict: Problem | None = None,
) -> Judged:
    """`conflict` says which pod of it an older workload keeps."""
    holding = held(pods, around.nodes)
    silenced = around.refused_of(holding)

    def refused(problem: Problem, setup: Setup | None = None) -> Refused:
        return Refused(view=view, policy=policy, holding=holding, refused=silenced, problem=problem, setup=setup)

    spec = view.spec
    if spec is None:
        return refused(Problem(ProblemReason.INVALID_SPEC, "", view.invalid or "the spec can not be read"))
    if problem := conflict or _contradiction(spec):
        return refused(problem)
    setup = from_spec(spec)
    if isinstance(setup, Problem):
        return refused(setup)
    if holding.unknown_products:
        return refused(_unknown(holding), setup)
    where = candidates(spec, holding, around.products)
    if isinstance(where, Problem):
        return refused(where, setup)
    predictions, problem = _predicted(setup, where)
    if problem is not None:
        return refused(problem, setup)
    best = _attainable(spec, setup, predictions)
    waiting = Waiting(
        view=view,
        policy=policy,
        holding=holding,
        refused=silenced,
        setup=setup,
        predictions=predictions,
        best=best,
        load=load_of(series, setup),
        token_rates=token_rates(series, setup, around.now),
        attained=attained_by(series, setup, around.now),
        replicas=replicas_of(spec, [pod for pod in pods if pod.bound]),
        replicas_pending=replicas_of(spec, [pod for pod in pods if pod.active and not pod.bound]),
    )
    return _observed(waiting, series, around)


def _contradiction(spec: WorkloadSpec) -> Problem | None:
    """What the API server's rules should have refused may come from an older definition, or from a file.

    Names before layouts: a layout may be impossible only because the name is wrong.
    """
    found = sorted(problems(spec), key=lambda each: each.reason is ProblemReason.IMPOSSIBLE_LAYOUT)
    return next(iter(found), None)


def _predicted(
    setup: Setup, where: Sequence[Candidate]
) -> tuple[tuple[tuple[Candidate, Prediction], ...], Problem | None]:
    """Where it can run; and why not, where it runs on a product that can not do it, or no product can.

    Never corrected by what was learned: what a workload itself runs at must not become what is expected of it.
    """
    answers = [(each, predict(setup, each.placement, SHIPPED)) for each in where]
    predictions = tuple((each, answer) for each, answer in answers if isinstance(answer, Prediction))
    refusals = [(each.basis, answer) for each, answer in answers if isinstance(answer, Problem)]
    told = next((why for basis, why in refusals if basis is Basis.ASSIGNED or not predictions), None)
    return predictions, told


def _attainable(
    spec: WorkloadSpec, setup: Setup, predictions: tuple[tuple[Candidate, Prediction], ...]
) -> Attainable | None:
    if not predictions:
        return None
    tunable = frozenset(Tunable(str(each)) for each in spec.tunable)
    answer = attainable(setup, predictions[0][0].placement, tunable, SHIPPED)
    return None if isinstance(answer, Problem) else answer


def _observed(waiting: Waiting, series: WorkloadSeries | None, around: Surroundings) -> Waiting | Running:
    """With readings, where pods hold GPUs; and what it costs."""
    main, gpus = waiting.main, waiting.holding.gpus
    if main is None:
        return waiting
    if not gpus:
        return replace(waiting, cost=cost_of(waiting, None, around.nodes))
    candidate, expected = main
    assessment = assess(
        waiting.setup,
        candidate.placement,
        expected=expected,
        attainable=waiting.best,
        series=series,
        now=around.now,
        hints=Hints(gpus=gpus),
    )
    return Running(
        view=waiting.view,
        policy=waiting.policy,
        holding=waiting.holding,
        refused=waiting.refused,
        setup=waiting.setup,
        predictions=waiting.predictions,
        best=waiting.best,
        load=waiting.load,
        token_rates=waiting.token_rates,
        attained=waiting.attained,
        replicas=waiting.replicas,
        replicas_pending=waiting.replicas_pending,
        cost=cost_of(waiting, assessment, around.nodes),
        learned=_learned(waiting, candidate.placement, around.corrections),
        assessment=assessment,
        findings=explained(assessment, expected, waiting.best),
    )


def _learned(waiting: Waiting, placement: Placement, known: Corrections) -> LearnedElsewhere | None:
    """What workloads of other namespaces on the same stack make likely here; None where they say nothing."""
    key = key_of(waiting.setup, placement)
    taught = learned_elsewhere(known, key, waiting.view.namespace) if waiting.policy.learns else None
    if taught is None:
        return None
    answer = predict(waiting.setup, placement, Corrections({key: taught.correction}))
    return LearnedElsewhere(answer, taught.evidence) if isinstance(answer, Prediction) else None


def _unknown(holding: Held) -> Problem:
    if holding.doubts:
        fix = "let GPU feature discovery label the node anew, and keep one GPU product a node"
        return Problem(ProblemReason.PRODUCTS_DISAGREE, "", f"{holding.doubts[0]}, so its MFU is unknown", fix)
    names = ", ".join(holding.unknown_products)
    wrong = f"runs on {names}, which no entry of the GPU catalog matches, so its MFU is unknown"
    fix = "run it on a product that `mfu gpus` lists, or ask for this one to be added"
    return Problem(ProblemReason.UNKNOWN_PRODUCT, "", wrong, fix)
