"""Files made to do harm: every attack is a name and the bytes of a file, or of a small folder.

Names say what is wrong. Big things are small here: a bomb is packed. All of it is made from the
honest files beside this one, the same at every run.
"""

import gzip
import io
import random
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator

import honest_files as honest
from hostile_dicom import (
    MEGABYTE,
    Attack,
    bombs,
    broken_streams,
    cut_short,
    evil_values,
    flipped,
    mutated,
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
