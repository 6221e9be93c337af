"""Configuration: from YAML, the environment and secret files to frozen options, or to a list of every mistake.

Start at deployment.py (`load`) or worker.py (`load_worker`). This package is the only reader of the environment.
"""
