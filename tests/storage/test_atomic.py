"""A file is replaced as a whole, by whoever writes it last."""

import threading

import pytest

from zoo.storage.atomic import DRAFT_PREFIX, replace_file, write_text


def test_an_interrupted_write_leaves_the_file_and_no_draft(tmp_path):
    file = tmp_path / "a.json"
    write_text(file, "old")
    with pytest.raises(KeyboardInterrupt), replace_file(file) as draft:
        draft.write_text("ne")
        raise KeyboardInterrupt
    assert file.read_text() == "old" and list(tmp_path.iterdir()) == [file]


def test_two_threads_write_the_same_file(tmp_path):
    file, both = tmp_path / "a.json", threading.Barrier(2)

    def write(text):
        with replace_file(file) as draft:
            both.wait(60)
            draft.write_text(text)
            both.wait(60)

    threads = [threading.Thread(target=write, args=[text]) for text in ("first", "second")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert file.read_text() in ("first", "second")
    assert not list(tmp_path.glob(f"{DRAFT_PREFIX}*"))


def test_the_draft_is_in_the_folder_of_the_file(tmp_path):
    """A rename is atomic within a file system only."""
    with replace_file(tmp_path / "a.json") as draft:
        assert draft.parent == tmp_path and draft.name.startswith(DRAFT_PREFIX)
        draft.touch()
