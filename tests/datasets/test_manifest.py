"""Manifests: what is read, what is refused, and by which line."""

from pathlib import Path

import pytest

from deeppneumonia.datasets import (
    join_manifests,
    read_manifest,
    read_manifests,
    write_manifest,
)
from deeppneumonia.domain import ClassSet
from deeppneumonia.errors import ManifestError

REAL_SETS = {
    "song2021": (1148, 133),
    "song2021_full_slices": (48, 4),
    "mosmed": (705, 705),
    "covid_ct_md": (95, 3),
    "luna16": (37, 1),
    "ccccii": (158, 5),
    "medseg": (137, 5),
    "saopaulo": (320, None),
}


def written(folder: Path, text: str, name: str = "manifest.csv", encoding: str = "utf-8") -> Path:
    """A manifest with this text; the pictures it may name lie beside it."""
    folder.mkdir(exist_ok=True, parents=True)
    for picture in "abcd":
        (folder / f"{picture}.png").touch()
    path = folder / name
    path.write_text(text, encoding=encoding, newline="")
    return path


def test_every_known_column_is_read_and_the_rest_carried_along(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        "path,patient_id,label,site,study_id,split,lung_masked,window_level,window_width,"
        "lung_mask,lesion_mask,age\n"
        "a.png,p1,covid,wuhan,s1,train,1,-600,1500,b.png,c.png,39\n",
    )
    (row,) = read_manifest(path).rows
    assert (row.line, row.path, row.patient_id, row.label) == (2, "a.png", "p1", "covid")
    assert (row.site, row.study_id, row.split, row.lung_masked) == ("wuhan", "s1", "train", True)
    assert (row.window_level, row.window_width) == (-600.0, 1500.0)
    assert (row.lung_mask, row.lesion_mask, row.extra) == ("b.png", "c.png", {"age": "39"})


def test_a_byte_order_mark_and_windows_line_ends_are_read(tmp_path: Path) -> None:
    path = written(tmp_path, "path,patient_id,label\r\na.png,p1,covid\r\n", encoding="utf-8-sig")
    assert read_manifest(path).rows[0].path == "a.png"


def test_semicolons_are_read_as_excel_writes_them_in_europe(tmp_path: Path) -> None:
    text = 'path;patient_id;label;"age, sex";kVp\r\na.png;007;covid;"39; f";1,25\r\n'
    (row,) = read_manifest(written(tmp_path, text, encoding="utf-8-sig")).rows
    assert (row.path, row.patient_id, row.label) == ("a.png", "007", "covid")
    assert row.extra == {"age, sex": "39; f", "kVp": "1,25"}


@pytest.mark.parametrize(("here", "there"), [",;", ";,"])
def test_the_name_of_a_column_may_hold_the_other_separator(
    here: str, there: str, tmp_path: Path
) -> None:
    name = f"grade{there} 0{there} 1{there} 2{there} 3"
    text = here.join(["path", '"patient_id"', "label", f'"{name}"']) + "\r\n"
    text += here.join(["a.png", "p1", "covid", "2"]) + "\r\n"
    assert read_manifest(written(tmp_path, text)).rows[0].extra == {name: "2"}


def test_one_patient_in_two_spellings_of_a_letter_stays_one(tmp_path: Path) -> None:
    text = "path,patient_id,label\na.png,M\u00fcller,covid\nb.png,Mu\u0308ller,covid\n"
    read = read_manifest(written(tmp_path, text))
    assert list(read.patients) == ["M\u00fcller"]


def test_labels_and_sites_of_two_spellings_are_one_to_maps_and_classes(tmp_path: Path) -> None:
    """As file names from a Mac have them: a letter and its accent are two characters there."""
    word, parts = "entz\u00fcndet", "entzu\u0308ndet"
    text = f"path,patient_id,label,site\na.png,1,{parts},{parts}\n"
    path = written(tmp_path / parts, text)
    (row,) = read_manifest(path, label_map={parts: "covid"}).rows
    assert (row.label, row.site) == ("covid", word)
    blank = written(tmp_path / parts, text.replace(f"{parts}\n", "\n"), "blank.csv")
    assert join_manifests([read_manifest(blank)]).rows[0].site == word
    assert ClassSet(("healthy", parts)).index(read_manifest(path).rows[0].label) == 1


def test_a_file_whose_name_has_its_accents_apart_is_found(tmp_path: Path) -> None:
    (tmp_path / "mu\u0308ller.png").touch()
    path = written(tmp_path, "path,patient_id,label\nmu\u0308ller.png,Mu\u0308ller,covid\n")
    read = read_manifest(path)
    assert read.file(read.rows[0]).is_file()


def test_a_carriage_return_in_a_cell_can_be_written_and_read_again(tmp_path: Path) -> None:
    path = written(tmp_path, 'path,patient_id,label,note\na.png,p1,covid,"x\ry\r\nz"\n')
    wrote = write_manifest(read_manifest(path), tmp_path / "again.csv")
    assert read_manifest(tmp_path / "again.csv") == wrote
    assert wrote.rows[0].extra == {"note": "x\ny\nz"}


