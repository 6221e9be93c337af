"""Light, weather, sensor and compression: random changes of one picture. numpy and OpenCV only.

Pictures are uint8, (h, w) luma or (h, w, 3) RGB. Every function draws from the generator it is given, in a fixed order.
"""

from __future__ import annotations

import cv2
import numpy as np

cv2.setNumThreads(1)

Rng = np.random.Generator
Window = tuple[int, int, int, int]
"""x, y, w, h in pixels."""


def luma(rgb: np.ndarray) -> np.ndarray:
    """(h, w, 3) RGB -> (h, w) BT.601 luma; a luma picture is returned as it is."""
    return cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY) if rgb.ndim == 3 else rgb


def random_window(rng: Rng, hw: tuple[int, int], least: float, aspect: float, jitter: float = 0.15) -> Window:
    """A window of a picture: its size a share of `least`..1 of the largest, w / h near `aspect`."""
    height, width = hw
    ratio = aspect * np.exp(rng.uniform(-jitter, jitter))
    size = rng.uniform(least, 1.0)
    widest = min(width, height * ratio)
    w, h = max(16, int(widest * size)), max(16, int(min(height, widest / ratio) * size))
    return rng.integers(0, width - w + 1), rng.integers(0, height - h + 1), w, h


def crop_boxes(boxes: np.ndarray, window: Window, wh: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Boxes (n, 6) as seen in a window that is scaled to `wh` -> clipped boxes (n, 6), visible share (n,)."""
    x, y, w, h = window
    scale = np.array([wh[0] / w, wh[1] / h] * 2, np.float32)
    boxes = boxes.copy()
    boxes[:, :4] = (boxes[:, :4] - [x, y, x, y]) * scale
    whole = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1]) + 1e-6
    boxes[:, :4] = np.clip(boxes[:, :4], 0, [wh[0], wh[1]] * 2)
    return boxes, (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1]) / whole


def tone(rng: Rng, strong: float = 0.5) -> np.ndarray:
    """A random tone curve (gamma, gain, offset; sometimes night or fog) as a table of 256 uint8."""
    x = np.arange(256, dtype=np.float32) / 255
    if rng.random() < strong:
        x = x ** np.exp(rng.uniform(-0.6, 0.6))
    if rng.random() < strong:
        x = x * rng.uniform(0.6, 1.4) + rng.uniform(-0.12, 0.12)
    weather = rng.random()
    if weather < 0.12 * strong * 2:
        x = x * rng.uniform(0.12, 0.45) + rng.uniform(0, 0.08)  # night
    elif weather < 0.22 * strong * 2:
        x = x * rng.uniform(0.25, 0.6) + rng.uniform(0.2, 0.5)  # fog, low contrast
    return np.clip(x * 255, 0, 255).astype(np.uint8)


def soft_blob(rng: Rng, picture: np.ndarray) -> None:
    """A shadow or a patch of light, in place: multiplies a soft random ellipse."""
    height, width = picture.shape[:2]
    mask = np.zeros((height // 4, width // 4), np.float32)
    centre = (int(rng.integers(0, width // 4)), int(rng.integers(0, height // 4)))
    axes = (int(rng.uniform(2, width / 10)), int(rng.uniform(1, height / 10)))
    cv2.ellipse(mask, centre, axes, float(rng.uniform(0, 180)), 0, 360, 1.0, -1)
    soft = cv2.resize(cv2.blur(mask, (int(rng.integers(1, 6)),) * 2), (width, height))
    gain = soft * (np.exp(rng.uniform(-0.8, 0.6)) - 1) + 1
    picture[:] = np.clip(picture * (gain if picture.ndim == 2 else gain[..., None]), 0, 255)


def light_field(rng: Rng, hw: tuple[int, int], sigma: float) -> np.ndarray:
    """Smooth random gain (h, w) float32: uneven light."""
    height, width = hw
    k = rng.integers(2, 6)
    coarse = np.exp(rng.normal(0, sigma, (k, k + 2)) + rng.normal(0, sigma / 2)).astype(np.float32)
    smooth = cv2.INTER_CUBIC if rng.random() < 0.7 else cv2.INTER_LINEAR
    return cv2.resize(coarse, (width, height), interpolation=smooth)


def rain(rng: Rng, picture: np.ndarray) -> None:
    """Thin bright streaks, in place."""
    height, width = picture.shape[:2]
    mask = np.zeros((height, width), np.uint8)
    dx, length = rng.uniform(-4, 4), rng.uniform(6, 25)
    for _ in range(rng.integers(10, 90)):
        x, y = rng.uniform(0, width), rng.uniform(0, height)
        cv2.line(mask, (int(x), int(y)), (int(x + dx), int(y + length)), int(rng.uniform(20, 90)), 1)
    picture[:] = cv2.add(picture, mask if picture.ndim == 2 else cv2.merge([mask] * 3))


def sensor(rng: Rng, picture: np.ndarray) -> np.ndarray:
    """Blur, rain, sensor noise and block compression -> a new picture of the same shape."""
    if rng.random() < 0.3:
        picture = cv2.GaussianBlur(picture, (0, 0), rng.uniform(0.4, 1.6))
    if rng.random() < 0.08:
        picture = picture.copy()
        rain(rng, picture)
    if rng.random() < 0.7:
        noise = np.empty(picture.shape, np.int16)
        cv2.randn(noise, 0, rng.uniform(0.5, 9))
        picture = np.clip(picture.astype(np.int16) + noise, 0, 255).astype(np.uint8)
    if rng.random() < 0.45:
        jpeg = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, int(rng.uniform(12, 70))])[1]
        picture = cv2.imdecode(jpeg, cv2.IMREAD_UNCHANGED)
    return picture
