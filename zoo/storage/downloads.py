"""Whether the servers of downloads respond, without the minutes of retries of other libraries."""

import queue
import threading
from collections.abc import Sequence
from urllib.parse import urlsplit

import requests

_TIMEOUT = 8  # seconds


def is_reachable(urls: Sequence[str]) -> bool:
    """Whether one of the servers of the addresses responds within 8 seconds."""
    answers: queue.Queue[bool] = queue.Queue()
    servers = {urlsplit(url).hostname: url for url in urls}

    def send_request(url):
        try:
            requests.head(url, timeout=_TIMEOUT / 2)
            answers.put(True)
        except requests.RequestException:
            answers.put(False)

    # daemon threads, since a DNS lookup without a response takes longer than the timeout
    for url in servers.values():
        threading.Thread(target=send_request, args=(url,), daemon=True).start()
    try:
        return any(answers.get(timeout=_TIMEOUT) for _ in servers)
    except queue.Empty:
        return False
