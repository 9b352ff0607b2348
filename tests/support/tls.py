"""TLS in front of a server, with a certificate of its own."""

import contextlib
import shutil
import socket
import ssl
import subprocess
import threading

OPENSSL = shutil.which("openssl")


def make_certificate(folder):
    """Returns the files of a certificate for localhost, and of its key."""
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    command = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
    command += ["-keyout", key, "-out", certificate, "-subj", "/CN=localhost"]
    command += ["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    subprocess.run([OPENSSL, *command], check=True, capture_output=True)
    return certificate, key


@contextlib.contextmanager
def terminate_tls(target, certificate, key):
    """A port that speaks TLS, and hands what it reads to HOST:PORT."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    context.set_alpn_protocols(["h2", "http/1.1"])
    host, port = target.split(":")

    def copy(source, sink):
        with contextlib.suppress(OSError):
            while content := source.recv(1 << 16):
                sink.sendall(content)
        with contextlib.suppress(OSError):
            sink.shutdown(socket.SHUT_RDWR)

    def accept():
        with contextlib.suppress(OSError):
            while True:
                plain, _ = listener.accept()
                with contextlib.suppress(ssl.SSLError):
                    front = context.wrap_socket(plain, server_side=True)
                    back = socket.create_connection((host, int(port)))
                    for pair in ((front, back), (back, front)):
                        threading.Thread(target=copy, args=pair, daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=accept, daemon=True).start()
        yield f"localhost:{listener.getsockname()[1]}"
