"""What the sample's corpus is made of: Debian packages, the files taken from each, and their licences.

One row per (domain, package). `fetch_data.py` downloads what is named here, `make_corpus.py` reads it, and the
attribution file `samples/SOURCES.md` is printed from it, so the three cannot disagree.
"""
from dataclasses import dataclass


@dataclass(frozen=True)
class Source:
    """Files of one Debian package that feed one domain."""

    domain: str
    package: str            # name of a binary package, or of a source package if `upstream`
    upstream: bool          # True: the unpacked upstream source archive; False: the binary package's files
    globs: tuple[str, ...]  # relative to the unpacked folder
    reader: str             # key of readers.READERS
    licence: str
    about: str


def _binary(domain, package, globs, reader, licence, about):
    return Source(domain, package, False, tuple(globs), reader, licence, about)


def _upstream(domain, package, globs, reader, licence, about):
    return Source(domain, package, True, tuple(globs), reader, licence, about)


HANDBOOK = "CC-BY-SA-3.0 or GPL-2+"
WESNOTH_CAMPAIGNS = "did dm dw ei httt l low nr sof sota sotbe thot trow tsg ttb utbs".split()

SOURCES: tuple[Source, ...] = (
    _upstream("python", "python3.11", ["Python-*/Lib/**/*.py"], "python", "PSF-2.0", "standard library of CPython, without its tests"),
    _upstream("python", "python-django", ["Django-*/django/**/*.py"], "python", "BSD-3-Clause", "web framework"),
    _upstream("c", "python3.11", ["Python-*/Objects/*.c", "Python-*/Modules/**/*.c", "Python-*/Python/*.c", "Python-*/Parser/*.c",
                                  "Python-*/Include/**/*.h"], "c", "PSF-2.0", "interpreter of CPython"),
    _upstream("c", "lua5.4", ["lua-*/src/*.[ch]"], "c", "MIT", "Lua interpreter"),
    _upstream("c", "libuv1", ["libuv-*/src/**/*.[ch]"], "c", "MIT", "event loop library"),
    _upstream("c", "nginx", ["nginx-*/src/**/*.[ch]"], "c", "BSD-2-Clause", "web server"),
    _upstream("c", "curl", ["curl-*/lib/**/*.[ch]", "curl-*/src/*.[ch]", "curl-*/docs/examples/*.c"], "c", "curl (MIT-like)",
              "URL transfer library"),
    _upstream("c", "libarchive", ["libarchive-*/libarchive/*.[ch]", "libarchive-*/tar/*.[ch]", "libarchive-*/cpio/*.[ch]"], "c",
              "BSD-2-Clause", "archive library"),
    _upstream("c", "zlib", ["zlib-*/*.[ch]"], "c", "Zlib", "compression library"),
    _binary("manual", "debian-handbook", ["usr/share/doc/debian-handbook/html/en-US/*.html"], "html", HANDBOOK, "Debian Administrator's Handbook"),
    _binary("manual", "debian-reference-en", ["usr/share/debian-reference/*.en.html"], "html", "GPL-2+", "Debian Reference"),
    _binary("manual", "developers-reference", ["usr/share/developers-reference/*.html"], "html", "GPL-2+", "Debian Developer's Reference"),
    _binary("manual", "installation-guide-amd64", ["usr/share/doc/installation-guide-amd64/en/*.html"], "html", "GPL-2",
            "Debian installation guide"),
    _binary("manual", "debian-policy", ["usr/share/doc/debian-policy/policy.html/*.html"], "html", "GPL-2+", "Debian policy"),
    _binary("manual", "aptitude-doc-en", ["usr/share/doc/aptitude/html/en/*.html"], "html", "GPL-2+", "aptitude user's manual"),
    _binary("manual", "git-doc", ["usr/share/doc/git/html/**/*.html"], "html", "GPL-2", "Git documentation"),
    _binary("manual", "perl-doc", ["usr/share/perl/*/pod/perl[a-z]*.pod"], "pod", "GPL-1+ or Artistic", "Perl documentation"),
    *(_binary("story", f"wesnoth-1.16-{c}", ["usr/share/games/wesnoth/1.16/data/campaigns/**/*.cfg"], "wml", "GPL-2+",
              "dialogue and story of a campaign of The Battle for Wesnoth") for c in WESNOTH_CAMPAIGNS),
    _binary("story", "freedroidrpg-data", ["usr/share/freedroidrpg/data/**/dialogs/*.lua"], "lua", "GPL-2+", "dialogue of FreedroidRPG"),
    _binary("german", "debian-handbook", ["usr/share/doc/debian-handbook/html/de-DE/*.html"], "html", HANDBOOK,
            "Debian Administrator's Handbook, German"),
    _binary("german", "debian-reference-de", ["usr/share/debian-reference/*.de.html"], "html", "GPL-2+", "Debian Reference, German"),
    _binary("german", "developers-reference-de", ["usr/share/developers-reference/de/*.html"], "html", "GPL-2+",
            "Debian Developer's Reference, German"),
    _binary("german", "installation-guide-amd64", ["usr/share/doc/installation-guide-amd64/de/*.html"], "html", "GPL-2",
            "Debian installation guide, German"),
    _binary("german", "libreoffice-help-de", ["usr/share/libreoffice/help/de/text/**/*.html"], "html", "MPL-2.0", "LibreOffice help, German"),
    _binary("russian", "debian-handbook", ["usr/share/doc/debian-handbook/html/ru-RU/*.html"], "html", HANDBOOK,
            "Debian Administrator's Handbook, Russian"),
    _binary("russian", "developers-reference-ru", ["usr/share/developers-reference/ru/*.html"], "html", "GPL-2+",
            "Debian Developer's Reference, Russian"),
    _binary("russian", "installation-guide-amd64", ["usr/share/doc/installation-guide-amd64/ru/*.html"], "html", "GPL-2",
            "Debian installation guide, Russian"),
    _binary("russian", "aptitude-doc-ru", ["usr/share/doc/aptitude/html/ru/*.html"], "html", "GPL-2+", "aptitude user's manual, Russian"),
    _binary("russian", "libreoffice-help-ru", ["usr/share/libreoffice/help/ru/text/**/*.html"], "html", "MPL-2.0", "LibreOffice help, Russian"),
)

SYNTHETIC = ("json", "arithmetic")
DOMAINS = ("python", "c", "manual", "story", "german", "russian") + SYNTHETIC
