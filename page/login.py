"""The page that asks for the token."""

from clickstream.page.frame import alert
from clickstream.page.markup import Html, tag


def login_page(*, wrong: bool = False) -> str:
    """A form for the token that was printed when the page was started."""
    field = tag("input", type="password", name="token", required="", autocomplete="current-password", autofocus="")
    form = tag(
        "form",
        tag("label", tag("span", "Token"), field, class_="field"),
        tag("button", "Open", type="submit", class_="main"),
        method="post",
        class_="row",
    )
    said = alert("That is not the token.") if wrong else Html()
    text = tag("p", "The token was printed where the page was started, or is what --page_token names.", class_="muted")
    head = '<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1"><title>Clickstream</title>'
    styles = "".join(f'<link rel="stylesheet" href="/static/{name}.css">' for name in ("style", "page"))
    icon = '<link rel="icon" href="/static/icon.svg" type="image/svg+xml">'
    body = tag("main", tag("section", tag("h1", "Clickstream"), said, form, text), class_="login")
    return f'<!doctype html>\n<html lang="en"><head>{head}{icon}{styles}</head>\n<body>{body}</body>\n</html>\n'
