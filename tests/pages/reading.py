"""Reading a page as a person with a keyboard or a screen reader does, and finding what would stand in their way."""

from dataclasses import dataclass, field
from html.parser import HTMLParser

_VOID = frozenset({"br", "circle", "hr", "img", "input", "link", "meta", "path", "rect", "use"})
_CONTROLS = frozenset({"input", "select", "textarea"})


@dataclass(slots=True)
class Element:
    """One element with its attributes, its own text and its children."""

    tag: str
    attributes: dict[str, str]
    parent: "Element | None" = None
    children: list["Element"] = field(default_factory=list)
    pieces: list["str | Element"] = field(default_factory=list)

    @property
    def text(self) -> str:
        """All of its text, with single blanks."""
        return " ".join("".join(p if isinstance(p, str) else f" {p.text} " for p in self.pieces).split())

    def all(self, tag: str = "", **attributes: str) -> list["Element"]:
        """Every element below with this tag and these attributes; `class_` is one of several."""
        found = []
        for child in self.children:
            if (not tag or child.tag == tag) and all(child._has(*wanted) for wanted in attributes.items()):
                found.append(child)
            found += child.all(tag, **attributes)
        return found

    def one(self, tag: str = "", **attributes: str) -> "Element":
        found = self.all(tag, **attributes)
        assert len(found) == 1, f"{len(found)} of {tag} {attributes}"
        return found[0]

    def __getitem__(self, name: str) -> str:
        return self.attributes[name]

    def _has(self, name: str, value: str) -> bool:
        if name == "class_":
            return value in self.attributes.get("class", "").split()
        return self.attributes.get(name.replace("_", "-")) == value

    def values(self) -> dict[str, str]:
        """What this form would send as it stands, without a button."""
        sent = {}
        for control in (e for tag in _CONTROLS for e in self.all(tag)):
            if "name" not in control.attributes:
                continue
            if control.tag == "select":
                options = control.all("option")
                chosen = next((o for o in options if "selected" in o.attributes), options[0])
                sent[control["name"]] = chosen.attributes.get("value", chosen.text)
            elif control.attributes.get("type") in ("radio", "checkbox"):
                if "checked" in control.attributes:
                    sent[control["name"]] = control.attributes.get("value", "on")
            else:
                raw = "".join(p for p in control.pieces if isinstance(p, str)) if control.tag == "textarea" else ""
                sent[control["name"]] = control.attributes.get("value", raw.removeprefix("\n"))
        return sent


class Page(HTMLParser):
    """A page as a tree; `faults` are what a browser forgives and a person pays for."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.html = html
        self.faults: list[str] = []
        self.root = self._here = Element("", {})
        self.feed(html)
        if self._here is not self.root:
            self.faults.append(f"<{self._here.tag}> is not closed")

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        element = Element(tag, {name: value or "" for name, value in attrs}, self._here)
        self._here.children.append(element)
        self._here.pieces.append(element)
        if tag not in _VOID:
            self._here = element

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in _VOID:
            self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        if self._here.tag != tag:
            self.faults.append(f"</{tag}> closes <{self._here.tag}>")
        if self._here.parent is not None:
            self._here = self._here.parent

    def handle_data(self, data: str) -> None:
        self._here.pieces.append(data)

    @property
    def main(self) -> Element:
        return self.root.one("main")

    def form(self, action: str) -> Element:
        return self.root.one("form", action=action)


def faults_of(page: Page) -> list[str]:
    """What the design's rules forbid, or a screen reader stumbles over."""
    elements = page.root.all()
    ids = [element["id"] for element in elements if "id" in element.attributes]
    faults = [*page.faults, *(f"id {name} is there twice" for name in {i for i in ids if ids.count(i) > 1})]
    if len(page.root.all("h1")) != 1:
        faults.append("there is not one h1")
    labels = {label["for"] for label in page.root.all("label") if "for" in label.attributes}
    for element in elements:
        faults += [f"{name} on <{element.tag}>" for name in element.attributes if name == "style" or name[:2] == "on"]
        if element.tag in ("style", "script") and element.text:
            faults.append(f"inline {element.tag}")
        for name in ("aria-describedby", "aria-labelledby", "aria-controls", "for"):
            faults += [f"{name} of nothing: {i}" for i in element.attributes.get(name, "").split() if i not in ids]
        labelled = element.attributes.get("id") in labels or _within(element, "label")
        if element.tag in _CONTROLS and element.attributes.get("type") != "hidden" and not labelled:
            faults.append(f"{element.attributes} has no label")
        if element.tag in ("a", "button", "summary") and not element.text:
            faults.append(f"<{element.tag}> says nothing")
        if element.tag == "iframe" and (element.attributes.get("sandbox") != "" or "title" not in element.attributes):
            faults.append("a frame without a sandbox or a title")
        posts = element.tag == "form" and element.attributes.get("method") == "post"
        if posts and "csrf_token" not in element.values():
            faults.append(f"{element.attributes.get('action')} has no token")
        if element.tag == "time" and not {"datetime", "title"} <= element.attributes.keys():
            faults.append(f"time {element.text} without its instant")
    used = {use["href"].removeprefix("#") for use in page.root.all("use")}
    faults += [f"there is no icon {name}" for name in used - set(ids)]
    return faults


def _within(element: Element, tag: str) -> bool:
    parent = element.parent
    while parent is not None and parent.tag != tag:
        parent = parent.parent
    return parent is not None
