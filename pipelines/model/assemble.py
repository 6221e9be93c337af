"""Put the parts of a folded model together: prefix, the detector's body, suffix, card."""

from __future__ import annotations

import onnx
from onnx import TensorProto, helper

from pipelines.card import METADATA_KEY, to_json
from pipelines.model.graph import Builder, opset, replace
from pipelines.model.prefix import COLOR, PLANES, add_prefix
from pipelines.model.recognise import Head
from pipelines.model.suffix import DETECTIONS, add_suffix
from pipelines.values import ModelCard


def assemble(body: onnx.ModelProto, picture: str, element_type: int, card: ModelCard, head: Head) -> onnx.ModelProto:
    """The folded model. `body` is the detector at the card's size with a dynamic batch; it is not changed.

    Args:
        body: from reshape().
        picture: name of its input, which becomes a tensor inside.
        element_type: of that input; outputs may have another.
        card: goes into the metadata.
        head: where the detector's answer stands.
    """
    model = onnx.ModelProto()
    model.CopyFrom(body)
    graph = model.graph
    front, back = Builder(opset(model), "in"), Builder(opset(model), "out")
    add_prefix(front, card, picture, element_type)
    kinds = {o.name: o.type.tensor_type.elem_type for o in graph.output}
    add_suffix(back, head, (card.input_w, card.input_h), card.top_k, kinds[head.boxes])
    replace(graph.node, [*front.nodes, *graph.node, *back.nodes])
    graph.initializer.extend([*front.initializers, *back.initializers])
    rows, columns = card.input_h * 3 // 2, card.input_w
    inputs = [
        helper.make_tensor_value_info(PLANES, TensorProto.UINT8, ["batch", rows, columns]),
        helper.make_tensor_value_info(COLOR, TensorProto.FLOAT, ["batch", 3, 4]),
    ]
    outputs = [helper.make_tensor_value_info(DETECTIONS, TensorProto.FLOAT, ["batch", card.top_k, 6])]
    replace(graph.input, inputs)
    replace(graph.output, outputs)
    kept = [p for p in model.metadata_props if p.key != METADATA_KEY]
    replace(model.metadata_props, [*kept, onnx.StringStringEntryProto(key=METADATA_KEY, value=to_json(card))])
    return model
