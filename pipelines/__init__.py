"""The data path: one folder per step. A step knows the shared value types and nothing else."""
