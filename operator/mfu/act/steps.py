"""What to do now: every proposal through the guards, in a fixed order, with what was sent before in mind."""

from __future__ import annotations

from collections.abc import Sequence

from mfu.act.guards import Guarded, hindrance, recent
from mfu.act.tracks import followed, remembered, sent, settled
from mfu.act.types import Acted, Acts, Circumstances, Proposal, Sent, Step


def act(proposals: Sequence[Proposal], before: Acted, around: Circumstances) -> Acts:
    """Every proposal as a step: to be done, or as its dry run with the reason.

    Pure. Of those that one rate limits, the highest priority goes first; asking again at the same moment, with what was
    sent remembered, sends nothing twice.
    """
    draft = _Draft(before, around)
    for proposal in sorted(proposals, key=_urgency):
        draft.step(proposal)
    return draft.acts()


class _Draft:
    """The steps while they are made. Lives within one call of `act`."""

    def __init__(self, before: Acted, around: Circumstances) -> None:
        self._around = around
        self._tracks, overdue = settled(before.tracks, around)
        self._withdrawals = list(overdue)
        self._recent = list(recent(before.recent, around.now))
        self._steps: list[Step] = []

    def step(self, proposal: Proposal) -> None:
        action, now = proposal.action, self._around.now
        track, taken_back = followed(self._tracks.get(action.tag), action, now)
        if taken_back is not None:
            self._withdrawals.append(taken_back)
        why_not = hindrance(Guarded(proposal, track, self._around, self._recent))
        if why_not is None:
            self._recent.append(Sent(now, proposal.policy.name or "", action.type))
            track = sent(track, proposal.policy, now)
        self._tracks[action.tag] = track
        self._steps.append(Step(action, why_not))

    def acts(self) -> Acts:
        proposed = {each.action.tag for each in self._steps}
        now = self._around.now
        kept = {tag: each for tag, each in self._tracks.items() if tag in proposed or remembered(each, now)}
        # What was never sent has nothing to be remembered for.
        tracks = {tag: each for tag, each in sorted(kept.items()) if each.sent_at is not None}
        return Acts(tuple(self._steps), tuple(self._withdrawals), Acted(tracks, tuple(self._recent)))


def _urgency(proposal: Proposal) -> tuple[int, str, str]:
    return -proposal.priority, proposal.action.workload, proposal.action.type
