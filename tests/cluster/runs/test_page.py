"""A page of HTML: what is text stays text."""

from cluster.runs.page import Markup, page, table


def test_cells_are_text_unless_they_are_markup() -> None:
    drawn = Markup('<svg class="a"/>')
    made = table(("a & b", ""), [("<svg onload=x>", drawn), ("{1}", "<b>")])
    assert made == (
        "<table><thead><tr><th>a &amp; b</th><th></th></tr></thead><tbody>"
        '<tr><td>&lt;svg onload=x&gt;</td><td><svg class="a"/></td></tr>'
        "<tr><td>{1}</td><td>&lt;b&gt;</td></tr></tbody></table>"
    )


def test_a_head_without_text_is_left_out() -> None:
    assert table(("", ""), [("a", "b")]) == "<table><tbody><tr><td>a</td><td>b</td></tr></tbody></table>"


def test_a_page_has_its_own_style_and_body_and_its_titles_are_text() -> None:
    made = page("<run>", "a & b {c}", "<p>{body}</p>", style=".own { color: red; }")
    assert made.startswith("<!doctype html>\n")
    assert made.count("&lt;run&gt;") == 2
    assert '<p class="sub">a &amp; b {c}</p>\n<p>{body}</p>\n</body>' in made
    assert ".own { color: red; }\n</style>" in made
    assert "{{" not in made
