"""Apache Kafka from Maven Central, fetched once per machine through Maven."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

VERSION = "4.1.1"
"""Runs on Java 17 or newer."""

_POM = f"""<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>framegate</groupId><artifactId>kafka-for-tests</artifactId><version>1</version>
  <dependencies>
    <dependency>
      <groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>{VERSION}</version>
    </dependency>
  </dependencies>
</project>
"""


class Unavailable(Exception):
    """This machine cannot run that broker; the message says why, for people."""


def kafka_jars() -> Path:
    """The directory of Kafka's jars; downloads 45 MB the first time.

    Raises:
        Unavailable: no Java, or no Maven, or Maven Central is out of reach.
    """
    if shutil.which("java") is None:
        raise Unavailable("no java (17 or newer) to run Apache Kafka with")
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "framegate"
    jars = cache / f"kafka-{VERSION}"
    if jars.is_dir():
        return jars
    if shutil.which("mvn") is None:
        raise Unavailable("no mvn (Maven) to fetch Apache Kafka with")
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache) as scratch:
        pom = Path(scratch) / "pom.xml"
        pom.write_text(_POM)
        fetched = Path(scratch) / "jars"
        goal = ["dependency:copy-dependencies", "-DincludeScope=runtime", f"-DoutputDirectory={fetched}"]
        maven = subprocess.run(
            ["mvn", "-B", "-q", "-f", str(pom), *goal], capture_output=True, text=True, timeout=600, check=False
        )
        if maven.returncode != 0:
            raise Unavailable(f"Maven could not fetch Apache Kafka: {(maven.stdout + maven.stderr).strip()[:300]}")
        if not jars.is_dir():  # another test run may have been quicker
            fetched.rename(jars)
    return jars
