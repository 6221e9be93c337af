"""Code generated from configs/schema/framegate.proto by scripts/generate_proto: knows nobody, usable by all."""
