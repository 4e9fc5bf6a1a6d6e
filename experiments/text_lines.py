"""Lines of text as a till, a form or a label would print them, rendered to images."""

from collections.abc import Callable
from pathlib import Path

import matplotlib as mpl
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter, ImageFont

HEIGHT, WIDTH = 48, 320

FONTS = ("Sans", "Sans-Bold", "Sans-Oblique", "SansMono", "Serif", "Serif-Bold", "Serif-Italic")
WORDS = (
    "account address amount balance battery bottle branch budget cable camera cargo carton"
    " change charge cheque client coffee copper cotton credit danger dealer delivery deposit"
    " desk device discount door engine entry error export filter final floor flour folder"
    " freight garden glass gross handle harbour height import invoice island journal kettle"
    " label ladder ledger length letter linen litre machine manual margin market metal meter"
    " mirror monthly motor needle notice number office onion orange order origin packet paper"
    " parcel partner payment pencil pepper person platform pocket postage pressure price printer"
    " product profit quality quantity quarter receipt record refund remark rental report return"
    " river rubber saddle sample school season second serial service shelf silver single spring"
    " station storage street sugar supply switch table target tariff ticket timber total traffic"
    " transfer travel valley vendor volume voucher wagon warehouse warning water weekly weight"
    " window winter yellow"
).split()


def random_line(rng: np.random.Generator) -> str:
    """Words, an amount, a date, a code or a telephone number."""
    kinds: list[Callable[[np.random.Generator], str]] = [_words, _item, _date, _code, _telephone]
    return kinds[rng.integers(len(kinds))](rng)


def render(text: str, rng: np.random.Generator) -> NDArray[np.uint8]:
    """`text` in a random font, size, place, colour, sharpness and noise: shape (48, 320), grey."""
    name = f"DejaVu{FONTS[rng.integers(len(FONTS))]}.ttf"
    file = Path(mpl.get_data_path()) / "fonts" / "ttf" / name
    font = ImageFont.truetype(file, int(rng.integers(15, 33)))
    paper, ink = int(rng.integers(160, 256)), int(rng.integers(0, 120))
    image = Image.new("L", (WIDTH, HEIGHT), paper)
    left, top, right, bottom = font.getbbox(text)
    # A line too long for the image is squeezed into it, as a scanner's cropped line would be.
    line = Image.new("L", (max(WIDTH, int(right - left) + 16), HEIGHT), paper)
    y = (HEIGHT - (bottom - top)) / 2 - top + rng.integers(-3, 4)
    ImageDraw.Draw(line).text((int(rng.integers(2, 9)) - left, y), text, fill=ink, font=font)
    image.paste(line.resize((WIDTH, HEIGHT)))
    image = image.rotate(rng.uniform(-1.5, 1.5), Image.Resampling.BILINEAR, fillcolor=paper)
    image = image.filter(ImageFilter.GaussianBlur(rng.uniform(0, 1.4)))
    noise = rng.normal(0, rng.uniform(0, 14), (HEIGHT, WIDTH))
    return np.clip(np.asarray(image) + noise, 0, 255).astype(np.uint8)


def _words(rng: np.random.Generator) -> str:
    text = " ".join(rng.choice(WORDS, rng.integers(1, 4), replace=False))
    return [text, text.capitalize(), text.upper()][rng.integers(3)]


def _item(rng: np.random.Generator) -> str:
    return f"{rng.choice(WORDS).capitalize()} {rng.integers(1, 20_000) / 100:.2f}"


def _date(rng: np.random.Generator) -> str:
    day, month, year = rng.integers(1, 29), rng.integers(1, 13), rng.integers(1990, 2031)
    return [f"{day:02}.{month:02}.{year}", f"{year}-{month:02}-{day:02}"][rng.integers(2)]


def _code(rng: np.random.Generator) -> str:
    letters = "".join(rng.choice(list("ABCDEFGHJKLMNPQRSTUVWXYZ"), 3))
    return f"{letters}-{rng.integers(10_000):04}-{rng.integers(100):02}"


def _telephone(rng: np.random.Generator) -> str:
    return f"+{rng.integers(10, 100)} {rng.integers(100, 1000)} {rng.integers(10**6):06}"
