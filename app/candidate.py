"""Where a worker's models come from: found and tried in a child process, then loaded here."""

from __future__ import annotations

import sys

from app.config.worker import ModelConfig, WorkerDeployment
from pipelines import build_worker
from pipelines.contracts import Engine
from pipelines.errors import ModelError
from pipelines.worker.lifecycle_child import ask_child
from pipelines.worker.lifecycle_terms import Candidate

CHECK_S = 600.0
"""Longest a check may take: folding takes seconds, building an engine for a GPU minutes."""


class Candidates:
    """Implements lifecycle_terms.CandidateSource for one worker's engine and settings."""

    def __init__(self, config: WorkerDeployment) -> None:
        self._config = config

    def first(self, reference: str) -> Candidate:
        """A model found and folded here: at start there is nothing to protect. Raises ModelError."""
        path, sha256 = build_worker.find_model(self._model(reference))
        return Candidate(reference, str(path), sha256)

    async def check(self, reference: str) -> Candidate:
        """See CandidateSource."""
        one_core = self._config.worker.model_copy(update={"threads": 1})  # the rest is the serving model's
        asked = self._config.model_copy(update={"model": self._model(reference), "worker": one_core})
        spec = asked.model_dump_json(include={"model", "worker"})  # the rest may hold secrets, and matters not
        answer = await ask_child([sys.executable, "-m", "app", "models", "check", "--spec", spec], CHECK_S)
        return Candidate(reference, str(answer["path"]), str(answer["sha256"]))

    def open(self, candidate: Candidate) -> Engine:
        """See CandidateSource. Raises ModelError too if the file is no longer the one that was checked."""
        model = ModelConfig(detector=candidate.path)
        if build_worker.find_model(model)[1] != candidate.sha256:
            raise ModelError(f"{candidate.path} was changed after it was checked: try again")
        return build_worker.engine(self._config.worker, model)

    def _model(self, reference: str) -> ModelConfig:
        """Size and family are said of the configured model; another one brings its own."""
        own = self._config.model
        return own if reference == own.detector else ModelConfig(detector=reference, presence=own.presence)
