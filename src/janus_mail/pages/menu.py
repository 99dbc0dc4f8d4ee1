"""What the menu of every page says of who looks: their workspaces, or how to sign in."""

from collections.abc import Sequence
from dataclasses import dataclass

from janus_mail.gate.set_up import is_set_up
from janus_mail.pages.visit import Visit
from janus_mail.workspaces.places import list_places
from janus_mail.workspaces.schemas import Place


@dataclass(frozen=True, slots=True)
class Menu:
    """`can_sign_in`: nobody is signed in, and somebody has an account."""

    places: Sequence[Place]
    can_sign_in: bool


async def read_menu(visit: Visit) -> Menu:
    database = visit.context.database
    if visit.caller.person is not None:
        return Menu(await list_places(database, visit.caller.person.user_id, visit.caller.workspace_id), False)
    async with database.pool.acquire() as connection:
        return Menu([], await is_set_up(connection))
