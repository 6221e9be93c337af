"""Train and export `detector`: 0 person, 1 vehicle; a rider is a person, the bicycle a vehicle.

    python scripts/train/train_detector.py --cache DIR --out detector.onnx --minutes 36

Needs torch and onnx.
"""

from __future__ import annotations

from pathlib import Path

import onnx
import torch

from detector_box import CELLS, HEIGHT, WIDTH
from detector_net import Detector, loss
from detector_sample import Stream
from evaluate_detector import latency
from fit import Fit, arguments, compare, export


def fix_output_shape(path: Path) -> None:
    """The exporter leaves names where the output's sizes are known: write them."""
    model = onnx.load(path)
    sizes = model.graph.output[0].type.tensor_type.shape.dim
    sizes[1].dim_value, sizes[2].dim_value = 6, sum(h * w for h, w in CELLS)
    onnx.save(model, path)


def main() -> None:
    args = arguments(__doc__, minutes=25, batch=16, lr=2e-3, threads=2)
    fit = Fit(Detector, args, decay=1e-2, warmup=200, clip=10.0)
    for pictures, box_target, class_target in fit.batches(Stream(args.cache, args.seed, args.exclude)):
        with fit.autocast():
            box, logits = fit.net.raw((pictures.float() / 255).to(memory_format=torch.channels_last))
        fit.step(loss(box, logits, box_target, class_target))
        if fit.report_due(every_minutes=1):
            print(fit.status(), flush=True)
            fit.save()
    fit.save()
    net = fit.finished()
    examples = torch.rand(4, 3, HEIGHT, WIDTH)
    export(net, examples, args.out, ("images", "output0"))
    fix_output_shape(args.out)
    found = compare(net, args.out, [examples, examples[:1]])
    boxes, scores = max(d[:, :4].max() for d in found), max(d[:, 4:].max() for d in found)
    print(f"largest |onnxruntime - torch| boxes {boxes:.1e} px, scores {scores:.1e}; {latency(args.out)}")


if __name__ == "__main__":
    main()
