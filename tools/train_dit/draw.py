"""Draws the images that samples/dit-moe-tiny was trained on: twelve classes of shapes and textures on 32 x 32 pixels.

Every image is computed from signed distances on the pixel grid, so there is no data to download and no file to license. Position, size, angle and
both colours vary from image to image; the class is carried by the form alone. Colours are floats in 0...1, [count, 3, 32, 32]."""

import numpy as np

SIZE = 32
CLASSES = ["disc", "ring", "square", "triangle", "cross", "star", "horizontal stripes", "vertical stripes", "checkerboard", "dots", "sunset", "target"]


def _colours(rng, count):
    """Two colours an image, [count, 3] each, that differ in lightness by at least a third: a dark ground under a light form, or the reverse."""
    hue = rng.uniform(0, 1, (count, 2))
    light = np.stack([rng.uniform(0.05, 0.35, count), rng.uniform(0.65, 1.0, count)], 1)
    swap = rng.uniform(size=count) < 0.3
    light[swap] = light[swap][:, ::-1]
    saturation = rng.uniform(0.4, 1.0, (count, 2))
    wheel = np.clip(np.abs((hue[..., None] * 6 + np.array([0.0, 4.0, 2.0])) % 6 - 3) - 1, 0, 1)
    colour = light[..., None] * (1 - saturation[..., None] * (1 - wheel))
    return colour[:, 0], colour[:, 1]


def _cover(distance, softness=0.7):
    """How much of a pixel lies inside a form whose signed distance (pixels, negative inside) is given: 0...1, soft at the edge."""
    return np.clip(0.5 - distance / (2 * softness), 0, 1)


def _polygon(x, y, corners, radius):
    """Signed distance to a regular polygon with this many corners, x and y [count, size, size]."""
    angle = np.arctan2(x, -y)
    sector = 2 * np.pi / corners
    return np.cos(np.floor(0.5 + angle / sector) * sector - angle) * np.hypot(x, y) - radius * np.cos(sector / 2)


def draw(labels, rng):
    """Images for these class labels: f32 [count, 3, 32, 32] in 0...1. The same generator state gives the same pixels."""
    labels = np.asarray(labels)
    count = len(labels)
    ground, ink = _colours(rng, count)
    radius = rng.uniform(6, 11, count)[:, None, None]
    centre = rng.uniform(10, 22, (count, 2))
    turn = rng.uniform(-0.35, 0.35, count)[:, None, None]
    row, column = np.mgrid[0:SIZE, 0:SIZE] + 0.5
    y, x = row[None] - centre[:, 0, None, None], column[None] - centre[:, 1, None, None]
    x, y = x * np.cos(turn) - y * np.sin(turn), x * np.sin(turn) + y * np.cos(turn)
    away, box = np.hypot(x, y), np.maximum(np.abs(x), np.abs(y))
    period = rng.uniform(4.5, 8, count)[:, None, None]
    phase = rng.uniform(0, 2 * np.pi, (2, count))[..., None, None]
    wave_x, wave_y = (np.sin(2 * np.pi * axis / period + shift) for axis, shift in ((column[None], phase[0]), (row[None], phase[1])))

    def star(c):
        angle = np.arctan2(x[c], -y[c])
        return away[c] - radius[c] * (0.62 + 0.38 * np.cos(5 * angle))

    forms = [
        lambda c: _cover(away[c] - radius[c]),
        lambda c: _cover(np.abs(away[c] - radius[c] * 0.8) - radius[c] * 0.2),
        lambda c: _cover(box[c] - radius[c] * 0.85),
        lambda c: _cover(_polygon(x[c], y[c], 3, radius[c])),
        lambda c: _cover(np.maximum(np.minimum(np.abs(x[c]), np.abs(y[c])) - radius[c] * 0.28, box[c] - radius[c])),
        lambda c: _cover(star(c)),
        lambda c: _cover(-2.0 * wave_y[c]),
        lambda c: _cover(-2.0 * wave_x[c]),
        lambda c: _cover(-3.0 * wave_x[c] * wave_y[c]),
        lambda c: _cover(2.0 * (0.9 - wave_x[c] - wave_y[c])),
        lambda c: np.maximum(0.75 * row[None] / SIZE, _cover(away[c] - radius[c] * 0.55)),
        lambda c: _cover(3.0 * np.sin(2 * np.pi * away[c] / (period[c] * 0.9))),
    ]
    cover = np.empty((count, SIZE, SIZE))
    for index, form in enumerate(forms):
        chosen = labels == index
        if chosen.any():
            cover[chosen] = form(chosen)
    image = ground[:, :, None, None] * (1 - cover[:, None]) + ink[:, :, None, None] * cover[:, None]
    return image.astype(np.float32)


def dataset(count, seed):
    """Images as bytes [count, 3, 32, 32] and their labels, the classes in equal shares."""
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.arange(count) % len(CLASSES))
    parts = [draw(labels[i:i + 2048], rng) for i in range(0, count, 2048)]
    return np.round(np.concatenate(parts) * 255).astype(np.uint8), labels
