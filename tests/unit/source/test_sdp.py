from __future__ import annotations

import base64

from pipelines.source.sdp import first_video

SPS, PPS = b"\x67\x42\x00\x1f", b"\x68\xce\x3c\x80"
SPROP = ",".join(base64.b64encode(unit).decode() for unit in (SPS, PPS))


def described(*lines: str) -> str:
    return "\r\n".join(["v=0", "s=camera", "a=control:*", *lines, ""])


def test_h264_with_all_it_may_say() -> None:
    video = first_video(
        described(
            "m=audio 0 RTP/AVP 0",
            "a=control:track1",
            "m=video 0 RTP/AVP 98",
            "a=rtpmap:98 H264/90000",
            f"a=fmtp:98 packetization-mode=1; profile-level-id=42001f;sprop-parameter-sets={SPROP}",
            "a=framerate:12.5",
            "a=control:rtsp://host/track2",
        )
    )

    assert video is not None
    assert (video.codec, video.payload_type, video.clock_hz, video.fps) == ("h264", 98, 90_000, 12.5)
    assert video.control == "rtsp://host/track2"
    assert video.parameter_sets == b"\0\0\0\1" + SPS + b"\0\0\0\1" + PPS


def test_h265_sets_stand_apart() -> None:
    sets = [b"\x40\x01v", b"\x42\x01s", b"\x44\x01p"]
    vps, sps, pps = (base64.b64encode(unit).decode() for unit in sets)
    video = first_video(
        described(
            "m=video 0 RTP/AVP 96",
            "a=rtpmap:96 H265/90000",
            f"a=fmtp:96 sprop-vps={vps};sprop-sps={sps};sprop-pps={pps}",
        )
    )

    assert video is not None
    assert video.codec == "hevc"
    assert video.parameter_sets == b"".join(b"\0\0\0\1" + unit for unit in sets)


def test_broken_sets_are_left_to_the_stream() -> None:
    video = first_video(
        described("m=video 0 RTP/AVP 96", "a=rtpmap:96 H264/90000", "a=fmtp:96 sprop-parameter-sets=%%%")
    )

    assert video is not None
    assert video.parameter_sets == b""


def test_what_this_client_does_not_take() -> None:
    others = {
        "another codec": ["m=video 0 RTP/AVP 26"],
        "encrypted": ["m=video 0 RTP/SAVP 96", "a=rtpmap:96 H264/90000"],
        "interleaved pictures": ["m=video 0 RTP/AVP 96", "a=rtpmap:96 H264/90000", "a=fmtp:96 packetization-mode=2"],
        "decoding order numbers": [
            "m=video 0 RTP/AVP 96",
            "a=rtpmap:96 H265/90000",
            "a=fmtp:96 sprop-max-don-diff=2",
        ],
        "nothing": [],
    }

    assert {name: first_video(described(*lines)) for name, lines in others.items()} == dict.fromkeys(others)
