"""A camera's options: the steps' own, composed; what all cameras share stands in `defaults:`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import quote, urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    Field,
    PlainSerializer,
    SecretStr,
    ValidationError,
    WithJsonSchema,
    model_validator,
)

from pipelines.event.episode import EpisodeOptions
from pipelines.event.snapshot import SnapshotOptions
from pipelines.framepath import PathOptions
from pipelines.gate.motion import MotionOptions
from pipelines.gate.packet import PacketGateOptions
from pipelines.prefilter.presence import PresenceOptions
from pipelines.prefilter.validity import ValidityOptions
from pipelines.source.backoff import BackoffOptions
from pipelines.source.decoder import DecoderOptions
from pipelines.source.file import FileOptions
from pipelines.source.redact import redact
from pipelines.source.rtsp import RtspOptions
from pipelines.source.watch import WatchOptions
from pipelines.values import CAMERA_ID_BYTES, ColorMatrix, ColorRange, Priority

_SCHEME = re.compile(r"([a-zA-Z][a-zA-Z0-9+.-]*):(//)?")
_NETWORK = ("rtsp", "rtsps")
_ESCAPE = "write special characters as %XX, or give `username:` and `password:` instead"


def _priority(value: Any) -> Any:
    """`low` to Priority.LOW; anything else goes on and is refused."""
    names = {priority.name.lower(): priority for priority in Priority}
    if isinstance(value, Priority):
        return value
    if value not in names:
        raise ValueError(f"must be one of {', '.join(names)}")
    return names[value]


def _url(value: SecretStr) -> SecretStr:
    """Refuse what no source can open. The sentences hold nothing of the URL: it may carry a password."""
    url = value.get_secret_value()
    if not url:
        raise ValueError("is empty: give an rtsp:// or rtsps:// URL, or a file's path")
    scheme = _SCHEME.match(url)
    if scheme is None or scheme[1].lower() == "file":
        return value
    if scheme[1].lower() not in _NETWORK or not scheme[2]:
        raise ValueError("must begin with rtsp://, rtsps:// or file:, or be a file's path")
    try:
        parts = urlsplit(url)
        sound = bool(parts.hostname) and parts.port != 0
    except ValueError:
        sound = False
    if not sound:
        raise ValueError(f"has no usable host and port: write rtsp://HOST:PORT/PATH; {_ESCAPE}")
    return value


def _id(value: str) -> str:
    """An id travels in slot headers, topics, file names and URLs."""
    if not re.fullmatch(r"\w[\w.-]*", value):
        raise ValueError("a name has letters, digits, `_`, `-` and `.` only, and begins with none of the last two")
    if (size := len(value.encode())) > CAMERA_ID_BYTES:
        raise ValueError(f"a name has at most {CAMERA_ID_BYTES} bytes, this one {size}: shorten it")
    return value


Name = Annotated[str, AfterValidator(_id)]
"""The id of a camera, or the name of a sink."""
NamedPriority = Annotated[
    Priority,
    BeforeValidator(_priority),
    PlainSerializer(lambda priority: priority.name.lower()),
    WithJsonSchema({"enum": [priority.name.lower() for priority in Priority]}),
]
CameraUrl = Annotated[SecretStr, AfterValidator(_url)]


class ColorOptions(BaseModel, frozen=True, extra="forbid"):
    """What the pixels mean, where the stream does not say or says it wrong."""

    range: Literal["auto", "limited", "full"] = Field(
        "auto", description="Range of the luma; auto: as the stream says, else limited."
    )
    matrix: Literal["auto", "bt601", "bt709"] = Field(
        "auto", description="YUV matrix; auto: as the stream says, else BT.601 below 720 lines and BT.709 from there."
    )

    @property
    def decoder(self) -> DecoderOptions:
        """The same in the decoder's words."""
        return DecoderOptions(
            color_range=ColorRange.UNSPECIFIED if self.range == "auto" else ColorRange[self.range.upper()],
            color_matrix=ColorMatrix.UNSPECIFIED if self.matrix == "auto" else ColorMatrix[self.matrix.upper()],
        )


class CameraDefaults(PathOptions, frozen=True, extra="forbid"):
    """What may stand in `defaults:` as well as under a camera."""

    enabled: bool = Field(True, description="false: the camera is known but not opened.")
    region: str = Field("", max_length=64, description="Where it hangs, for people and for grouping.")
    priority: NamedPriority = Field(Priority.NORMAL, description="Which cameras are served first under load.")
    username: str | None = Field(None, description="User name for the camera, where the URL has none.")
    password: SecretStr | None = Field(None, description="Password for the camera, where the URL has none.")
    rtsp: RtspOptions = Field(RtspOptions(), description="How an RTSP camera is read.")
    file: FileOptions = Field(FileOptions(), description="How a file is played.")
    watch: WatchOptions = Field(WatchOptions(), description="When a connected camera counts as stalled.")
    backoff: BackoffOptions = Field(BackoffOptions(), description="Waiting times between attempts to connect.")
    color: ColorOptions = Field(ColorOptions(), description="What the pixels mean.")
    gate: PacketGateOptions = Field(PacketGateOptions(), description="When packets are worth a decoder.")
    validity: ValidityOptions = Field(ValidityOptions(), description="When a picture says nothing.")
    motion: MotionOptions = Field(MotionOptions(), description="When a picture counts as still.")
    presence: PresenceOptions = Field(PresenceOptions(), description="When a picture counts as empty.")
    episode: EpisodeOptions = Field(EpisodeOptions(), description="Which detections make an alert.")
    snapshot: SnapshotOptions = Field(SnapshotOptions(), description="The picture that goes with an alert.")

    @model_validator(mode="before")
    @classmethod
    def _color_reaches_decoders(cls, data: Any) -> Any:
        """`color` is one section for people; rtsp and file each have a decoder that obeys. Makes new data."""
        if not isinstance(data, dict) or "color" not in data:
            return data
        try:
            decoder = ColorOptions.model_validate(data["color"]).decoder
        except ValidationError:  # told where it stands
            return data
        said = {name: value for name, value in decoder.model_dump().items() if value}
        sections = {name: data.get(name, {}) for name in ("rtsp", "file")}
        return data | {
            name: section | {"decoder": section.get("decoder", {}) | said}
            for name, section in sections.items()
            if isinstance(section, dict) and isinstance(section.get("decoder", {}), dict)
        }


class CameraConfig(CameraDefaults, frozen=True, extra="forbid"):
    """One camera, its defaults filled in. Equal configs mean that nothing needs to restart."""

    url: CameraUrl = Field(description="rtsp://, rtsps:// or file: URL, or a file's path.")

    @property
    def is_file(self) -> bool:
        scheme = _SCHEME.match(self.url.get_secret_value())
        return scheme is None or scheme[1].lower() == "file"

    @property
    def path(self) -> Path:
        """The file that a file camera plays."""
        text = self.url.get_secret_value()
        return Path(re.sub(r"^[fF][iI][lL][eE]:(//(localhost)?(?=/))?", "", text))

    @property
    def address(self) -> str:
        """The URL to connect to, credentials included: a secret."""
        url = self.url.get_secret_value()
        parts = urlsplit(url)
        if self.is_file or "@" in parts.netloc or self.username is None:
            return url
        password = self.password.get_secret_value() if self.password else ""
        login = f"{quote(self.username, safe='')}:{quote(password, safe='')}@"
        return parts._replace(netloc=login + parts.netloc).geturl()

    @property
    def shown_url(self) -> str:
        """The URL as it may be logged."""
        url = self.url.get_secret_value()
        return redact(url, url)
