#!/usr/bin/env python3
"""Draws a captured terminal screen: render.py SCREEN PICTURE COLUMNS ROWS. SCREEN is what `tmux capture-pane -e` prints."""

import re
import sys
import unicodedata

from PIL import Image, ImageDraw, ImageFont

FONTS = "/usr/share/fonts/truetype/dejavu/"
SIZE = 15
MARGIN = 12
PAPER, INK = "#10141c", "#d5d9e0"
COLORS = [
    "#3b4252", "#f4606c", "#8fd17c", "#f2c25c", "#6ca8f7", "#d58cf0", "#5ccfd6", "#d5d9e0",
    "#6b7386", "#ff8089", "#a8e598", "#ffd67a", "#8fc0ff", "#e6acff", "#82e6ec", "#ffffff",
]


class Look:
    """What the codes so far say of the next character."""

    def __init__(self):
        self.reset()

    def reset(self):
        self.ink, self.paper = None, None
        self.bold = self.dim = self.reverse = self.underlined = False

    def apply(self, codes):
        codes = [int(code) if code else 0 for code in codes.split(";")]
        while codes:
            code = codes.pop(0)
            if code == 0:
                self.reset()
            elif code in (1, 2, 4, 7):
                name = {1: "bold", 2: "dim", 4: "underlined", 7: "reverse"}[code]
                setattr(self, name, True)
            elif code == 22:
                self.bold = self.dim = False
            elif code == 24:
                self.underlined = False
            elif code == 27:
                self.reverse = False
            elif 30 <= code <= 37:
                self.ink = COLORS[code - 30]
            elif 40 <= code <= 47:
                self.paper = COLORS[code - 40]
            elif 90 <= code <= 97:
                self.ink = COLORS[code - 82]
            elif 100 <= code <= 107:
                self.paper = COLORS[code - 92]
            elif code in (38, 48) and codes[:1] == [5]:
                color = COLORS[codes[1] % 16]
                codes = codes[2:]
                if code == 38:
                    self.ink = color
                else:
                    self.paper = color
            elif code == 39:
                self.ink = None
            elif code == 49:
                self.paper = None

    def colors(self):
        ink, paper = self.ink or INK, self.paper or PAPER
        if self.reverse:
            ink, paper = paper, ink
        if self.dim:
            ink = mix(ink, paper)
        return ink, paper


def mix(one, other):
    parts = [(int(one[at:at + 2], 16) * 11 + int(other[at:at + 2], 16) * 9) // 20 for at in (1, 3, 5)]
    return "#{:02x}{:02x}{:02x}".format(*parts)


def main(source, target, columns, rows):
    plain = ImageFont.truetype(FONTS + "DejaVuSansMono.ttf", SIZE)
    bold = ImageFont.truetype(FONTS + "DejaVuSansMono-Bold.ttf", SIZE)
    width = round(plain.getlength("M"))
    ascent, descent = plain.getmetrics()
    height = ascent + descent
    size = (columns * width + 2 * MARGIN, rows * height + 2 * MARGIN)
    image = Image.new("RGB", size, PAPER)
    draw = ImageDraw.Draw(image)
    with open(source, encoding="utf-8") as file:
        lines = file.read().split("\n")[:rows]
    look = Look()
    for row, line in enumerate(lines):
        column = 0
        for codes, text in re.findall(r"\x1b\[([0-9;]*)m|([^\x1b])", line):
            if not text:
                look.apply(codes)
                continue
            cells = 2 if unicodedata.east_asian_width(text) in "WF" else 1
            ink, paper = look.colors()
            left, top = MARGIN + column * width, MARGIN + row * height
            draw.rectangle((left, top, left + cells * width - 1, top + height - 1), fill=paper)
            block(draw, text, left, top, width, height, ink) or draw.text(
                (left, top), text, font=bold if look.bold else plain, fill=ink)
            if look.underlined:
                draw.line((left, top + height - 2, left + width - 1, top + height - 2), fill=ink)
            column += cells
    image.save(target, optimize=True)


def block(draw, text, left, top, width, height, ink):
    """Blocks touch each other, which those of a font do not."""
    if "▁" <= text <= "█":
        part = ord(text) - ord("▁") + 1
        draw.rectangle((left, top + height - height * part // 8, left + width - 1, top + height - 1), fill=ink)
        return True
    return False


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
