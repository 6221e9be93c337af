"""Re-measure presence.onnx and detector.onnx on the footage a machine has: Markdown tables, and pictures to look at.

    python scripts/train/evaluate.py --data DIR --report FILE [--pictures DIR]
    python scripts/train/evaluate.py --data DIR --report FILE --presence FILE [--reference FILE]

Needs the installed project (onnx, onnxruntime, OpenCV, PyAV); no torch. Parts: `third` = the last third of a clip whose
first two thirds were trained on (the same scene, later), `clip` = never trained on, `unclear` = the same, licence not
known. Fed: `card` = float RGB as in training, `product` = what the product's own steps make of the decoder's planes.
"""

from __future__ import annotations

import argparse
import hashlib
import platform
from pathlib import Path

import cv2
import onnxruntime

import evaluate_detector
import evaluate_presence
from clip import CLIPS
from evaluate_product import ProductDetector
from footage import load
from teacher import Teacher

NO_TEACHER = ("no teacher on this machine: not measured\n",)
SHIPPED = Path(__file__).parents[2] / "pipelines" / "model" / "shipped"


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with video/, gt/ and models/")
    parser.add_argument("--report", type=Path, help="write the tables here too")
    parser.add_argument("--models", type=Path, default=SHIPPED, help="folder with presence.onnx and detector.onnx")
    parser.add_argument("--presence", type=Path, help="measure this presence model, and no detector")
    parser.add_argument("--reference", type=Path, help="with --presence: how far its answers are from this model's")
    parser.add_argument("--teacher", type=Path, help="YOLOX-nano 416; default: DATA/models/yolox_nano_416.onnx")
    parser.add_argument("--clips", nargs="*", help="names of clips; default: all that are there")
    parser.add_argument("--threshold", type=float, default=0.4, help="of presence")
    parser.add_argument("--score", type=float, default=0.6, help="of the detector")
    parser.add_argument("--no-latency", action="store_true", help="do not time the models")
    parser.add_argument("--pictures", type=Path, help="write annotated frames into this folder")
    return parser.parse_args()


def about(*models: Path) -> str:
    """What is measured, with what."""
    lines = [
        f"onnxruntime {onnxruntime.__version__}, OpenCV {cv2.__version__}, Python {platform.python_version()}, 1 thread"
    ]
    lines += [f"{path.name} sha256 {hashlib.sha256(path.read_bytes()).hexdigest()}" for path in models]
    return "\n".join(f"* {line}" for line in lines) + "\n"


def presence_alone(args: argparse.Namespace, teacher: Teacher | None) -> str:
    """The tables of one presence model; the teacher is asked only where nobody else says what is present."""
    scored, references = [], []
    for clip in (CLIPS[name] for name in args.clips or CLIPS):
        own_labels = bool(clip.events) or clip.present is not None
        footage = load(clip, args.data, None if own_labels else teacher)
        if footage is None:
            continue
        print(f"{clip.name}: {len(footage.rgb)} frames, {footage.held_out} trained on", flush=True)
        scored.append(evaluate_presence.score(args.presence, footage))
        if args.reference is not None:
            references.append(evaluate_presence.score(args.reference, footage))
    if not scored:
        raise SystemExit(f"none of the clips is below {args.data}")
    tables = [evaluate_presence.per_clip(scored, args.threshold), evaluate_presence.pooled(scored, args.threshold)]
    if references:
        tables += [evaluate_presence.difference(scored, references, args.threshold)]
    if not args.no_latency:
        timed = (args.presence, *([args.reference] if args.reference is not None else []))
        tables += [f"{path.name}: {evaluate_presence.latency(path)}\n" for path in timed]
    return "\n".join([about(args.presence), f"### presence @{args.threshold}\n", *tables])


def both(args: argparse.Namespace, teacher: Teacher | None) -> str:
    """The tables of presence and detector."""
    presence, detector = args.models / "presence.onnx", args.models / "detector.onnx"
    detect, product = evaluate_detector.Detector(detector), ProductDetector(detector)
    scored, tallies, frame_rows, absent = [], {}, [], []
    for name in args.clips or CLIPS:
        clip = load(CLIPS[name], args.data, teacher, only_held_out=True)
        if clip is None:
            absent.append(name)
            continue
        print(f"{name}: {len(clip.rgb)} frames, {len(clip.rgb) - clip.held_out} held out", flush=True)
        scored.append(evaluate_presence.score(presence, clip))
        found = {"card": [detect(rgb) for rgb in clip.rgb[clip.held_out :]], "product": list(product.over(clip))}
        for fed, boxes in found.items():
            if teacher is not None:
                tallies[name, fed] = (clip.part, evaluate_detector.tally(clip, boxes))
            row = evaluate_detector.frame_level(clip, fed, boxes, args.score)
            frame_rows += [row] if row else []
        if args.pictures is not None:
            evaluate_detector.draw(detect, clip, args.pictures, args.score)
    if not scored:
        raise SystemExit(f"none of the clips is below {args.data}: {', '.join(absent)}")
    parts = [
        about(presence, detector),
        f"Not on this machine: {', '.join(absent) or 'none'}\n",
        f"### presence @{args.threshold}\n",
        evaluate_presence.per_clip(scored, args.threshold),
        evaluate_presence.pooled(scored, args.threshold),
        "### detector, against the teacher\n",
        *(
            (evaluate_detector.per_clip(tallies, args.score), evaluate_detector.pooled(tallies))
            if tallies
            else NO_TEACHER
        ),
        "### detector, against labels set by hand, per frame\n",
        evaluate_detector.frame_table(frame_rows, args.score),
    ]
    if not args.no_latency:
        parts += [f"presence: {evaluate_presence.latency(presence)}\n"]
        parts += [f"detector: {evaluate_detector.latency(detector)}\n"]
    return "\n".join(parts)


def main() -> None:
    args = arguments()
    cv2.setNumThreads(1)
    teacher_path = args.teacher or args.data / "models" / "yolox_nano_416.onnx"
    teacher = Teacher(teacher_path) if teacher_path.is_file() else None
    text = both(args, teacher) if args.presence is None else presence_alone(args, teacher)
    print("\n" + text)
    if args.report is not None:
        args.report.write_text(text)


if __name__ == "__main__":
    main()
