"""Broken lines that once lived: `switch_off` tries them too. They guard what is shown, not against anybody."""

from __future__ import annotations

from typing import Final

from tests.attacks.controls import Control

_LIVED: Final = "A mutant that lived"

MUTANTS: Final = tuple(
    Control(_LIVED, *each)
    for each in (
        ("the reference MFU is over the 16-bit peak", "observe/windows.py",
         "else mfu * own / reference", "else mfu", "tests/observe/test_reference_mfu.py"),
        ("a lease is renewed with the time of its renewal", "cluster/lease.py",
         '"renewTime": _micro(now),', '"renewTime": _micro(datetime.fromtimestamp(0, UTC)),',
         "tests/cluster/test_lease_time.py"),
        ("a lease counts from before its renewal was asked for", "cluster/lease.py",
         "self._renewed = asked_at", "self._renewed = asyncio.get_running_loop().time()",
         "tests/cluster/test_lease_time.py"),
        ("what only we wrote is no news", "cluster/declared.py",
         "self._note(news=new)", "self._note()",
         "tests/cluster/test_declared.py -k only_we_wrote"),
        ("one clock-event reason is enough", "telemetry/dcgm/adapter.py",
         "np.where(np.isnan(other), one, one + other)", "one + other", "tests/telemetry/test_dcgm_units.py"),
        ("the policy's limit bounds scaling", "decide/workload/scaling.py",
         "policy.scaling_max_replicas),", "None),", "tests/decide/test_scaling.py"),
        ("admission's floor is the policy's, two percent above", "decide/workload/admission.py",
         "floor = subject.policy.expected_of_attainable", "floor = 1.02 * subject.policy.expected_of_attainable",
         "tests/decide/test_admission.py"),
        ("admission's floor is the policy's, two percent below", "decide/workload/admission.py",
         "floor = subject.policy.expected_of_attainable", "floor = 0.98 * subject.policy.expected_of_attainable",
         "tests/decide/test_admission.py"),
        ("what was learned comes back after a start", "controller/loop.py",
         "self.corrections = restored(self.state.report.read().calibration)", "self.corrections = Corrections()",
         "tests/controller/test_loop.py"),
        ("what was learned is read once, not over what this process learned", "controller/loop.py",
         "if self.corrections is None:", "if True:", "tests/controller/test_loop.py"),
    )
)  # fmt: skip
