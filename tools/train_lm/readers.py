"""From a file of a source package to plain text worth learning: one reader per file format.

A reader takes the file's text and returns text; what is worth keeping as a document is make_corpus.py's business.
"""
import re
from html.parser import HTMLParser

BLOCK = {"p", "li", "pre", "h1", "h2", "h3", "h4", "h5", "h6", "dt", "dd", "td", "th", "tr", "div", "table", "ul", "ol", "dl", "br"}
SKIP = {"script", "style", "head", "nav", "header", "footer", "aside", "button", "select", "noscript"}
LICENCE_WORDS = re.compile(r"copyright|licen[cs]e|redistribut|warrant", re.I)


class _Text(HTMLParser):
    """Collects visible text; block elements become lines, preformatted text keeps its own."""

    def __init__(self):
        super().__init__(convert_charrefs=True)
        self.lines, self.now, self.skip, self.pre = [], [], 0, 0

    def flush(self):
        text = "".join(self.now)
        self.now = []
        self.lines += text.strip("\n").split("\n") if self.pre else [" ".join(text.split())]

    def handle_starttag(self, tag, attrs):
        if tag in SKIP:
            self.skip += 1
        elif tag in BLOCK:
            self.flush()
            self.pre += tag == "pre"

    def handle_endtag(self, tag):
        if tag in SKIP:
            self.skip = max(0, self.skip - 1)
        elif tag in BLOCK:
            self.flush()
            self.pre = max(0, self.pre - (tag == "pre"))

    def handle_data(self, data):
        if not self.skip:
            self.now.append(data)


def html(text):
    """Visible text of a page, a block a line."""
    p = _Text()
    p.feed(text)
    p.close()
    p.flush()
    return "\n".join(line.rstrip() for line in p.lines if line.strip())


def wml(text):
    """The prose of a Wesnoth scenario: story parts and dialogue in order, each line with its speaker."""
    out, speaker = [], None
    token = re.compile(r'\bspeaker\s*=\s*([^\n#]+)|\b(message|story|note)\s*=\s*_\s*"((?:[^"]|"")*)"|\[/?message\]')
    for m in token.finditer(text):
        if m.group(1):
            speaker = m.group(1).strip().strip('"')
        elif m.group(2):
            said = " ".join(re.sub(r"<[^>]+>", "", m.group(3).replace('""', '"')).split())
            named = m.group(2) == "message" and speaker and re.fullmatch(r"[A-Z][\w' -]+", speaker)
            out.append(f"{speaker}: {said}" if named else said)
        else:
            speaker = None
    return "\n\n".join(out)


def lua(text):
    """The spoken lines of a FreedroidRPG dialogue; the player's own carry his name."""
    out = []
    for m in re.finditer(r'(\w+):says\w*\(\s*_"((?:[^"\\]|\\.)*)"', text):
        said = " ".join(m.group(2).replace("\\n", " ").replace('\\"', '"').split())
        out.append(f"Tux: {said}" if m.group(1) == "Tux" else said)
    return "\n\n".join(out)


def pod(text):
    """Perl documentation with its formatting codes taken off and the commands turned into headings."""
    text = re.sub(r"(?ms)^=(?:begin|for)\b.*?(?:^=end\b[^\n]*|\n\n)", "", text)
    text = re.sub(r"(?m)^=head\d\s+", "", text)
    text = re.sub(r"(?m)^=item\s+", "* ", text)
    text = re.sub(r"(?m)^=\w+.*$", "", text)
    for _ in range(3):
        text = re.sub(r"[BCFIS]<([^<>]*)>", r"\1", text)
        text = re.sub(r"[BCFI]<<+ (.*?) >>+", r"\1", text)
    text = re.sub(r"L<(?:([^<>|]*)\|)?([^<>]*)>", lambda m: m.group(1) or m.group(2), text)
    text = re.sub(r"[XZ]<[^<>]*>", "", text)
    text = text.replace("E<gt>", ">").replace("E<lt>", "<")
    return re.sub(r"\n{3,}", "\n\n", text)


def c(text):
    """C without its licence comment: comments of the first lines that speak of copyright are left out."""
    while m := re.match(r"\s*(/\*.*?\*/|(?://[^\n]*\n)+)", text, re.S):
        if not LICENCE_WORDS.search(m.group(1)) and "*****" not in m.group(1):
            break
        text = text[m.end():]
    return text.expandtabs(4)


def python(text):
    """Python without its licence comment."""
    m = re.match(r"(?:#![^\n]*\n)?\s*((?:#[^\n]*\n)+)", text)
    if m and LICENCE_WORDS.search(m.group(1)):
        text = text[m.end():]
    return text


READERS = {"html": html, "wml": wml, "lua": lua, "pod": pod, "c": c, "python": python}
