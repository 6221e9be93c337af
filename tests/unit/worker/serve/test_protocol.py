"""Our messages are the published ones: same names, numbers and types as in a client that nobody here wrote."""

from __future__ import annotations

from collections.abc import Iterator

from google.protobuf import text_format
from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor
from tritonclient.grpc import model_config_pb2, service_pb2

from pipelines.schema import open_inference_pb2 as pb
from pipelines.worker.serve import rpc_form
from tests.fakes.lane import CARD

THEIRS = {**service_pb2.DESCRIPTOR.message_types_by_name, **model_config_pb2.DESCRIPTOR.message_types_by_name}
KSERVE_ONLY = {"ModelMetadataResponse.properties", "ModelMetadataResponse.PropertiesEntry"}
"""Of KServe's protocol; Triton does not have it."""


def test_every_field_has_its_published_number_and_type() -> None:
    wrong = [line for name, ours in pb.DESCRIPTOR.message_types_by_name.items() for line in gaps(ours, THEIRS[name])]
    assert wrong == []


def test_every_enum_value_has_its_published_number() -> None:
    theirs: EnumDescriptor = model_config_pb2.DESCRIPTOR.enum_types_by_name["DataType"]
    for value in pb.DataType.DESCRIPTOR.values:
        assert theirs.values_by_name[value.name].number == value.number


def test_a_configuration_reads_the_same_at_triton() -> None:
    ours = rpc_form.config("detector", CARD, 8)
    theirs = text_format.Parse(text_format.MessageToString(ours), model_config_pb2.ModelConfig())
    assert theirs.SerializeToString(deterministic=True) == ours.SerializeToString(deterministic=True)


def gaps(ours: Descriptor, theirs: Descriptor) -> Iterator[str]:
    for field in ours.fields:
        name = f"{ours.name}.{field.name}"
        if name in KSERVE_ONLY:
            continue
        other = theirs.fields_by_name.get(field.name)
        if other is None or shape(other) != shape(field):
            yield f"{name}: {shape(field)}, published: {other and shape(other)}"
    for inner in ours.nested_types:
        if f"{ours.name}.{inner.name}" in KSERVE_ONLY:
            continue
        yield from gaps(inner, theirs.nested_types_by_name[inner.name])


def shape(field: FieldDescriptor) -> tuple[object, ...]:
    kind = field.message_type or field.enum_type
    oneof = field.containing_oneof
    return field.number, field.type, field.is_repeated, kind and kind.name, oneof and oneof.name
