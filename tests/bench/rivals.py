"""The programs that Caisson is measured beside, each on a port of its own in a directory of its own:
Debian's docker-registry and nginx; and nodes of Caisson as they are needed for it."""
import contextlib
import os
import shutil
import socket
import subprocess

import caisson


class Missing(Exception):
    """A rival that is not installed."""


def need(program, package):
    """Its path, or Missing."""
    path = shutil.which(program) or shutil.which(program, path="/usr/sbin:/sbin")
    if path is None:
        raise Missing(f"{program} (Debian's {package}) is not installed")
    return path


def _answers(port):
    socket.create_connection(("127.0.0.1", port), 1).close()
    return True


@contextlib.contextmanager
def running(command, port, **options):
    with subprocess.Popen([str(part) for part in command], stdout=subprocess.DEVNULL,
                          stderr=subprocess.DEVNULL, **options) as process:
        try:
            caisson.wait_until(lambda: _answers(port), 20, f"{command[0]} answers")
            yield process
        finally:
            process.terminate()
            process.wait(30)


def free_port():
    return caisson.free_base_port(1) + 1


def certificate(directory):
    """(certificate, key) of localhost, signed by itself."""
    pair = directory / "tls.crt", directory / "tls.key"
    if not pair[0].exists():
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                        "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj",
                        "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1", "-out",
                        str(pair[0]), "-keyout", str(pair[1])], check=True, capture_output=True)
    return pair


@contextlib.contextmanager
def registry(directory, tls=None):
    """Debian's docker-registry, with its files in the directory; the port."""
    program = need("docker-registry", "docker-registry")
    port = free_port()
    config = directory / f"registry-{port}.yml"
    secure = f"\n  tls:\n    certificate: {tls[0]}\n    key: {tls[1]}" if tls else ""
    config.write_text(
        "version: 0.1\nlog:\n  accesslog:\n    disabled: true\n  level: error\n"
        f"storage:\n  filesystem:\n    rootdirectory: {directory}/registry\n"
        "  cache:\n    blobdescriptor: inmemory\n"
        f"http:\n  addr: 127.0.0.1:{port}{secure}\n")
    with running([program, "serve", config], port):
        yield port


@contextlib.contextmanager
def nginx(directory, tls=None):
    """nginx with sendfile serving directory/www by as many workers as Caisson has; the port."""
    program = need("nginx", "nginx-light")
    port = free_port()
    place = directory / f"nginx-{port}"
    place.mkdir()
    secure = f"ssl_certificate {tls[0]}; ssl_certificate_key {tls[1]};" if tls else ""
    (place / "nginx.conf").write_text(
        f"daemon off; worker_processes {max(1, os.cpu_count() - 1)}; pid {place}/nginx.pid;\n"
        f"error_log {place}/error.log;\nevents {{ worker_connections 1024; }}\n"
        "http { access_log off; sendfile on; tcp_nopush on; keepalive_requests 100000000;\n"
        f"open_file_cache max=100; root {directory}/www; client_body_temp_path {place}/a;\n"
        f"proxy_temp_path {place}/b; fastcgi_temp_path {place}/c; uwsgi_temp_path {place}/d;\n"
        f"scgi_temp_path {place}/e; default_type {caisson.MANIFEST};\n"
        f"server {{ listen 127.0.0.1:{port}{' ssl' if tls else ''}; {secure} }} }}\n")
    place.chmod(0o755)
    directory.chmod(0o755)
    with running([program, "-c", place / "nginx.conf"], port):
        yield port


@contextlib.contextmanager
def cluster(nodes):
    """Anonymous callers may do everything, as at the rivals."""
    made = caisson.Cluster(nodes, is_open=True)
    try:
        yield made
    finally:
        made.close()


@contextlib.contextmanager
def tls_node(directory, tls):
    """One node that speaks TLS; the port."""
    port = caisson.free_base_port(1) + 1
    data = directory / "caisson-tls"
    data.mkdir()
    config = directory / "caisson-tls.yaml"
    config.write_text(f"data_dir: {data}\nlisten: 127.0.0.1:{port}\nopen: true\n"
                      f"tls:\n  certificate: {tls[0]}\n  key: {tls[1]}\n")
    with running([caisson.BINARY, "serve", "--init", "--config", config],
                 port):
        yield port


@contextlib.contextmanager
def plain_node(directory):
    """One node that speaks plain HTTP; the port."""
    del directory
    with cluster(1) as made:
        yield made.base_port + 1
