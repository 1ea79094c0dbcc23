"""DICOM files made to do harm: cut, changed, with evil values, or small and of a great hunger.

Every attack is a name, which says what is wrong, and the bytes of a file.
"""

import io
import itertools
import random
import struct
import zlib
from collections.abc import Callable, Iterator

import honest_files as honest
from pydicom.uid import JPEG2000, JPEG2000Lossless, JPEGLosslessSV1, JPEGLSLossless, RLELossless

Attack = tuple[str, Callable[[], bytes]]
MEGABYTE = 1 << 20

EVIL_NUMBERS = (
    "", "0", "-1", "NaN", "inf", "-inf", "1e300", "-1e300", "1e-300", "1e400", "65536",
    "4294967296", "0x10", "1\\2", "1,5", "\0", "9" * 300, "'; DROP TABLE", "../../etc/passwd",
)  # fmt: skip
NUMBERS = {
    "PixelSpacing": 2, "ImagePositionPatient": 3, "ImageOrientationPatient": 6, "RescaleSlope": 1,
    "RescaleIntercept": 1, "SliceThickness": 1, "NumberOfFrames": 1, "WindowCenter": 1,
    "GantryDetectorTilt": 1, "AcquisitionNumber": 1,
}  # fmt: skip
SHORTS = (
    "Rows", "Columns", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation",
    "SamplesPerPixel", "PixelPaddingValue",
)  # fmt: skip
TEXTS = (
    "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "PatientID", "PatientName",
    "Modality", "PhotometricInterpretation", "RescaleType", "ImageType", "ConvolutionKernel",
    "SpecificCharacterSet", "SeriesDescription",
)  # fmt: skip
EVIL_TEXTS = (
    "../../../../tmp/evil",
    "/etc/passwd",
    "a\0b",
    "\x1b[2J",
    "x" * 10_000,
    "",
    "\\" * 500,
)


def elements(content: bytes) -> Iterator[int]:
    """Where each element of an explicit little-endian file starts, its value, and its end."""
    at = 132
    while at + 8 <= len(content):
        yield at
        long_form = content[at + 4 : at + 6] in (b"OB", b"OW", b"SQ", b"UN", b"UT", b"OF")
        start = at + (12 if long_form else 8)
        size = struct.unpack_from(
            "<I" if long_form else "<H", content, start - (4, 2)[not long_form]
        )
        yield start
        if size[0] == 0xFFFFFFFF:
            return
        at = start + size[0]


