"""Another address for a provider's hook, made on its page."""

from tests.pages.conftest import Visitor
from tests.pages.gallery import Gallery
from tests.pages.reading import faults_of


async def test_a_new_address_is_made_after_a_question_that_says_who_must_be_told(
    visitor: Visitor, empty_gallery: Gallery
) -> None:
    await empty_gallery.provider("Grid", "sendgrid")
    path = f"/providers/{empty_gallery.providers['Grid']}"
    page = await visitor.get(f"{path}/edit")
    before = page.main.one("pre", id="hook").text
    question = next(d for d in page.main.all("details", class_="confirm") if "address" in d.one("summary").text)
    assert question.one("summary").text == "Make a new address"
    assert "SendGrid must be told the new one" in question.text
    assert faults_of(page) == []

    page = await visitor.send(page, f"{path}/hook-token")

    assert visitor.address.endswith("/edit")
    assert "The address is a new one: give it to the service." in page.main.text
    after = page.main.one("pre", id="hook").text
    assert after != before
    token = await empty_gallery.database.pool.fetchval("SELECT hook_token FROM providers WHERE name = 'Grid'")
    assert after == f"http://testserver/hooks/{empty_gallery.providers['Grid']}/{token}"


async def test_a_setting_that_names_the_address_is_spoken_of(visitor: Visitor, empty_gallery: Gallery) -> None:
    there = {"api_key": "md-0123456789abcdef", "webhook_url": "https://janus.example.com/hooks/1/2"}
    for name, config in (("One", there), ("Two", {"api_key": there["api_key"]})):
        await empty_gallery.provider(name, "mandrill", config=config)
        page = await visitor.get(f"/providers/{empty_gallery.providers[name]}/edit")
        assert ("names the old one too" in page.main.text) is (name == "One")


async def test_of_smtp_it_is_the_mailbox_that_must_be_told(visitor: Visitor, empty_gallery: Gallery) -> None:
    await empty_gallery.provider("Relay", "smtp", sandbox=False, config={"host": "127.0.0.1"})
    page = await visitor.get(f"/providers/{empty_gallery.providers['Relay']}/edit")
    assert "whatever passes bounces on must be told the new one" in page.main.text


async def test_a_form_of_another_page_makes_none(visitor: Visitor, empty_gallery: Gallery) -> None:
    await empty_gallery.provider("Grid", "sendgrid")
    path, pool = f"/providers/{empty_gallery.providers['Grid']}/hook-token", empty_gallery.database.pool
    before = await pool.fetchval("SELECT hook_token FROM providers WHERE name = 'Grid'")
    answer = await visitor.client.post(path, data={"csrf_token": "forged"})
    assert answer.status_code == 403
    assert await pool.fetchval("SELECT hook_token FROM providers WHERE name = 'Grid'") == before
