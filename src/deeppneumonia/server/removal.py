"""The one way out: a study's row, its readers' words and its folders go together, or not at all."""

from sqlalchemy import select, text

from deeppneumonia.server.schema import JOBS
from deeppneumonia.server.services import Services


def remove(services: Services, id: str, *, finished_for_s: float | None = None) -> bool:
    """Delete a study and everything that was made from it.

    Args:
        finished_for_s: only if it has been finished for longer than this, and is still: images
            that have come meanwhile are kept, and their study with them.

    Returns:
        Whether it was deleted.
    """
    with services.storage.removing(id) as move_away:
        return services.jobs.delete(id, finished_for_s=finished_for_s, then=move_away)


def remove_unknown(services: Services, id: str) -> None:
    """Delete the folders of a study that has no row, as a kill leaves them."""
    database = services.database
    with services.storage.removing(id) as move_away, database.write() as connection:
        if not database.is_sqlite:  # which has one writer at a time anyway
            connection.execute(text("LOCK TABLE jobs IN SHARE ROW EXCLUSIVE MODE"))
        if connection.execute(select(JOBS.c.id).where(JOBS.c.id == id)).first() is None:
            move_away()