def test_labels_are_renamed_by_the_map_and_others_stay(tmp_path: Path) -> None:
    path = written(tmp_path, "path,patient_id,label\na.png,p1,cap\nb.png,p2,covid\n")
    renamed = read_manifest(path, label_map={"cap": "bacterial"})
    assert [row.label for row in renamed.rows] == ["bacterial", "covid"]
    assert renamed.sha256 != read_manifest(path).sha256


def test_the_line_of_a_row_is_that_of_the_file(tmp_path: Path) -> None:
    path = written(
        tmp_path, 'path,patient_id,label,note\na.png,p1,covid,"two\nlines"\n\nb.png,p2,covid,\n'
    )
    assert [row.line for row in read_manifest(path).rows] == [2, 5]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("path,label\na.png,covid\n", "no column patient_id"),
        ("path\tpatient_id\tlabel\n", "with commas"),
        ("path,patient_id,label,label\na.png,p1,covid,covid\n", "'label' stands there twice"),
        ("path,patient_id,label\na.png,p1,covid\nb.png, ,covid\n", "Line 3: the patient_id is bl"),
        ("path,patient_id,label\na.png,p1,\n", "Line 2: the label is blank"),
        ("path,patient_id,label\na.png,p1,covid\nz.png,p1,covid\n", "Line 3: .*z.png.* not exist"),
        ("path,patient_id,label\n/a.png,p1,covid\n", "Line 2: .*leaves the folder"),
        ("path,patient_id,label\n../x/a.png,p1,covid\n", "Line 2: .*leaves the folder"),
        ("path,patient_id,label\na.png,p1,covid\n./a.png,p1,covid\n", "Lines 2 and 3 .*same path"),
        ("path,patient_id,label\na.png,p1,covid\nb.png,p1,cap\n", "Lines 2 and 3 .*the labels"),
        (
            "path,patient_id,label,split\na.png,p1,covid,train\nb.png,p1,covid,test\n",
            "Lines 2 and 3 .*the splits 'train' and 'test'",
        ),
        ("path,patient_id,label,lung_masked\na.png,p1,covid,yes\n", "Line 2: lung_masked is 'yes'"),
        ("path,patient_id,label,window_level\na.png,p1,covid,nan\n", "Line 2: window_level"),
        ("path,patient_id,label,split\na.png,p1,covid,Test\n", "Line 2: split is 'Test'; write tr"),
        ("path,patient_id,label\n.\\a.png,p1,covid\n", "Line 2: .*; write it with slashes"),
        ("path,patient_id,label,lung_mask\na.png,p1,covid,z.png\n", "Line 2: the lung_mask"),
        ("path,patient_id,label\na.png,p1,covid,more\n", "Line 2: 4 values for 3 columns"),
        ('path,patient_id,label\n"a.png,p1,covid\n', "Line 2 .*is not CSV"),
        ("path,patient_id,label\n", "has no rows"),
        ("", "has no rows"),
    ],
)
def test_a_manifest_that_cannot_be_trusted_is_refused(
    tmp_path: Path, text: str, complaint: str
) -> None:
    with pytest.raises(ManifestError, match=complaint) as refusal:
        read_manifest(written(tmp_path, text))
    assert "p1" not in str(refusal.value)


def test_text_that_is_not_utf_8_is_refused_by_its_line(tmp_path: Path) -> None:
    path = written(tmp_path, "")
    path.write_bytes(b"path,patient_id,label\na.png,M\xfcller,covid\n")
    with pytest.raises(ManifestError, match="Line 2 of the manifest is not UTF-8"):
        read_manifest(path)


def test_a_manifest_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="cannot be read"):
        read_manifest(tmp_path / "none.csv")


def test_an_audit_may_read_rows_that_contradict_each_other(tmp_path: Path) -> None:
    text = "path,patient_id,label,split\na.png,p1,covid,train\nb.png,p1,covid,test\n"
    kept = read_manifest(written(tmp_path, text), refuse_contradictions=False)
    assert len(kept.rows) == 2


def test_what_is_written_is_read_back_the_same(tmp_path: Path) -> None:
    text = 'path,patient_id,label,window_level,note\na.png,p1,covid,-600,"x, y"\nb.png,p2,cap,,\n'
    original = read_manifest(written(tmp_path / "set", text))
    wrote = write_manifest(original, tmp_path / "all.csv")
    read = read_manifest(tmp_path / "all.csv")
    assert read == wrote
    assert [row.path for row in read.rows] == ["set/a.png", "set/b.png"]
    assert read.rows[0].extra == {"note": "x, y"}
    assert [path.name for path in tmp_path.glob("all*")] == ["all.csv"]


def test_a_manifest_is_not_written_where_its_paths_cannot_point_back(tmp_path: Path) -> None:
    original = read_manifest(written(tmp_path / "set", "path,patient_id,label\na.png,p1,covid\n"))
    (tmp_path / "elsewhere").mkdir()
    with pytest.raises(ManifestError, match="beside the data or above"):
        write_manifest(original, tmp_path / "elsewhere" / "manifest.csv")
    assert not list((tmp_path / "elsewhere").iterdir())


