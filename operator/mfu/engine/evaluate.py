"""`evaluate(snapshot, now) -> Plan`: the whole cycle as one pure function."""

from __future__ import annotations

from mfu.account.rollup import roll_up
from mfu.engine import fleet
from mfu.engine.calibration import calibration_rows
from mfu.engine.match import assign
from mfu.engine.plan import Plan
from mfu.engine.policies import in_force
from mfu.engine.report import report
from mfu.engine.snapshot import Snapshot
from mfu.engine.workload import Surroundings, plan_workload
from mfu.predict.learn import learn


def evaluate(snapshot: Snapshot, now: float) -> Plan:
    """What the cluster should say and do, given all that is known at `now` (Unix seconds).

    The same snapshot and moment give the same plan; applying the plan and evaluating again changes nothing.
    """
    # 1. Who governs, and whose pod is whose.
    force = in_force(snapshot.policies, snapshot.namespaces, now)
    assignment = assign(snapshot.workloads, snapshot.pods)
    # 2. Each workload through all rooms.
    around = Surroundings({node.name: node for node in snapshot.nodes}, snapshot.nodes, snapshot.corrections, now)
    plans = tuple(
        plan_workload(
            view,
            assignment.pods.get(view.key, ()),
            snapshot.series.get(view.key),
            force.of(view.namespace),
            around,
            conflict=assignment.conflicts.get(view.key),
            memory=snapshot.memory.get(view.key),
        )
        for view in snapshot.workloads
    )
    # 3. Add it up.
    rows = fleet.rows(around.nodes, assignment, plans, snapshot.fleet, force.by_namespace, force.cluster)
    figures = roll_up(rows)
    products = {node.name: node.device.gpu.api_name for node in snapshot.nodes if node.device}
    # 4. What was learned.
    corrections = snapshot.corrections
    for plan in plans:
        corrections = learn(corrections, plan.lesson) if plan.lesson else corrections
    told = report(figures, plans, products, force.cluster.currency, now)
    if told:
        told["calibration"] = calibration_rows(corrections)
    return Plan(plans, force.plans, figures, told, corrections)