def cut_short() -> Iterator[Attack]:
    """Truncated at every structural boundary, and a byte to either side of it."""
    for name, make in honest.HONEST.items():
        content = make()
        ends = {0, 1, 4, 127, 128, 131, 132, 347, 348, 352, len(content) // 2, len(content) - 1}
        if name in ("explicit.dcm", "rle.dcm", "j2k.dcm", "jpegls.dcm", "enhanced.dcm"):
            ends |= set(elements(content))
        else:
            ends |= {round(k * len(content) / 12) for k in range(12)}
        near = {end + step for end in ends for step in (-1, 0, 1)}
        for end in sorted(n for n in near if 0 <= n < len(content)):
            yield f"cut-{end}-{name}", lambda content=content, end=end: content[:end]


def flipped() -> Iterator[Attack]:
    """Some bytes replaced at random, mostly where headers are."""
    for name, make in honest.HONEST.items():
        content = make()
        for seed in range(40):
            yield f"flip-{seed}-{name}", lambda content=content, seed=seed: mutated(content, seed)


def mutated(content: bytes, seed: int) -> bytes:
    """One to eight bytes or runs changed."""
    chance = random.Random(seed)
    raw = bytearray(content)
    for _ in range(chance.randint(1, 8)):
        at = int(len(raw) * chance.random() ** 2)
        kind = chance.randrange(4)
        if kind == 0:
            raw[at] ^= 1 << chance.randrange(8)
        elif kind == 1:
            raw[at : at + 4] = chance.choice([b"\xff" * 4, bytes(4), b"\x7f\xff\xff\xff"])
        elif kind == 2:
            del raw[at : at + chance.randint(1, 16)]
        else:
            raw[at:at] = chance.randbytes(chance.randint(1, 16))
    return bytes(raw)


def evil_values() -> Iterator[Attack]:
    """Every element that reading depends on, with values that no scanner writes."""
    for keyword, count in NUMBERS.items():
        for value in EVIL_NUMBERS:
            if "\\" not in value:
                raw = "\\".join([value] * count).encode()
                yield f"{keyword}-{EVIL_NUMBERS.index(value)}.dcm", _with_raw(keyword, b"DS", raw)
    for keyword in SHORTS:
        for number in (0, 1, 7, 8, 12, 255, 16384, 32768, 65535):
            raw = struct.pack("<H", number)
            yield f"{keyword}-{number}.dcm", _with_raw(keyword, b"US", raw)
        yield f"{keyword}-none.dcm", _with_raw(keyword, b"US", b"")
        yield f"{keyword}-long.dcm", _with_raw(keyword, b"US", b"\xff" * 64)
    for keyword in TEXTS:
        for number, text in enumerate(EVIL_TEXTS):
            raw = text.encode("latin-1")
            yield f"{keyword}-text{number}.dcm", _with_raw(keyword, b"LO", raw)


def _with_raw(keyword: str, vr: bytes, value: bytes) -> Callable[[], bytes]:
    """The honest slice with one element's bytes exchanged, whatever the standard says to them."""

    def make() -> bytes:
        from pydicom.datadict import tag_for_keyword

        tag = tag_for_keyword(keyword) or 0
        even = value + b" " * (len(value) % 2)
        new = struct.pack("<HH2sH", tag >> 16, tag & 0xFFFF, vr, len(even)) + even
        content = honest.HONEST["explicit.dcm"]()
        marks = list(elements(content))
        starts = [*marks[::2], len(content)]
        for start, end in itertools.pairwise(starts):
            group, number = struct.unpack_from("<HH", content, start)
            if (group << 16 | number) >= tag:
                is_it = (group << 16 | number) == tag
                return content[:start] + new + content[end if is_it else start :]
        return content + new

    return make


def broken_streams() -> Iterator[Attack]:
    """Compressed pixels with bytes changed inside, so that a decoder meets them."""
    for name, syntax in (
        ("rle.dcm", RLELossless), ("j2k.dcm", JPEG2000Lossless), ("jpegls.dcm", JPEGLSLossless),
    ):  # fmt: skip
        import pydicom

        whole = pydicom.dcmread(io.BytesIO(honest.HONEST[name]()))
        stream = pydicom.encaps.get_frame(whole.PixelData, 0, number_of_frames=1)
        for seed in range(60):
            yield (
                f"stream-{seed}-{name}",
                (
                    lambda stream=stream, seed=seed, syntax=syntax: honest.encapsulated(
                        mutated(stream, seed), syntax
                    )
                ),
            )
    jpeg = honest.picture(".jpg")
    for seed in range(20):
        yield (
            f"stream-{seed}-jpeg.dcm",
            (lambda seed=seed: honest.encapsulated(mutated(jpeg, seed), JPEGLosslessSV1)),
        )


def huge_jpeg_2000(side: int) -> bytes:
    """A codestream of some 100 bytes that announces a picture of side x side pixels."""
    size = struct.pack(">HHIIIIIIIIH", 0, side and 0, side, side, 0, 0, side, side, 0, 0, 1)
    siz = b"\xff\x51" + struct.pack(">H", 2 + len(size) + 3) + size + bytes([15, 1, 1])
    cod = b"\xff\x52" + struct.pack(">H", 12) + bytes([0, 0, 0, 1, 0, 5, 4, 4, 0, 1])
    qcd = b"\xff\x5c" + struct.pack(">H", 19) + bytes([0x40] + [0x48] * 16)
    sot = b"\xff\x90" + struct.pack(">HHIBB", 10, 0, 0, 0, 1) + b"\xff\x93"
    return b"\xff\x4f" + siz + cod + qcd + sot + bytes(600) + b"\xff\xd9"


def nested(depth: int, *, undefined: bool) -> bytes:
    """A sequence in a sequence in a sequence."""
    tag, item = struct.pack("<HH", 0x0040, 0x0275), struct.pack("<HH", 0xFFFE, 0xE000)
    inner = b""
    if undefined:
        opening = tag + b"SQ\0\0\xff\xff\xff\xff" + item + b"\xff\xff\xff\xff"
        closing = b"\xfe\xff\x0d\xe0\0\0\0\0\xfe\xff\xdd\xe0\0\0\0\0"
        return opening * depth + closing * depth
    for _ in range(depth):
        inner = item + struct.pack("<I", len(inner)) + inner
        inner = tag + b"SQ\0\0" + struct.pack("<I", len(inner)) + inner
    return inner


def _before_pixels(extra: bytes) -> bytes:
    content = honest.HONEST["explicit.dcm"]()
    at = content.index(b"\xe0\x7f\x10\x00")
    return content[:at] + extra + content[at:]


def _deflated(body: bytes, growth: int) -> bytes:
    """A deflated slice whose dataset ends in `growth` megabytes of nothing."""
    content = honest.HONEST["deflated.dcm"]()
    meta_end = 132 + 12 + struct.unpack_from("<I", content, 140)[0]
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    packed = packer.compress(zlib.decompress(content[meta_end:], -15) + body)
    for _ in range(growth):
        packed += packer.compress(bytes(MEGABYTE))
    return content[:meta_end] + packed + packer.flush()


def bombs() -> Iterator[Attack]:
    """Small files that ask for a lot of memory, time or stack."""
    for side in (20_000, 30_000, 65_000):
        for syntax in (JPEG2000Lossless, JPEG2000):
            yield (
                f"jpeg2000-of-{side}-{syntax[-2:]}.dcm",
                (
                    lambda side=side, syntax=syntax: honest.encapsulated(
                        huge_jpeg_2000(side), syntax
                    )
                ),
            )
    for rows, columns in ((65535, 65535), (65535, 1), (4096, 4096), (1, 65535)):
        yield (
            f"rows-{rows}-{columns}.dcm",
            (lambda r=rows, c=columns: honest.dicom_bytes(honest.ct(Rows=r, Columns=c))),
        )
        yield (
            f"rle-rows-{rows}-{columns}.dcm",
            (
                lambda r=rows, c=columns: honest.encapsulated(
                    b"\2" + bytes(63) + b"\x81\0" * 400, RLELossless, Rows=r, Columns=c
                )
            ),
        )
    for frames in (5000, 100_000, 2**31 - 1):
        yield (
            f"frames-{frames}.dcm",
            (lambda n=frames: honest.dicom_bytes(honest.ct(NumberOfFrames=n))),
        )
    for depth in (5, 60, 70, 80, 90, 150, 300, 1000, 20_000):
        for undefined in (True, False):
            yield (
                f"nested-{depth}-{undefined}.dcm",
                (lambda d=depth, u=undefined: _before_pixels(nested(d, undefined=u))),
            )
    header = struct.pack("<HH", 0x7FE0, 0x0010)
    for growth in (1, 100, 400, 900):
        yield (
            f"deflated-{growth}.dcm",
            lambda g=growth: _deflated(
                struct.pack("<HH2sHI", 0x7FE1, 0x10, b"OB", 0, g * MEGABYTE), g
            ),
        )
    for length in (0xFFFFFFFE, 0xFFFFFFFF, 0x80000000, 0x7FFFFFFF):
        for vr in (b"OW", b"OB", b"UN", b"SQ", b"UT"):
            yield (
                f"length-{length:x}-{vr.decode()}.dcm",
                lambda n=length, v=vr: _before_pixels(
                    struct.pack("<HH2sHI", 0x0028, 0x9999, v, 0, n)
                ),
            )
        yield (
            f"pixels-{length:x}.dcm",
            lambda n=length: (
                _before_pixels(b"").split(header)[0] + header + b"OW\0\0" + struct.pack("<I", n)
            ),
        )
    yield (
        "many-elements.dcm",
        lambda: _before_pixels(
            b"".join(struct.pack("<HH2sH", 0x0029, k & 0xFFFF, b"LO", 0) for k in range(400_000))
        ),
    )
    yield (
        "many-items.dcm",
        lambda: _before_pixels(
            struct.pack("<HH2sHI", 0x0040, 0x0275, b"SQ", 0, 0xFFFFFFFF)
            + struct.pack("<HHI", 0xFFFE, 0xE000, 0) * 300_000
            + struct.pack("<HHI", 0xFFFE, 0xE0DD, 0)
        ),
    )
