import string

import numpy as np

from experiments.text_lines import HEIGHT, WIDTH, random_line, render

ALLOWED = set(string.ascii_letters + string.digits + " .-+")


def test_the_same_seed_gives_the_same_lines_and_images() -> None:
    a, b = (np.random.default_rng(3) for _ in range(2))
    for _ in range(5):
        line = random_line(a)
        assert line == random_line(b)
        assert np.array_equal(render(line, a), render(line, b))


def test_lines_are_short_plain_and_varied() -> None:
    rng = np.random.default_rng(0)
    lines = [random_line(rng) for _ in range(300)]
    assert all(0 < len(line) <= 32 and set(line) <= ALLOWED for line in lines)
    assert all(line == " ".join(line.split()) for line in lines)
    assert len(set(lines)) > 290


def test_ink_fills_a_long_line_and_ends_inside_the_image() -> None:
    rng = np.random.default_rng(1)
    images = [render("WAREHOUSE PLATFORM QUALITY", rng) for _ in range(40)]
    assert {(image.shape, image.dtype.name) for image in images} == {((HEIGHT, WIDTH), "uint8")}
    # Noise averages out over the images, ink does not.
    darkness = np.mean([np.median(image) - image.mean(axis=0) for image in images], axis=0)
    assert darkness[10:200].mean() > 10
    assert darkness[-1] < 3
