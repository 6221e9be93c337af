"""Names of a model's classes: told, from the file, or COCO's."""

from __future__ import annotations

import ast
from collections.abc import Mapping

from pipelines.errors import ModelError

_COCO_TEXT = (
    "person|bicycle|car|motorcycle|airplane|bus|train|truck|boat|traffic light|fire hydrant|stop sign|parking meter|"
    "bench|bird|cat|dog|horse|sheep|cow|elephant|bear|zebra|giraffe|backpack|umbrella|handbag|tie|suitcase|frisbee|skis|"
    "snowboard|sports ball|kite|baseball bat|baseball glove|skateboard|surfboard|tennis racket|bottle|wine glass|cup|"
    "fork|knife|spoon|bowl|banana|apple|sandwich|orange|broccoli|carrot|hot dog|pizza|donut|cake|chair|couch|"
    "potted plant|bed|dining table|toilet|tv|laptop|mouse|remote|keyboard|cell phone|microwave|oven|toaster|sink|"
    "refrigerator|book|clock|vase|scissors|teddy bear|hair drier|toothbrush"
)
COCO = tuple(_COCO_TEXT.split("|"))
"""The 80 classes of COCO 2017, in order."""
_COCO_GAPS = (0, 12, 26, 29, 30, 45, 66, 68, 69, 71, 83)
"""Numbers from 0 to 90 that COCO's category ids leave out."""


def class_names(told: tuple[str, ...], metadata: Mapping[str, str], count: int) -> tuple[str, ...]:
    """The names, in the model's order. `count` 0: the head does not say how many classes there are.

    Raises:
        ModelError: the names told do not fit the head.
    """
    names = told or _from_metadata(metadata.get("names", ""))
    if told and count and len(told) != count:
        raise ModelError(f"{len(told)} class names were given, but the head has {count} classes")
    if names and (not count or len(names) == count):
        return names
    if count in (0, len(COCO)):
        return COCO
    if count == len(COCO) + len(_COCO_GAPS):
        rest = iter(COCO)
        return tuple(f"unused_{i}" if i in _COCO_GAPS else next(rest) for i in range(count))
    return tuple(f"class_{i}" for i in range(count))


def _from_metadata(text: str) -> tuple[str, ...]:
    """Ultralytics writes {0: 'person', ...} or ['person', ...] as a Python literal. Read as data, never run."""
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return ()
    if isinstance(value, dict):
        value = [value.get(i) for i in range(len(value))]
    if isinstance(value, (list, tuple)) and all(isinstance(name, str) for name in value):
        return tuple(value)
    return ()