def test_a_manifest_far_from_its_data_is_read_with_their_folder_named(tmp_path: Path) -> None:
    original = read_manifest(written(tmp_path / "set", "path,patient_id,label\na.png,p1,covid\n"))
    (tmp_path / "elsewhere").mkdir()
    path = tmp_path / "elsewhere" / "split.csv"
    wrote = write_manifest(original, path, folder=tmp_path)
    assert read_manifest(path, folder=tmp_path) == wrote
    assert wrote.file(wrote.rows[0]) == tmp_path / "set" / "a.png"


def test_of_several_manifests_the_one_whose_line_is_wrong_is_named(tmp_path: Path) -> None:
    whole, broken = tmp_path / "north" / "manifest.csv", tmp_path / "south" / "manifest.csv"
    for path, patient in ((whole, "a"), (broken, "")):
        path.parent.mkdir()
        (path.parent / "0.png").touch()
        path.write_text(f"path,patient_id,label\n0.png,{patient},covid\n")
    with pytest.raises(ManifestError, match=r"^south/manifest\.csv: Line 2: the patient_id"):
        read_manifests([whole, broken])
    with pytest.raises(ManifestError, match=r"^Line 2: the patient_id"):
        read_manifests([broken])
    assert [one.rows[0].patient_id for one in read_manifests([whole])] == ["a"]


def test_joined_manifests_keep_people_of_two_sites_apart(tmp_path: Path) -> None:
    one = written(tmp_path / "wuhan", "path,patient_id,label\na.png,1,covid\nb.png,2,covid\n")
    two = written(tmp_path / "moscow", "path,patient_id,label\na.png,1,healthy\nb.png,3,covid\n")
    joined = join_manifests([read_manifest(one), read_manifest(two)])
    assert joined.folder == tmp_path
    assert [row.patient_id for row in joined.rows] == ["wuhan/1", "2", "moscow/1", "3"]
    assert [row.site for row in joined.rows] == ["wuhan", "wuhan", "moscow", "moscow"]
    assert [row.line for row in joined.rows] == [2, 3, 4, 5]
    assert all(joined.file(row).is_file() for row in joined.rows)


def test_manifests_named_by_roundabout_paths_are_joined(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "path,patient_id,label\na.png,{},covid\n"
    written(tmp_path / "one", text.format("1"))
    written(tmp_path / "two", text.format("2"))
    monkeypatch.chdir(tmp_path / "one")
    manifests = [Path("manifest.csv"), Path("../two/manifest.csv")]
    joined = join_manifests([read_manifest(path) for path in manifests])
    assert [(row.path, row.site) for row in joined.rows] == [
        ("one/a.png", "one"),
        ("two/a.png", "two"),
    ]


def test_a_single_manifest_with_sites_is_joined_to_itself(tmp_path: Path) -> None:
    path = written(tmp_path, "path,patient_id,label,site\n\na.png,1,covid,wuhan\n")
    manifest = read_manifest(path)
    assert join_manifests([manifest]) == manifest
    assert manifest.rows[0].line == 3


def test_joined_manifests_of_one_site_share_their_people(tmp_path: Path) -> None:
    text = "path,patient_id,label,site\n{}.png,1,covid,wuhan\n"
    first = written(tmp_path, text.format("a"), "first.csv")
    second = written(tmp_path, text.format("b"), "second.csv")
    joined = join_manifests([read_manifest(first), read_manifest(second)])
    assert list(joined.patients) == ["1"]


def test_a_patient_of_two_sites_stays_one_person_in_joined_manifests(tmp_path: Path) -> None:
    head = "path,patient_id,label,site\n"
    at_wuhan = written(tmp_path, f"{head}a.png,1,covid,wuhan\n", "first.csv")
    at_both = written(tmp_path, f"{head}b.png,1,covid,wuhan\nc.png,1,covid,east\n", "second.csv")
    other = written(tmp_path, f"{head}d.png,1,healthy,moscow\n", "third.csv")
    for order in ([at_wuhan, at_both, other], [other, at_both, at_wuhan]):
        joined = join_manifests([read_manifest(path) for path in order])
        whose = {row.path: row.patient_id for row in joined.rows}
        assert whose == {
            "a.png": "east/1", "b.png": "east/1", "c.png": "east/1", "d.png": "moscow/1",
        }  # fmt: skip


@pytest.mark.real_data
@pytest.mark.parametrize("name", REAL_SETS)
def test_every_real_manifest_is_accepted(real_data: Path, name: str) -> None:
    manifest = read_manifest(real_data / name / "manifest.csv")
    pictures, patients = REAL_SETS[name]
    assert len(manifest.rows) == pictures
    assert patients is None or len(manifest.patients) == patients


@pytest.mark.real_data
def test_the_pictures_of_a_real_patient_are_grouped(real_data: Path) -> None:
    manifest = read_manifest(real_data / "song2021" / "manifest.csv")
    counts = [len(rows) for rows in manifest.patients.values()]
    assert (min(counts), max(counts)) == (1, 86)  # the set's description says 1 to 86
