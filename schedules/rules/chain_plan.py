"""How a chain of convolutions, depthwise ones among them, or dense layers is cut into bands of rows.

Every step computes a band of every link, the last one's from the bands before it. A link reads a window: the rows that its band needs, of
which some stay from the step before and the others are new. Where a kernel looks ahead of the row it writes, the input is read so far ahead,
or if another link computes it, the output comes later by a delay; rows outside an image are its border. What a pointwise link reads needs no
window, unless an instruction wants another type.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass

from nnc_tvm.schedules.loops import round_up
from nnc_tvm.schedules.operators import Chain, Conv2d, DepthwiseConv2d, TensorType
from nnc_tvm.schedules.operators.operator import ITEM_BYTES, WeightedSum
from nnc_tvm.schedules.parallel import share
from nnc_tvm.schedules.rules.contraction import contraction_of
from nnc_tvm.schedules.rules.contraction_plan import Contraction

Band = Contraction | DepthwiseConv2d


@dataclass(frozen=True)
class Reading:
    """What a link's kernel reads: `elements` of a dtype, `offset` more than the image has; copied: whether it cannot read them from an image.

    view: (shape, strides in elements) of its parameter but for the first axis, where that has several.
    """

    dtype: str
    offset: int
    elements: int
    copied: bool
    view: tuple[tuple[int, ...], tuple[int, ...]] | None = None


@dataclass(frozen=True, eq=False)
class Link:
    """One layer of a chain.

    band: what a step computes of it, on an `image` without padding; slack: which may be read beyond its end. types: dtypes of input and output.
    border: what lies outside the whole image. adds: whether it has a residual.
    rows, step, delay, row: of the input: its rows, the new ones of a step, how late they are (early where it is negative), and a row's elements;
    out_*: of the output.
    carry: rows of the window that stay from the step before; they move to its beginning where it has no room for the next ones.
    pitch, left: of the window: a row's elements, and its border's before the image.
    padded: whether the image has a border on any side. cut_off: whether it reads an input that ends within a step.
    """

    band: Band
    image: tuple[int, ...]
    slack: bool
    types: tuple[str, str]
    border: float
    adds: bool
    rows: int
    step: int
    delay: int
    row: int
    out_rows: int
    out_step: int
    out_delay: int
    out_row: int
    carry: int
    pitch: int
    left: int
    padded: bool
    cut_off: bool

    @property
    def bordered(self) -> bool:
        """Whether some of the window is no part of the image."""
        return self.carry > 0 or self.padded

    def reads_source(self, reads: Reading) -> bool:
        """Whether the kernel can read the new rows where they are: all that a step reads are rows of the image, or of another link's band."""
        return not (reads.copied or self.bordered or self.cut_off) and math.prod(self.image) == self.step * self.row

    @property
    def slots(self) -> int:
        """Steps whose new rows the window has room for: so many that of each step less is moved than comes."""
        return 1 + self.carry // self.step

    def window(self, reads: Reading) -> TensorType:
        """The window, with what tiles read beyond it."""
        rows = (self.slots - 1) * self.step
        return TensorType((max((rows + self.carry + self.step) * self.pitch, rows * self.pitch + reads.elements),), reads.dtype)

    @property
    def active(self) -> int:
        """Steps in which some of the output exists."""
        return math.ceil((self.out_rows + self.out_delay % self.out_step) / self.out_step)

    def result(self, reader: tuple[Link, Reading] | None) -> TensorType:
        """What a step writes, with what the next link's tiles read beyond it where they read it in place."""
        beyond = reader[1].elements if reader is not None and reader[0].reads_source(reader[1]) else 0
        return TensorType((max(self.out_step * self.out_row, beyond),), self.types[1])


@dataclass(frozen=True, eq=False)
class Bands:
    """links, the images that they run over one by one, and the steps that each takes.

    overlap: whether the last step, where the images end within it, begins so early that it ends with them: it computes some rows once more.
    """

    links: tuple[Link, ...]
    images: int
    steps: int
    overlap: bool = False

    @property
    def rows(self) -> int:
        """Of the output, in a step."""
        return self.links[-1].out_step

    @property
    def independent(self) -> bool:
        """Whether no step needs what another one leaves in a window, or writes what another one writes."""
        return not self.overlap and all(link.carry == 0 and link.out_delay == 0 for link in self.links)

    def turns(self, threads: int) -> int:
        """Of the loop over images or that over steps, whichever `threads` share better; 1 where they can share neither."""
        return max((self.images, self.steps if self.independent else 1), key=lambda turns: share(turns, threads) if turns > 1 else 0.0)

    @property
    def stores_parts(self) -> bool:
        """Whether some step's band is not all of it in the output image: it is computed apart, and what exists is copied."""
        return not self.overlap and (self.links[-1].out_delay % self.rows > 0 or self.links[-1].out_rows % self.rows > 0)

    @property
    def overwrites(self) -> bool:
        """Whether the output may take the input's memory: no step writes over what a later one reads."""
        first, last = self.links[0], self.links[-1]
        read, written = first.row * ITEM_BYTES[first.types[0]], last.out_row * ITEM_BYTES[last.types[1]]
        return not self.overlap and last.out_step * written <= first.step * read and last.out_rows * written <= first.rows * read

    def scratch(self, reads: Sequence[Reading]) -> list[TensorType]:
        """The window of every link that has one and its result, in turn; but for the last one's where whole bands are stored."""
        made = []
        readers = [*zip(self.links[1:], reads[1:], strict=True), None]
        for link, read, reader in zip(self.links, reads, readers, strict=True):
            made += [] if link.reads_source(read) else [link.window(read)]
            made += [link.result(reader)] if reader is not None or self.stores_parts else []
        return made


