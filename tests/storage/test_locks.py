from zoo.storage.locks import FileLock


def test_one_has_the_lock_at_a_time(tmp_path):
    first, second = FileLock(tmp_path / "lock"), FileLock(tmp_path / "lock")
    assert first.acquire(wait=False) and not second.acquire(wait=False)
    first.release()
    with second:
        assert not first.acquire(wait=False)
    assert first.acquire(wait=False)
    first.release()
