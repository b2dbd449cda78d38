"""The driver refuses whole streams before anything runs; the device stops at what only data can show; its clock and counters over several jobs."""

from __future__ import annotations

import ctypes
import struct
import zlib
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from nnc_tvm.targets.npu import codec
from nnc_tvm.targets.npu.clock import timeline
from nnc_tvm.targets.npu.commands import HEADER_WORDS, Command, Job, encode
from nnc_tvm.targets.npu.config import Config
from nnc_tvm.targets.npu.operands import Image, Sum, Window
from nnc_tvm.targets.npu.pixelwise import Add, Lut, Mul, Softmax
from nnc_tvm.targets.npu.transfers import Dma, Fetch, Store, Transfer
from nnc_tvm.targets.npu.windowed import Conv, Pool
from tests.npu.device import REASONS, lent, library, run

SRAM, FLASH, INPUT, RESULT = 4096, 1024, 700, 600
SOURCE, OUTPUT = Image.dense(0, 8, 4, 8), Image.dense(1024, 8, 4, 8)
CONV = Conv(SOURCE, OUTPUT, Window((3, 3), (1, 1), (1, 1)), 2048, 2 * 3 * 6 * 16, 3000, (18, 18), -128, 127, 0, 2, 8)
DEPTHWISE = replace(CONV, weight_bytes=2 * 9 * 4, blocks=(9, 9), depthwise=True)
POOL = Pool(SOURCE, Image.dense(1024, 4, 2, 8), Window((2, 2), (2, 2)), 1, -128, 127, 4, 8)
SUM = Sum((1 << 30, 1 << 30), (0, 0), 20, 1 << 30, -18, (0, 0), 0, -128, 127)
ADD = Add(SOURCE, OUTPUT, Image.dense(2048, 8, 4, 8), SUM)
MUL = Mul(SOURCE, OUTPUT, Image.dense(2048, 8, 4, 8), 1 << 30, -3, -128, 127, 0)
LUT = Lut(SOURCE, OUTPUT, 2048)
SOFTMAX = Softmax(SOURCE, OUTPUT, 1 << 30, 10, -1000)
DMA = Dma(0, 0, 2048, 256, 256)
FETCH, STORE = Fetch(0, 0, 0, 2048, 256), Store(1, 0, 1024, 0, 256)  # what the host lends: what may be read, what may be written


def stream(*commands: Command, sram: int = SRAM, flash: int = FLASH) -> bytes:
    return encode(commands, Config(), sram, flash)


def outcome(data: bytes, sram: np.ndarray | None = None) -> tuple[str, dict[str, int]]:
    source, output = (np.zeros(size, np.uint8) for size in (INPUT, RESULT))
    return run(data, bytes(FLASH), np.zeros(SRAM, np.uint8) if sram is None else sram, sources=[source], outputs=[output])


def sealed(data: bytes, word: int, value: int) -> bytes:
    """`data` with another word and a valid checksum."""
    changed = data[:4 * word] + struct.pack("<I", value) + data[4 * word + 4:]
    return changed[:24] + struct.pack("<I", zlib.crc32(changed[:24] + bytes(4) + changed[28:])) + changed[28:]


@pytest.mark.parametrize("job", [CONV, DEPTHWISE, POOL, ADD, MUL, LUT, SOFTMAX], ids=lambda job: type(job).__name__)
def test_runs_what_is_valid(job: Job) -> None:
    reason, counters = outcome(stream(DMA, FETCH, job, replace(STORE, after=1)))
    assert (reason, counters["jobs"], counters["dmas"]) == ("OK", 1, 3)


@pytest.mark.parametrize(("word", "value", "reason"), [
    (0, 1, "MAGIC"), (1, 1, "VERSION"), (2, 5, "CONFIG"), (3, 9, "LENGTH"), (4, SRAM + 1, "SRAM"), (5, FLASH + 1, "FLASH"), (7, 1, "COMMAND")])
def test_headers(word: int, value: int, reason: str) -> None:
    got, counters = outcome(sealed(stream(CONV), word, value))
    assert (got, counters["fault_word"], counters["cycles"]) == (reason, word, 0)


