"""What makes an MFUPolicy invalid. An invalid policy says so in its status and changes nothing."""

from __future__ import annotations

from collections.abc import Iterator

from mfu.api.metadata import LabelSelector, SelectorOperator
from mfu.api.mfupolicy import PolicySpec, SharingMethod
from mfu.api.powers import ReclaimAction
from mfu.hardware.problem import Problem, ProblemReason
from mfu.hardware.products import product_named


def policy_problems(spec: PolicySpec) -> tuple[Problem, ...]:
    """Everything that keeps the policy from coming into force, empty when it is fine."""
    checks = (_prices, _listed, _ladder, _scaling, _sharing)
    found = (problem for check in checks for problem in check(spec))
    return (*found, *_selector(spec.namespace_selector))


def _invalid(field: str, problem: str, fix: str) -> Problem:
    return Problem(ProblemReason.INVALID_POLICY, field, problem, fix)


def _prices(spec: PolicySpec) -> Iterator[Problem]:
    seen: dict[str, str] = {}
    for row, price in enumerate(spec.prices):
        field = f"prices[{row}].product"
        gpu = product_named(price.product, field)
        if isinstance(gpu, Problem):
            yield gpu
        elif gpu.key in seen:
            problem = f"is {price.product!r}, the same GPU as {seen[gpu.key]}"
            yield _invalid(field, problem, "keep one of them")
        else:
            seen[gpu.key] = price.product


def _ladder(spec: PolicySpec) -> Iterator[Problem]:
    minutes = [step.after_idle_minutes for step in spec.reclaim.steps]
    if minutes != sorted(set(minutes)):
        yield _invalid("reclaim.steps", f"has idle times {minutes}, which do not rise", "order them, each time once")
    actions = [step.action for step in spec.reclaim.steps]
    if actions != sorted(actions, key=list(ReclaimAction).index):
        problem = f"has {', '.join(actions)}, where a rung is weaker than the one before"
        yield _invalid("reclaim.steps", problem, "order them Annotate, Event, Suspend")


def _listed(spec: PolicySpec) -> Iterator[Problem]:
    """Lists that the API server merges by key."""
    classes = [each.priority_class for each in spec.oversubscription]
    types = [str(each.type) for each in spec.actions]
    for field, keys in (("actions", types), ("oversubscription", classes)):
        twice = sorted({key for key in keys if keys.count(key) > 1})
        if twice:
            yield _invalid(field, f"names {', '.join(twice)} twice", "keep one of them")


def _scaling(spec: PolicySpec) -> Iterator[Problem]:
    low, high = spec.scaling.min_replicas, spec.scaling.max_replicas
    if low > high:
        yield _invalid("scaling.minReplicas", f"is {low} but maxReplicas is {high}", "raise maxReplicas")


def _sharing(spec: PolicySpec) -> Iterator[Problem]:
    unsafe = [method for method in spec.sharing.methods if method != SharingMethod.MIG]
    if spec.sharing.across_namespaces and unsafe:
        problem = f"is true but methods has {', '.join(unsafe)}, which do not isolate"
        yield _invalid("sharing.acrossNamespaces", problem, "allow only MIG, or share within a namespace")


def _selector(selector: LabelSelector) -> Iterator[Problem]:
    for one in selector.match_expressions:
        takes_values = one.operator in (SelectorOperator.IN, SelectorOperator.NOT_IN)
        if takes_values != bool(one.values):
            problem = f"has {one.operator} on {one.key} {'without' if takes_values else 'with'} values"
            fix = "list values" if takes_values else "remove values"
            yield _invalid("namespaceSelector.matchExpressions", problem, fix)
