"""One frame's wanted detections: class, score, size and place decide. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import numpy as np
from pydantic import AfterValidator, BaseModel, Field, model_validator

from pipelines.event.mask import Bools, Polygon, check_polygon, inside_any
from pipelines.values import Detections, FrameResult, Timeline

DEGRADED_PRESENCE = "presence"
"""`FrameResult.degraded` when only the presence model answered: somebody is there, but where is not known."""


_KEEP = 0.8
"""Of the score that begins an episode: what keeps it alive."""


class SightingOptions(BaseModel, frozen=True, extra="forbid"):
    """Which detections count."""

    classes: tuple[str, ...] = Field((), description="Class names that raise an alert; empty: all of the model's.")
    min_score: float | None = Field(
        None, ge=0, le=1, description="Least score (0..1) that can begin an episode; unset: what the model's card says."
    )
    keep_score: float | None = Field(
        None, ge=0, le=1, description="Least score (0..1) that keeps a living episode alive; unset: 0.8 x min_score."
    )
    min_area: float = Field(0.0, ge=0, le=1, description="Least size of a box, as a fraction (0..1) of the picture.")
    masks: tuple[Annotated[Polygon, AfterValidator(check_polygon)], ...] = Field(
        (), description="Polygons (relative x, y in 0..1): a detection whose bottom centre is inside one is ignored."
    )
    include_masks: tuple[Annotated[Polygon, AfterValidator(check_polygon)], ...] = Field(
        (), description="Polygons (relative x, y in 0..1): if any, only detections whose bottom centre is inside count."
    )
    presence_alerts: bool = Field(
        True,
        description="Raise an alert without boxes when no detector answers and only the presence model sees somebody.",
    )

    @model_validator(mode="after")
    def _keep_at_most_min(self) -> SightingOptions:
        if self.keep_score is not None and self.min_score is not None and self.keep_score > self.min_score:
            raise ValueError(f"keep_score {self.keep_score:g} is above min_score {self.min_score:g}: lower it")
        return self

    def beginning_score(self, advice: float) -> float:
        """The threshold while nothing lives; `advice` is the model card's."""
        return advice if self.min_score is None else self.min_score

    def keeping_score(self, advice: float) -> float:
        """The threshold while an episode lives. Whoever feeds the tracker must not cut above this."""
        return _KEEP * self.beginning_score(advice) if self.keep_score is None else self.keep_score


@dataclass(frozen=True, slots=True)
class Sighting:
    """What is wanted of one frame, best first. Without boxes only when the presence model alone answered."""

    time_ns: int
    wall_ms: int
    boxes: tuple[tuple[float, float, float, float], ...]
    """xyxy, source px."""
    classes: tuple[str, ...]
    scores: tuple[float, ...]
    source_wh: tuple[int, int]
    task: int
    model: str
    timeline: Timeline
    degraded: str | None
    source: str

    @property
    def top_score(self) -> float:
        return max(self.scores, default=0.0)


def sight(result: FrameResult, time_ns: int, options: SightingOptions, least_score: float) -> Sighting | None:
    """Pick the wanted detections of a frame; None if nothing counts."""
    names = class_names(result)
    found = result.detections
    keep = np.flatnonzero(_wanted(found, names, result.source_wh, options, least_score)).tolist()
    if not keep and not (options.presence_alerts and result.degraded == DEGRADED_PRESENCE and result.present):
        return None
    corners = found.xyxy.tolist()
    return Sighting(
        time_ns=time_ns,
        wall_ms=result.wall_ms,
        boxes=tuple((c[0], c[1], c[2], c[3]) for c in (corners[i] for i in keep)),
        classes=tuple(names[i] for i in keep),
        scores=tuple(float(found.scores[i]) for i in keep),
        source_wh=result.source_wh,
        task=result.task,
        model=result.model,
        timeline=result.timeline,
        degraded=result.degraded,
        source=result.source,
    )


def class_names(result: FrameResult) -> list[str]:
    """Class name of each detection; an index the model card does not name is spelled out."""
    known = result.class_names
    return [known[c] if 0 <= c < len(known) else f"class_{c}" for c in result.detections.classes.tolist()]


def _wanted(
    found: Detections, names: list[str], source_wh: tuple[int, int], options: SightingOptions, least_score: float
) -> Bools:
    """(n,) bool: which detections count."""
    wanted: Bools = found.scores >= least_score
    if options.classes:
        wanted &= np.fromiter((name in options.classes for name in names), np.bool_, len(names))
    if not (wanted.any() and (options.min_area > 0 or options.masks or options.include_masks)):
        return wanted
    width, height = source_wh
    relative = found.xyxy.astype(np.float64) / (width, height, width, height)
    wanted &= (relative[:, 2] - relative[:, 0]) * (relative[:, 3] - relative[:, 1]) >= options.min_area
    feet = np.stack([(relative[:, 0] + relative[:, 2]) / 2, relative[:, 3]], axis=1)
    if options.include_masks:
        wanted &= inside_any(feet, options.include_masks)
    return wanted & ~inside_any(feet, options.masks)