def test_every_damaged_bit_is_seen() -> None:
    data = stream(DMA, FETCH, CONV, replace(STORE, after=1))
    for bit in range(8 * len(data)):
        damaged = bytearray(data)
        damaged[bit // 8] ^= 1 << bit % 8
        assert outcome(bytes(damaged))[0] != "OK", bit


def test_lengths() -> None:
    data = stream(CONV)
    for length in range(0, len(data), 3):
        assert outcome(data[:length])[0] == "LENGTH", length
    assert outcome(sealed(data[:-4], 3, len(data) // 4 - 1))[0] == "END"
    assert outcome(sealed(data + bytes(4), 3, len(data) // 4 + 1))[0] == "END"


def test_fields_that_must_be_zero() -> None:
    pool, conv = stream(POOL), stream(CONV)
    for word, bits in [(HEADER_WORDS + 15, 1 << 24), (HEADER_WORDS + 17, 1 << 24), (HEADER_WORDS + 18, 1 << 16), (HEADER_WORDS, 1 << 8)]:
        assert outcome(sealed(pool, word, struct.unpack_from("<I", pool, 4 * word)[0] | bits))[0] == "COMMAND", word
    assert outcome(sealed(conv, HEADER_WORDS, 0x0015000B))[0] == "COMMAND"


def changed(job: Any, **fields: Any) -> Any:
    """`job` with fields changed, those named image_field inside that image."""
    for name, value in fields.items():
        image, _, inner = name.partition("__")
        job = replace(job, **{image: replace(getattr(job, image), **{inner: value}) if inner else value})
    return job


@pytest.mark.parametrize(("job", "fields", "reason"), [
    (CONV, {"source__base": SRAM - 255}, "BOUNDS"), (CONV, {"output__base": (1 << 32) - 1}, "BOUNDS"), (CONV, {"source__row": 1 << 31}, "BOUNDS"),
    (CONV, {"weights": SRAM - 575}, "BOUNDS"), (CONV, {"parameters": SRAM - 79}, "BOUNDS"), (LUT, {"table": SRAM - 255}, "BOUNDS"),
    (DMA, {"source": FLASH - 255}, "BOUNDS"), (DMA, {"destination": SRAM - 255}, "BOUNDS"), (DMA, {"coded": 255}, "RANGE"),
    (DMA, {"coded": 0, "bytes": 0}, "RANGE"),
    (FETCH, {"source": INPUT - 255}, "BOUNDS"), (FETCH, {"source": (1 << 32) - 1}, "BOUNDS"), (FETCH, {"destination": SRAM - 255}, "BOUNDS"),
    (FETCH, {"bytes": 0}, "RANGE"), (FETCH, {"bytes": (1 << 24) + 1}, "RANGE"), (STORE, {"destination": RESULT - 255}, "BOUNDS"),
    (STORE, {"destination": (1 << 32) - 1}, "BOUNDS"), (STORE, {"source": SRAM - 255}, "BOUNDS"), (STORE, {"bytes": 0}, "RANGE"),
    (FETCH, {"after": 1}, "WAIT"), (STORE, {"after": 1}, "WAIT"), (FETCH, {"lent": 1}, "BOUNDS"), (FETCH, {"lent": 2}, "BOUNDS"),
    (STORE, {"lent": 0}, "BOUNDS"), (STORE, {"lent": 3}, "BOUNDS"), (FETCH, {"lent": 4}, "COMMAND"), (STORE, {"lent": 128}, "COMMAND"),
    (CONV, {"source__width": 0}, "IMAGE"), (CONV, {"source__pixel": 7}, "IMAGE"), (CONV, {"source__row": 31}, "IMAGE"), (CONV, {"source__first": 1}, "IMAGE"),
    (CONV, {"source__wrap": 7}, "IMAGE"), (ADD, {"b__height": 7}, "IMAGE"), (LUT, {"output__channels": 7}, "IMAGE"),
    (DEPTHWISE, {"output__channels": 4}, "IMAGE"),
    (CONV, {"source__zero_point": 128}, "RANGE"), (CONV, {"tile_rows": 0}, "RANGE"), (CONV, {"chunk": 6}, "RANGE"),
    (CONV, {"weight_bytes": 560}, "RANGE"),
    (CONV, {"window": Window((3, 3), (0, 1))}, "RANGE"), (CONV, {"low": 5, "high": 4}, "RANGE"), (POOL, {"mode": 3}, "RANGE"), (POOL, {"shift": 31}, "RANGE"),
    (POOL, {"multiplier": -1 & 0xFFFFFFFF}, "RANGE"),
    (MUL, {"b__height": 1}, "IMAGE"), (MUL, {"b": Image.dense(1024, 1, 1, 7)}, "IMAGE"), (MUL, {"b__zero_point": 128}, "RANGE"), (MUL, {"shift": 31}, "RANGE"),
    (MUL, {"b": Image(2048, 1, 1, 8, 8, 32)}, "OVERLAP"), (MUL, {"output__base": 1}, "OVERLAP"),
    (ADD, {"sum": replace(SUM, shifts=(1, 0))}, "RANGE"), (ADD, {"sum": replace(SUM, left_shift=21)}, "RANGE"),
    (ADD, {"sum": replace(SUM, factors=(-(1 << 31), 0))}, "RANGE"), (SOFTMAX, {"shift": 31}, "RANGE"), (SOFTMAX, {"diff_min": 1}, "RANGE"),
    (CONV, {"wait": 1}, "WAIT"), (DMA, {"after": 1}, "WAIT"),
    (CONV, {"source": Image(0, 8, 4, 8, 400, 410), "output__base": 3800}, "IMAGE"),
    (POOL, {"source": Image(0, 8, 4, 8, 0, 0), "output__base": 0}, "IMAGE"),
    (CONV, {"output__base": 100}, "OVERLAP"), (ADD, {"output__base": 1}, "OVERLAP"), (LUT, {"output__base": 1}, "OVERLAP"), (LUT, {"table": 1024}, "OVERLAP"),
    (CONV, {"slice": 2}, "RANGE"), (CONV, {"slice": 8}, "RANGE"), (CONV, {"slice": 4, "chunks_outer": True}, "RANGE"),
    (CONV, {"slice": 4, "output__base": 96}, "OVERLAP"), (DEPTHWISE, {"slice": 4}, "COMMAND"),
    (CONV, {"output__base": 2100}, "OVERLAP"), (CONV, {"parameters": 1024}, "OVERLAP"),
])
def test_refuses(job: Command, fields: dict[str, Any], reason: str) -> None:
    got, counters = outcome(stream(changed(job, **fields)))
    assert (got, counters["fault_word"], counters["jobs"]) == (reason, HEADER_WORDS, 0)


def test_buffers() -> None:
    image = Image.dense(0, 40, 20, 32)
    job = Conv(image, Image(60000, 40, 20, 4, 4, 80), Window(), 57000, 128, 57200, (8,), -128, 127, 0, 25, 4)
    sram = np.zeros(80000, np.uint8)
    assert run(stream(job, sram=sram.size), bytes(FLASH), sram)[0] == "OK"  # 25 rows of 640 bytes are just within 16 KiB
    assert run(stream(replace(job, tile_rows=26), sram=sram.size), bytes(FLASH), sram)[0] == "BUFFER"
    wide = Conv(Image.dense(0, 1, 1, 1000), Image.dense(2000, 1, 1, 12), Window(), 3000, 12000, 16000, (250,) * 3, -128, 127, 0, 1, 8)
    assert run(stream(wide, sram=sram.size), bytes(FLASH), sram)[0] == "OK"
    assert run(stream(replace(wide, chunk=12), sram=sram.size), bytes(FLASH), sram)[0] == "BUFFER"


def test_accumulators_of_slices() -> None:
    """Two slices of 4 channels: 8 rows x 4 pixels x 16 channels are just what their buffer holds."""
    job = replace(CONV, output=Image.dense(1024, 8, 4, 20), weight_bytes=5 * 18 * 16, blocks=(9, 9) * 5, parameters=3800, tile_rows=8, chunk=16, slice=4)
    assert outcome(stream(job))[0] == "OK"
    assert outcome(stream(replace(job, chunk=20)))[0] == "BUFFER"
    assert outcome(stream(replace(job, chunk=20, tile_rows=6)))[0] == "OK"
    deep = Conv(Image.dense(0, 1, 1, 65532), Image.dense(65536, 1, 1, 4), Window(), 66000, 65532 * 4, 400000, (512,) * 31 + (511,), -128, 127, 0, 1, 4,
                slice=2048)
    sram = np.zeros(500_000, np.uint8)
    assert run(stream(deep, sram=sram.size), bytes(FLASH), sram)[0] == "OK"
    wide = replace(deep, source=Image.dense(0, 1, 2, 32772), window=Window((1, 2)), weight_bytes=65544 * 4, blocks=(512,) * 32 + (2,), slice=1024)
    assert run(stream(wide, sram=sram.size), bytes(FLASH), sram)[0] == "RANGE"  # 65544 products


def test_a_dma_may_not_touch_what_a_job_beside_it_uses() -> None:
    writes = Dma(0, 0, 1030, 16, 16)
    assert outcome(stream(LUT, writes))[0] == "HAZARD"
    assert outcome(stream(LUT, replace(writes, after=1)))[0] == "OK"
    assert outcome(stream(LUT, replace(writes, destination=3000)))[0] == "OK"
    elsewhere = Lut(Image.dense(3000, 1, 1, 8), Image.dense(3010, 1, 1, 8), 3100)
    assert outcome(stream(LUT, *[elsewhere] * 15, writes))[0] == "HAZARD"
    assert outcome(stream(LUT, *[elsewhere] * 16, writes))[0] == "OK"  # the queue holds 16: the first has ended


def test_what_the_host_lends_moves_by_fetches_and_stores() -> None:
    """Byte for byte; what a job beside a transfer writes may not be stored yet, nor what it uses be fetched over."""
    rng = np.random.default_rng(2)
    sram, source, other, output = (rng.integers(0, 256, size).astype(np.uint8) for size in (SRAM, INPUT, 50, RESULT))
    before, lent = [memory.copy() for memory in (source, other, output)], {"sources": [source, other], "outputs": [output]}
    table = np.roll(np.arange(256) - 128, 5).astype(np.int8)
    sram[2048:2304] = table.view(np.uint8)
    commands = [Fetch(0, 0, 17, 3, 250), Fetch(1, 0, 47, 253, 3), LUT, Store(2, 1, 1024, 100, 200), Store(2, 1, 1234, 599, 1)]
    reason, counters = run(stream(*commands), bytes(FLASH), sram, **lent)
    assert reason == "OK" and counters["cycles"] == timeline(commands, Config())[1]
    assert (counters["host_read"], counters["host_written"], counters["dma_written"], counters["dmas"]) == (253, 201, 253, 4)
    assert (source == before[0]).all() and (other == before[1]).all()
    assert (sram[3:253] == source[17:267]).all() and (sram[253:256] == other[47:]).all()
    results = table[sram[:256].view(np.int8).astype(np.int32) + 128].view(np.uint8)
    assert (output[100:300] == results[:200]).all() and output[599] == results[210]
    kept = np.delete(np.arange(RESULT), [*range(100, 300), 599])
    assert (output[kept] == before[2][kept]).all()
    for beside, reason in [(Store(1, 0, 1030, 0, 16), "HAZARD"), (Store(1, 1, 1030, 0, 16), "OK"), (Store(1, 0, 0, 0, 16), "OK"),
                           (Store(1, 0, 2100, 0, 16), "OK"), (Fetch(0, 0, 0, 1030, 16), "HAZARD"), (Fetch(0, 0, 0, 16, 16), "HAZARD"),
                           (Fetch(0, 1, 0, 16, 16), "OK"), (Fetch(0, 0, 0, 3000, 16), "OK")]:
        assert outcome(stream(LUT, beside))[0] == reason, beside
    assert run(stream(FETCH), bytes(FLASH), sram)[0] == run(stream(STORE), bytes(FLASH), sram)[0] == "BOUNDS"  # nothing is lent


@pytest.mark.parametrize(("parameters", "reason"), [
    ((0, -1, 0, 0), "PARAMETERS"), ((0, 1 << 30, 31, 0), "PARAMETERS"), ((0, 1 << 30, 0, 1), "PARAMETERS"), ((1 << 20, 1 << 30, 20, 0), "OVERFLOW"),
    ((1 << 20, 1 << 30, 10, 0), "OK")])
def test_the_device_stops_at_bad_parameters(parameters: Sequence[int], reason: str) -> None:
    sram = np.zeros(SRAM, np.uint8)
    sram[3000:3080] = np.frombuffer(struct.pack("<iibB", *parameters) * 8, np.uint8)
    assert outcome(stream(CONV), sram)[0] == reason


@pytest.mark.parametrize(("mask", "reason"), [
    ((1, 0, 0, 1, 0, 0), "OK"), ((3, 0, 0, 1, 0, 0), "WEIGHTS"), ((1, 0, 0, 0, 0, 4), "WEIGHTS"), ((1, 0, 4, 0, 0, 0), "WEIGHTS")])
def test_masks_fit_their_blocks(mask: Sequence[int], reason: str) -> None:
    sram = np.zeros(SRAM, np.uint8)
    sram[2048:2054] = mask
    assert outcome(stream(replace(CONV, weight_bytes=16 + 2 * 16, mask_bytes=16, blocks=(1, 1))), sram)[0] == reason


def test_codes_that_end_early_or_late() -> None:
    code = codec.rice(bytes(range(100)))
    for coded, count, reason in [(len(code), 100, "OK"), (len(code) - 2, 100, "CODEC"), (len(code), 50, "CODEC"), (len(code), 200, "CODEC")]:
        data = stream(Dma(0, 0, 0, coded, count, True))
        assert run(data, code + bytes(FLASH), np.zeros(SRAM, np.uint8))[0] == reason


def test_rows_are_chased() -> None:
    """A 3x3 convolution writes over rows that it has read; one byte further is refused."""
    rng = np.random.default_rng(0)
    weight = codec.convolution_weights(rng.integers(-127, 128, (8, 3, 3, 8)).astype(np.int16))
    parameters = struct.pack("<iibB", 0, 1 << 30, -6, 0) * 8
    image, results = rng.integers(0, 256, 256).astype(np.uint8), []
    for base, reason in [(96, "OK"), (97, "OVERLAP"), (512, "OK")]:
        sram = np.zeros(SRAM, np.uint8)
        sram[128:384], sram[2048:2048 + 576], sram[3000:3080] = image, np.frombuffer(weight.data, np.uint8), np.frombuffer(parameters, np.uint8)
        job = replace(CONV, source=replace(SOURCE, base=128), output=replace(OUTPUT, base=base), blocks=weight.blocks)
        assert outcome(stream(job), sram)[0] == reason
        results.append(sram[base:base + 256].copy())
    assert results[0].any() and (results[0] == results[2]).all()


def test_the_clock_of_many_commands() -> None:
    """DMAs beside jobs, waits both ways and the queue of 16: the cycles are the compiler's estimate."""
    rng = np.random.default_rng(1)
    small = Lut(Image.dense(0, 1, 1, 8), Image.dense(16, 1, 1, 8), 3000)
    for _ in range(30):
        commands: list[Command] = []
        for _ in range(int(rng.integers(1, 60))):
            transfers = sum(isinstance(c, Transfer) for c in commands)
            jobs = len(commands) - transfers
            if rng.random() < 0.4:
                size, after = int(rng.integers(1, 500)), int(rng.integers(jobs + 1))
                commands.append([Dma(after, 0, 3500, size, size), Fetch(0, after, 0, 3500, size), Store(1, after, 3500, 0, size)][rng.integers(3)])
            else:
                commands.append(replace([CONV, POOL, small, small, small][rng.integers(5)], wait=int(rng.integers(transfers + 1))))
        reason, counters = outcome(stream(*commands))
        assert reason == "OK" and counters["cycles"] == timeline(commands, Config())[1]
        assert counters["flash_read"] == len(stream(*commands)) + counters["dma_written"] - counters["host_read"]
        assert counters["host_written"] == sum(c.bytes for c in commands if isinstance(c, Store))


def test_pointers() -> None:
    data, sram, none = stream(CONV), np.zeros(SRAM, np.uint8), np.zeros(0, np.uint8)
    blocks = lent((np.zeros(INPUT, np.uint8), False), (np.zeros(RESULT, np.uint8), True), (none, False), (none, False), (none, False))
    whole = [data, len(data), bytes(FLASH), FLASH, sram.ctypes.data_as(ctypes.c_void_p), SRAM, blocks.ctypes.data_as(ctypes.c_void_p), 4]
    assert library().nnc_npu_run(*whole, None) == 0
    for at in (0, 2, 4, 6):
        assert REASONS[library().nnc_npu_run(*whole[:at], None, *whole[at + 1:], None)] == "ARGUMENT", at
    assert REASONS[library().nnc_npu_run(*whole[:7], 5, None)] == "ARGUMENT"  # more than the device has room for
    blocks[2] = 0
    assert REASONS[library().nnc_npu_run(*whole, None)] == "ARGUMENT"
