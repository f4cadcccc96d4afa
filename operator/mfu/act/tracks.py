"""What became of the actions that were sent: seen, still on their way, or withdrawn when their time is over."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from mfu.act.types import GATED, Action, Circumstances, Tag, Track, Withdrawal
from mfu.api.powers import ActionType
from mfu.decide.fleet.order import Reserved
from mfu.decide.types import EffectivePolicy

KEPT_SECONDS: Final = 3600.0
"""A tag for which nothing is proposed any more is forgotten this long after the last action."""
SEEN_WITHIN_SECONDS: Final = 60.0
"""Time that the cluster has to show an action, where no gate sets it."""
ENDING_SECONDS: Final = 600.0
"""The same where pods have to end: they write what they know, and may be given minutes for it."""

RESHAPING_SECONDS: Final = 3600.0
"""The same for a MIG layout: drained, made and offered, each within its own time, or back again (`ReshapeTerms`)."""


def settled(tracks: Mapping[Tag, Track], around: Circumstances) -> tuple[dict[Tag, Track], tuple[Withdrawal, ...]]:
    """After what the cluster shows now: what was seen is done with, what is overdue is withdrawn and counted."""
    kept: dict[Tag, Track] = {}
    withdrawn: list[Withdrawal] = []
    for tag, track in tracks.items():
        kept[tag] = track
        if track.expected_by is None:
            continue
        if tag in around.seen:
            kept[tag] = replace(track, expected_by=None, attempts=0)
        elif around.now >= track.expected_by:
            kept[tag] = replace(track, expected_by=None, attempts=track.attempts + 1)
            withdrawn.append(_overdue(track))
    return kept, tuple(withdrawn)


def _overdue(track: Track) -> Withdrawal:
    waited = (track.expected_by or 0.0) - (track.sent_at or 0.0)
    return Withdrawal(track.action, "NotSeen", f"not seen within {waited:.0f} s: {track.action.words}")


def followed(known: Track | None, action: Action, now: float) -> tuple[Track, Withdrawal | None]:
    """The track of what is proposed now. Another action than before starts anew; one on its way is taken back first."""
    if known is None:
        return Track(action, since=now), None
    if known.action.digest == action.digest:
        return replace(known, action=action), None
    fresh = Track(action, since=now, sent_at=known.sent_at)
    if not known.on_its_way:
        return fresh, None
    return fresh, Withdrawal(known.action, "Superseded", f"no longer decided: {known.action.words}")


def sent(track: Track, policy: EffectivePolicy, now: float) -> Track:
    return replace(track, sent_at=now, expected_by=now + deadline_seconds(track.action.type, policy))


def deadline_seconds(kind: ActionType, policy: EffectivePolicy) -> float:
    """Gated pods run unmodified after the gate's deadline: what was not seen by then never will be."""
    if kind is ActionType.MIG_LAYOUT:
        return RESHAPING_SECONDS
    if kind is ActionType.SUSPEND:
        return ENDING_SECONDS
    return policy.gate_deadline_seconds if kind in GATED else SEEN_WITHIN_SECONDS


def remembered(track: Track, now: float) -> bool:
    """Whether a tag that nobody proposes any more is still worth keeping."""
    return track.on_its_way or (track.sent_at is not None and now - track.sent_at < KEPT_SECONDS)


def reserved(tracks: Mapping[Tag, Track], around: Circumstances) -> tuple[Reserved, ...]:
    """What actions on their way have promised: the ledger must not promise it again."""
    open_, _ = settled(tracks, around)
    return tuple(
        Reserved(tag.workload, track.action.grants)
        for tag, track in sorted(open_.items())
        if track.on_its_way and track.action.grants
    )
