"""Files made to do harm: every attack is a name and the bytes of a file, or of a small folder.

Names say what is wrong. Big things are small here: a bomb is packed. All of it is made from the
honest files beside this one, the same at every run.
"""

import gzip
import io
import itertools
import random
import stat
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator

import honest_files as honest
from pydicom.uid import (
    JPEG2000,
    JPEG2000Lossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

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


def archive(*members: tuple[str, bytes], **attributes: int) -> bytes:
    """A zip whose members have any name."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as zipped:
        for name, content in members:
            info = zipfile.ZipInfo(name)
            info.compress_type = zipfile.ZIP_DEFLATED
            for attribute, value in attributes.items():
                setattr(info, attribute, value)
            zipped.writestr(info, content)
    return file.getvalue()


def encrypted(method: int) -> bytes:
    """A zip that says its one member has a password; the method is 8, or 99 for AES (WinZip)."""
    raw = bytearray(archive(("1.dcm", honest.HONEST["explicit.dcm"]())))
    for signature, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        struct.pack_into("<HH", raw, raw.index(signature) + flags, 1, method)
    return bytes(raw)


def overlapping(members: int) -> bytes:
    """A zip in which all members share the same packed bytes (Fifield 2019)."""
    content = archive(("0", bytes(20 * MEGABYTE)))
    at = content.index(b"PK\x01\x02")
    entry, end = content[at : content.index(b"PK\x05\x06")], content[content.index(b"PK\x05\x06") :]
    directory = b"".join(entry[:-1] + bytes([33 + k]) for k in range(members))
    packed = struct.pack("<HHII", members, members, len(directory), at)
    return content[:at] + directory + end[:8] + packed + end[20:]


def evil_archives() -> Iterator[Attack]:
    """Zips that grow, lie, climb out, or hold what is no file."""
    slice_ = honest.HONEST["explicit.dcm"]
    names = (
        "../evil", "../../../../../../tmp/evil", "/tmp/evil", "a/../../evil", "C:\\evil",
        "..\\evil", "a\\..\\..\\evil", "~/evil", "a//b", "./a", "a/./b", ".", "..", "/",
        "//host/evil", "a\0b", "con", "x" * 300, "/".join("d" * 20), "\u202egnp.exe", "a\nb", " ",
        "-rf",
    )  # fmt: skip
    for number, name in enumerate(names):
        yield f"name-{number}.zip", lambda name=name: archive(("1.dcm", slice_()), (name, slice_()))
    link = (stat.S_IFLNK | 0o777) << 16
    for target in ("/etc/passwd", "..", "1.dcm"):
        yield (
            f"link-{len(target)}.zip",
            lambda t=target: archive(("link", t.encode()), external_attr=link),
        )
    fifo = (stat.S_IFIFO | 0o777) << 16
    for method in (8, 99):
        yield f"encrypted-{method}.zip", lambda method=method: encrypted(method)
    yield "fifo.zip", lambda: archive(("pipe", b""), external_attr=fifo)
    for size in (100, 255, 300, 1000):
        yield f"flat-{size}.zip", lambda n=size: archive(("bomb.dcm", bytes(n * MEGABYTE)))
    yield "nested.zip", lambda: archive(("inner.zip", archive(("b", bytes(300 * MEGABYTE)))))
    yield "overlapping.zip", lambda: overlapping(60)
    yield "empty.zip", archive
    yield "many.zip", lambda: archive(*((f"{k}", b"") for k in range(20_100)))
    yield "doubled.zip", lambda: archive(("a", b"x"), ("b", b"x")).replace(b"b", b"a")
    for number, (offset, width) in enumerate(((20, 4), (24, 4), (42, 4), (10, 2), (8, 2), (16, 4))):
        for value in (0, 1, 0x7FFFFFFF, 0xFFFFFFFF):
            yield (
                f"lying-{number}-{value:x}.zip",
                lambda o=offset, w=width, v=value: _lying(
                    o, (v & (256**w - 1)).to_bytes(w, "little")
                ),
            )
    content = archive(("1.dcm", slice_()))
    for seed in range(60):
        yield f"damaged-{seed}.zip", lambda seed=seed: mutated(content, seed)


def _lying(offset: int, value: bytes) -> bytes:
    """A field of the central directory replaced."""
    raw = bytearray(archive(("1.dcm", honest.HONEST["explicit.dcm"]())))
    at = raw.index(b"PK\x01\x02") + offset
    raw[at : at + len(value)] = value
    return bytes(raw)


def evil_volumes() -> Iterator[Attack]:
    """NIfTI, MetaImage and NRRD that lie about themselves, or are bombs."""
    all_dims = (
        (3, 32767, 32767, 32767), (3, -1, 32, 4), (0, 0, 0, 0), (7, 32, 32, 4), (3, 32, 32, 0),
        (3, 512, 512, 5000), (4, 32, 32, 4), (-32768, 1, 1, 1), (3, 1, 1, 1), (3, 1024, 1024, 1024),
    )  # fmt: skip
    for number, dims in enumerate(all_dims):
        full = (*dims, 1, 1, 1, 1)
        yield f"dims-{number}.nii", lambda d=full: honest.nifti(d)
        yield f"dims-{number}.nii.gz", lambda d=full: gzip.compress(honest.nifti(d))
    nan, inf = float("nan"), float("inf")
    for number, value in enumerate((nan, inf, -inf, 0.0, 1e30, -1e30, 1e-30)):
        yield f"offset-{number}.nii", lambda v=value: honest.nifti(offset=v)
        yield f"slope-{number}.nii", lambda v=value: honest.nifti(slope=v)
        yield f"intercept-{number}.nii", lambda v=value: honest.nifti(intercept=v)
        yield f"sform-{number}.nii", lambda v=value: honest.nifti(sform=(v,) * 12)
    for kind in (0, 1, 2, 16, 32, 64, 128, 1536, 2048, -1, 32767):
        yield f"type-{kind}.nii", lambda k=kind: honest.nifti(kind=k)
    for slices in (40, 120, 400, 800, 1500):
        shape = (3, 512, 512, slices, 1, 1, 1, 1)
        yield (
            f"bomb-{slices}.nii.gz",
            lambda s=shape: gzip.compress(honest.nifti(s, voxels=bytes(2 * 512 * 512 * s[3])), 1),
        )
        for kind, width in ((16, 4), (64, 8)):
            yield (
                f"bomb-{slices}-{kind}.nii.gz",
                lambda s=shape, k=kind, w=width: gzip.compress(
                    honest.nifti(s, k, slope=1.5, voxels=bytes(w * 512 * 512 * min(s[3], 400))), 1
                ),
            )
        size = f"512 512 {slices}"
        yield (
            f"bomb-{slices}.mha",
            lambda n=slices, s=size: honest.packed_meta_image(bytes(2 * 512 * 512 * n), DimSize=s),
        )
        yield (
            f"bomb-{slices}.nrrd",
            lambda n=slices, s=size: honest.nrrd(
                gzip.compress(bytes(2 * 512 * 512 * n), 1), encoding="gzip", sizes=s
            ),
        )
    metas = (
        {"DimSize": "99999 99999 99999"}, {"DimSize": "-1 -1 -1"}, {"DimSize": "32 32"},
        {"NDims": "1000"}, {"NDims": "-3"}, {"NDims": "0"}, {"ElementSpacing": "nan nan nan"},
        {"ElementSpacing": "0 0 0"}, {"TransformMatrix": "0 0 0 0 0 0 0 0 0"},
        {"ElementType": "MET_" + "X" * 5000}, {"ElementDataFile": "/etc/passwd"},
        {"ElementDataFile": "../../../../etc/passwd"}, {"ElementDataFile": "LIST"},
        {"ElementDataFile": "%04d.raw 1 9999999 1"}, {"ElementDataFile": "http://localhost/x"},
        {"Comment": "x" * 200_000}, {"CompressedData": "True"}, {"ElementNumberOfChannels": "9999"},
        {"HeaderSize": "-1"}, {"HeaderSize": "4000000000"}, {"Offset": "1e400 0 0"},
    )  # fmt: skip
    for number, fields in enumerate(metas):
        yield f"meta-{number}.mha", lambda f=fields: honest.meta_image(**f)
        yield f"meta-{number}.mhd", lambda f=fields: honest.meta_image(**f)
    nrrds = (
        {"sizes": "99999 99999 99999"}, {"sizes": "-1 -1 -1"}, {"sizes": "0 0 0"},
        {"dimension": "1000"}, {"dimension": "16"},
        {"space_directions": "(nan,0,0) (0,1,0) (0,0,1)"},
        {"space_directions": "none none none"}, {"data_file": "/etc/passwd"},
        {"data_file": "../../etc/passwd"}, {"data_file": "LIST"},
        {"data_file": "x%03d 1 99999999 1"},
        {"encoding": "bzip2"}, {"encoding": "ascii"}, {"encoding": "hex"}, {"byte_skip": "-1"},
        {"byte_skip": "4000000000"}, {"line_skip": "999999999"}, {"type": "block"},
        {"content": "%s%n" * 5000}, {"space_origin": "(1e999,0,0)"}, {"endian": ""},
    )  # fmt: skip
    for number, fields in enumerate(nrrds):
        yield f"nrrd-{number}.nrrd", lambda f=fields: honest.nrrd(**f)
        yield f"nrrd-{number}.nhdr", lambda f=fields: honest.nrrd(**f)


def png(
    rows: int, columns: int, *, kind: int = 0, extra: bytes = b"", rows_of_data: int = 1
) -> bytes:
    """A PNG with any IHDR; its data hold some rows of zeros."""

    def chunk(name: bytes, content: bytes) -> bytes:
        checksum = zlib.crc32(name + content)
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", checksum)

    header = struct.pack(">IIBBBBB", columns, rows, 8, kind, 0, 0, 0)
    data = zlib.compress(bytes((columns + 1) * rows_of_data), 9)
    body = chunk(b"IHDR", header) + extra + chunk(b"IDAT", data) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def evil_pictures() -> Iterator[Attack]:
    """Pictures larger than any, and pictures that are several."""
    for rows, columns in ((65535, 65535), (4096, 4096), (2**31 - 1, 1), (0, 0), (4097, 4096)):
        yield (
            f"size-{rows}-{columns}.png",
            lambda r=rows, c=columns: png(r, min(c, 2**20), rows_of_data=1),
        )
    for kind in (1, 2, 3, 4, 6, 255):
        yield f"kind-{kind}.png", lambda k=kind: png(64, 64, kind=k, rows_of_data=64)
    text = b"zTXt", b"a\0\0" + zlib.compress(bytes(200 * MEGABYTE), 9)
    yield "text-bomb.png", lambda: png(
        64, 64, rows_of_data=64,
        extra=struct.pack(">I", len(text[1])) + text[0] + text[1]
        + struct.pack(">I", zlib.crc32(text[0] + text[1])),
    )  # fmt: skip
    for size in (1, 4096, 65535):
        raw = honest.picture(".jpg")
        at = raw.index(b"\xff\xc0") + 5
        yield (
            f"size-{size}.jpg",
            lambda r=raw, a=at, s=size: r[:a] + struct.pack(">HH", s, s) + r[a + 4 :],
        )
    yield "loop.jpg", lambda: b"\xff\xd8" + b"\xff\xe0\0\0" * 100 + b"\xff\xd9"
    yield "fill.jpg", lambda: b"\xff\xd8" + b"\xff" * MEGABYTE + b"\xff\xd9"


def polyglots() -> Iterator[Attack]:
    """Files that are of two kinds at once."""
    dicom, zip_ = honest.HONEST["explicit.dcm"](), honest.HONEST["study.zip"]()
    starts = {
        "png": honest.picture(".png")[:128], "pdf": b"%PDF-1.7\n", "exe": b"MZ",
        "sh": b"#!/bin/sh\n",
        "html": b"<script>alert(1)</script>", "elf": b"\x7fELF", "zip": zip_[:128],
    }  # fmt: skip
    for kind, start in starts.items():
        yield f"dicom-and-{kind}.dcm", lambda s=start: s.ljust(128, b"\0")[:128] + dicom[128:]
        yield f"dicom-then-{kind}.dcm", lambda s=start: dicom + s
    for name, content in (("png", honest.picture(".png")), ("dcm", dicom), ("nii", honest.nifti())):
        yield f"zip-after-{name}.{name}", lambda c=content: c + zip_
        yield f"{name}-called-zip.zip", lambda c=content: c
    for suffix in (".nii", ".nii.gz", ".mha", ".nrrd", ".png", ".zip", ".dcm", ".exe", ""):
        yield f"dicom-called{suffix}", lambda: dicom
        yield f"noise-called{suffix}", lambda: random.Random(1).randbytes(5000)
        yield f"nothing-called{suffix}", lambda: b""


FAMILIES = (
    cut_short,
    flipped,
    evil_values,
    broken_streams,
    bombs,
    evil_archives,
    evil_volumes,
    evil_pictures,
    polyglots,
)