def is_pointwise(layer: WeightedSum) -> bool:
    """Whether every output pixel depends on the same input pixel alone."""
    if isinstance(layer, DepthwiseConv2d):
        return False
    return not isinstance(layer, Conv2d) or (layer.kernel == (1, 1) and layer.strides == (1, 1) and not any(layer.padding))


def may_be_link(layer: WeightedSum) -> bool:
    """Whether a chain may have the layer: those of channels of their own keep their number."""
    return not isinstance(layer, DepthwiseConv2d) or layer.inputs[0].shape[3] == layer.output.shape[3]


def images_of(chain: Chain) -> list[tuple[int, ...]]:
    """(N, H, W, C) before the first link and after each; of pointwise links alone every pixel is a row."""
    types = [chain.inputs[0], *(link.output for link in chain.links)]
    if all(map(is_pointwise, chain.links)):
        return [(1, t.elements // t.shape[-1], 1, t.shape[-1]) for t in types]
    return [t.shape for t in types]


def cut(chain: Chain, rows: int, may_overlap: bool = True) -> Bands | None:
    """The chain in bands of `rows` rows of its output, of which the last two may overlap; None where it has a layer that it cannot have.

    A residual is read as the output is stored, in whole bands: None where these are not whole.
    """
    if not all(map(may_be_link, chain.links)):
        return None
    images = images_of(chain)
    steps = [rows]
    for layer in reversed(chain.links):
        steps.insert(0, steps[0] * (layer.strides[0] if isinstance(layer, Conv2d | DepthwiseConv2d) else 1))
    overlap = may_overlap and rows < images[-1][1] and images[-1][1] % rows > 0 and all(map(is_pointwise, chain.links))
    links: list[Link] = []
    for k, layer in enumerate(chain.links):
        made = link_of(layer, (images[k], images[k + 1]), (steps[k], steps[k + 1]), links[-1].out_delay if links else None, overlap)
        if made is None:
            return None
        links.append(made)
    last = links[-1]
    bands = Bands(tuple(links), images[0][0], math.ceil((last.out_rows + last.out_delay) / rows), overlap)
    return None if bands.stores_parts and last.adds else bands


def link_of(layer: WeightedSum, images: tuple[tuple[int, ...], tuple[int, ...]], steps: tuple[int, int], delay: int | None, overlap: bool) -> Link | None:
    """images, steps: of the input and the output. delay: of the input; None where it is there from the beginning. overlap: as in Bands."""
    whole: Band | None = layer if isinstance(layer, DepthwiseConv2d) else contraction_of(layer)
    if whole is None:
        return None
    (_, h, w, c), (_, oh, ow, o) = images
    kh, kw = whole.kernel if isinstance(whole, DepthwiseConv2d) else whole.weight.shape[1:3]
    (sh, sw), (dh, dw), (top, left, *_) = whole.strides, whole.dilation, whole.padding
    step, out_step = steps
    ahead = max((kh - 1) * dh + 1 - sh, 0) - top
    cut_off = delay is None and not overlap and h % step > 0
    slack = delay is not None  # another link's result
    delay = -max(0, ahead) if delay is None else delay
    out_delay = round_up(math.ceil(max(0, delay + ahead) / sh), out_step)  # by whole steps: none computes rows outside the image
    if is_pointwise(layer):  # pixels are alike: one long row
        image, out = (1, 1, step * w, c), (1, 1, out_step * ow, o)
    else:
        image, out = (1, (out_step - 1) * sh + (kh - 1) * dh + 1, (ow - 1) * sw + (kw - 1) * dw + 1, c), (1, out_step, ow, o)
    pitch = w * c if is_pointwise(layer) else image[2] * c
    carry = sh * out_delay + top - delay
    slack |= cut_off or carry > 0 or any(whole.padding)
    types = layer.inputs[0].dtype, layer.output.dtype
    if isinstance(whole, DepthwiseConv2d):
        band: Band = dataclasses.replace(whole, inputs=(TensorType(image, types[0]),), output=TensorType(out, types[1]), padding=(0, 0, 0, 0))
    else:
        band = dataclasses.replace(whole, image=image, out=out, padding=(0, 0, 0, 0), slack=slack)
    border = whole.input_zero_point if isinstance(whole, DepthwiseConv2d) else whole.border
    adds = isinstance(layer, Conv2d) and layer.residual is not None
    return Link(band, image, slack, types, border, adds, h, step, delay, w * c, oh, out_step, out_delay, ow * o, carry, pitch, left * c,
                any(whole.padding), cut_off)
