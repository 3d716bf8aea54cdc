"""Download and unpack the Debian packages that sources.py names.

usage: fetch_data.py RAW [--suite bookworm] [--mirror http://deb.debian.org/debian]

Nothing is installed: RAW/root/<package> holds the files of binary packages, RAW/src/<package> the upstream source
archives, RAW/versions.json the version of each. Needs apt-get and dpkg-deb (any Debian machine or container).
"""
import argparse
import json
import re
import subprocess
import tarfile
from pathlib import Path

from sources import SOURCES

KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
MEDIA = (".png", ".ogg", ".pdf", ".epub", ".jpg", ".webp")


def apt_config(folder, mirror, suite):
    """A private apt configuration: the system's package lists and settings are not touched."""
    for sub in ("lists/partial", "cache/archives/partial"):
        (folder / sub).mkdir(parents=True, exist_ok=True)
    entry = f"[signed-by={KEYRING}] {mirror} {suite} main"
    (folder / "sources.list").write_text(f"deb {entry}\ndeb-src {entry}\n")
    (folder / "apt.conf").write_text(
        f'Dir::Etc::SourceList "{folder}/sources.list";\nDir::Etc::SourceParts "-";\n'
        f'Dir::State::Lists "{folder}/lists";\nDir::Cache "{folder}/cache";\n')
    return {"APT_CONFIG": str(folder / "apt.conf"), "PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/nonexistent"}


def unpack(archive, folder):
    """Unpack a tar archive without its media files and links."""
    with tarfile.open(archive) as tar:
        keep = [m for m in tar if (m.isfile() or m.isdir()) and not m.name.endswith(MEDIA)]
        tar.extractall(folder, members=keep, filter="data")


def fetch(source, raw, env):
    """Download one package into RAW/downloads, unpack it, and return its version."""
    downloads = raw / "downloads" / ("src" if source.upstream else "bin") / source.package
    folder = raw / ("src" if source.upstream else "root") / source.package
    downloads.mkdir(parents=True, exist_ok=True)
    folder.mkdir(parents=True, exist_ok=True)
    command = ["source", "-qq", "--download-only"] if source.upstream else ["download", "-qq"]
    subprocess.run(["apt-get", *command, source.package], cwd=downloads, env=env, check=True)
    if source.upstream:
        for archive in downloads.glob("*.orig.tar.*[!c]"):
            unpack(archive, folder)
        dsc = next(downloads.glob("*.dsc")).read_text()
        return re.search(r"^Version: (\S+)", dsc, re.M).group(1)
    deb = next(downloads.glob("*.deb"))
    data = downloads / "data.tar"
    with open(data, "wb") as out:
        subprocess.run(["dpkg-deb", "--fsys-tarfile", deb], stdout=out, check=True)
    unpack(data, folder)
    data.unlink()
    return subprocess.run(["dpkg-deb", "--field", deb, "Version"], capture_output=True, text=True, check=True).stdout.strip()


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("raw", type=Path)
    ap.add_argument("--suite", default="bookworm")
    ap.add_argument("--mirror", default="http://deb.debian.org/debian")
    args = ap.parse_args()
    raw = args.raw.resolve()
    env = apt_config(raw / "apt", args.mirror, args.suite)
    subprocess.run(["apt-get", "update", "-qq"], env=env, check=True)
    versions = {}
    for source in {(s.package, s.upstream): s for s in SOURCES}.values():
        versions[f"{'src' if source.upstream else 'bin'}:{source.package}"] = fetch(source, raw, env)
        print(source.package, versions[f"{'src' if source.upstream else 'bin'}:{source.package}"], flush=True)
    (raw / "versions.json").write_text(json.dumps(versions, indent=1) + "\n")


if __name__ == "__main__":
    main()
