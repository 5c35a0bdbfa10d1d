import os
import random
import struct
import zipfile

import pytest

from stgcn_cli.data import archives
from stgcn_cli.data.archives import list_texts, read_text
from stgcn_cli.errors import DataError
from tests.factories.skeletons import write_folder, write_zip

TEXTS = {"b": b"two" * 500, "a": b"one", "c": b""}


def contents(*places) -> dict[str, bytes]:
    return {entry.name: read_text(entry) for entry in list_texts(places).entries}


def damage(path, old: bytes, new: bytes, last: bool = False):
    whole = path.read_bytes()
    at = whole.rfind(old) if last else whole.find(old)
    path.write_bytes(whole[:at] + new + whole[at + len(old) :])
    return path


def reason(path, name: str = "a") -> str:
    entry = next(entry for entry in list_texts([path]).entries if entry.name == name)
    with pytest.raises(DataError) as caught:
        read_text(entry)
    return caught.value.message


def test_a_zip_several_zips_a_folder_and_single_files_give_the_same_texts_in_the_order_of_names(tmp_path):
    whole, folder = write_zip(tmp_path / "x.zip", TEXTS), write_folder(tmp_path / "raw" / "deep" / "er", TEXTS)
    first, second = (
        write_zip(tmp_path / "1.zip", {"b": TEXTS["b"]}),
        write_zip(tmp_path / "2.zip", {"c": b"", "a": b"one"}),
    )
    single = [folder / f"{name}.skeleton" for name in "abc"]
    for places in ([whole], [tmp_path / "raw"], [first, second], single, [first, folder]):
        assert list(contents(*places).items()) == sorted(TEXTS.items())


def test_of_a_name_that_occurs_twice_the_first_source_is_read_and_the_other_listed(tmp_path):
    first, second = write_zip(tmp_path / "1.zip", {"a": b"first"}), write_zip(tmp_path / "2.zip", {"a": b"second"})
    assert contents(first, second) == {"a": b"first"} and contents(second, first) == {"a": b"second"}
    [(place, why)] = list_texts([first, second]).duplicates
    assert "2.zip" in place and "1.zip" in why


def test_other_files_are_listed_with_the_reason(tmp_path):
    folder = write_folder(tmp_path / "raw", {"a": b"one", "README.txt": b"", ".DS_Store": b"", "x.zip": b""})
    listing = list_texts([folder])
    assert [entry.name for entry in listing.entries] == ["a"]
    assert {os.path.basename(place): why for place, why in listing.foreign} == {
        ".DS_Store": "not a .skeleton file",
        "README.txt": "not a .skeleton file",
        "x.zip": "a zip inside a folder is not opened; give it to --source itself",
    }


def test_links_are_not_followed_out_of_the_folder(tmp_path):
    outside = write_folder(tmp_path / "outside", {"x": b"secret", "y": b""})
    folder = write_folder(tmp_path / "raw", {"a": b"one"})
    for name, target in [("b", folder / "a.skeleton"), ("x", outside / "x.skeleton"), ("broken", tmp_path / "gone")]:
        (folder / f"{name}.skeleton").symlink_to(target)
    (folder / "deep").symlink_to(outside)
    (folder / "loop").symlink_to(folder)
    os.mkfifo(folder / "pipe.skeleton")  # opening it would wait for ever
    assert contents(folder) == {"a": b"one", "b": b"one"}
    assert len(list_texts([folder]).foreign) == 5


def test_names_fit_for_a_terminal(tmp_path):
    folder = write_folder(tmp_path / "raw", {"a\x1b[31m\n.txt": b""})
    with open(os.fsencode(folder) + b"/\xff.txt", "wb"):
        pass
    places = [place for place, _ in list_texts([folder]).foreign]
    assert len(places) == 2 and all(place.isprintable() for place in places)


@pytest.mark.parametrize("content", [b"", b"not a zip" * 99, b"PK\x03\x04" + bytes(99)])
def test_what_is_no_zip_is_an_error_that_names_it(tmp_path, content):
    (tmp_path / "x.zip").write_bytes(content)
    with pytest.raises(DataError, match=r"x\.zip cannot be read as a zip"):
        list_texts([tmp_path / "x.zip"])


def test_a_source_that_is_not_there_is_an_error_that_names_it(tmp_path):
    with pytest.raises(DataError, match=r"gone cannot be read: No such file"):
        list_texts([tmp_path / "gone"])


def test_a_directory_of_a_zip_damaged_at_random_never_crashes(tmp_path):
    good, rng = write_zip(tmp_path / "x.zip", TEXTS).read_bytes(), random.Random(0)
    for _ in range(300):
        bad = bytearray(good)
        for _ in range(rng.randrange(1, 5)):
            bad[rng.randrange(len(bad))] = rng.randrange(256)
        (tmp_path / "x.zip").write_bytes(bad)
        try:
            contents(tmp_path / "x.zip")
        except DataError as error:
            assert error.message.isprintable()


def test_a_damaged_member_is_distinguished_from_a_forged_one(tmp_path):
    stored = tmp_path / "s.zip"
    with zipfile.ZipFile(stored, "w") as archive:
        archive.writestr("a.skeleton", b"some text")
    assert "checksum" in reason(damage(stored, b"some text", b"same text"))
    archives = write_zip(tmp_path / "d.zip", {"a": bytes(1000)})
    size = struct.pack("<I", 1000)
    assert "checksum" in reason(damage(archives, size, struct.pack("<I", 900), last=True))  # the directory says 900
    gone = write_zip(tmp_path / "g.zip", {"a": b"one"})
    assert "does not hold it" in reason(damage(gone, b"PK\x03\x04", b"PKxx"))


def test_a_bomb_is_not_unpacked(tmp_path, monkeypatch):
    monkeypatch.setattr(archives, "MAX_BYTES", 10_000)
    honest = write_zip(tmp_path / "h.zip", {"a": bytes(10_001)})
    assert reason(honest) == "it has 10,001 bytes, more than the limit of 10,000"
    assert "10,001 bytes" in reason(write_folder(tmp_path / "f", {"a": bytes(10_001)}))
    lying = write_zip(tmp_path / "l.zip", {"a": bytes(5_000_000)})
    damage(lying, struct.pack("<I", 5_000_000), struct.pack("<I", 5000), last=True)
    assert "checksum" in reason(lying)


def test_encrypted_and_strangely_packed_members_are_refused(tmp_path):
    path = tmp_path / "x.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.skeleton", b"text", zipfile.ZIP_BZIP2)
    assert reason(path) == "unsupported compression method 12"
    whole = bytearray(write_zip(path, {"a": b"text"}).read_bytes())
    whole[whole.find(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(whole)
    assert reason(path) == "it is encrypted"


def test_a_file_that_changes_after_listing_is_refused(tmp_path):
    folder = write_folder(tmp_path / "raw", {"a": b"one"})
    [entry] = list_texts([folder]).entries
    write_folder(folder, {"a": b"longer"})
    with pytest.raises(DataError, match="does not have the expected 3 bytes"):
        read_text(entry)


def test_a_packed_file_that_unpacks_to_far_more_is_refused(tmp_path, monkeypatch):
    from stgcn_cli.data import archives

    monkeypatch.setattr(archives, "_FREE", 1 << 20)
    with zipfile.ZipFile(tmp_path / "x.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("keypoint.npy", bytes(5_000_000))
    with pytest.raises(ValueError, match="claims to hold 5,000,000 bytes"):
        archives.check_packed(tmp_path / "x.npz")
