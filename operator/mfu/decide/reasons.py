"""Why a decision is what it is, in one word for programs. `docs/guide-tenant.md` tells people what each means."""

from __future__ import annotations

from enum import StrEnum


class Why(StrEnum):
    FITS_ONE_DOMAIN = "FitsOneDomain"
    SPANS_DOMAINS = "SpansDomains"
    SPLITS_TENSOR_GROUPS = "SplitsTensorGroups"
    NEVER_FITS = "NeverFits"
    OTHERS_AHEAD = "OthersAhead"
    FRAGMENTED = "Fragmented"
    NO_CAPACITY = "NoCapacity"
    OUT_OF_MEMORY = "OutOfMemory"
    MISSES_OBJECTIVE = "MissesObjective"
    FITS_NOWHERE = "FitsNowhere"
    TENSOR_LEAVES_DOMAIN = "TensorLeavesDomain"
    FASTER_PRODUCT_ALLOWED = "FasterProductAllowed"
    FAR_BELOW_ATTAINABLE = "FarBelowAttainable"
    EXPECTED_NEAR_ATTAINABLE = "ExpectedNearAttainable"
    ATTAINABLE_UNKNOWN = "AttainableUnknown"
    GROUPS_TOGETHER = "GroupsTogether"
    LAYOUT_SUITS_NODES = "LayoutSuitsNodes"
    TENSOR_GROUP_SPLIT = "TensorGroupSplit"
    RIGHT_SIZED = "RightSized"
    SMALLER_PROFILE_FITS = "SmallerProfileFits"
    NOT_MEASURED = "NotMeasured"
    KEEP_ENOUGH_TOGETHER = "KeepEnoughTogether"
    ROOM_IN_USE = "RoomInUse"
    NO_ROOM_IN_USE = "NoRoomInUse"
    BEFORE_THE_KNEE = "BeforeTheKnee"
    PAST_THE_KNEE = "PastTheKnee"
    LOAD_ABOVE_CAPACITY = "LoadAboveCapacity"
    LOAD_BELOW_CAPACITY = "LoadBelowCapacity"
