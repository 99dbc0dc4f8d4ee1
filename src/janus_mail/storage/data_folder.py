"""The data folder of a first try (`JANUS_DATA_DIR`): its secret key, its API key, its PostgreSQL and Redis."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from cryptography.fernet import Fernet
from pydantic import SecretStr

from janus_mail.settings import Settings, SettingsError
from janus_mail.storage.embedded import EmbeddedPostgres, EmbeddedRedis
from janus_mail.storage.folder_lock import published, write_private

DATABASE = "janus"


class DataFolder:
    """Every file in it is this user's alone."""

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self.api_key_file = self.path / "api_key"
        self._secret_key_file = self.path / "secret_key"

    def postgres(self, progress: Callable[[str], None] | None = None) -> EmbeddedPostgres:
        return EmbeddedPostgres(self.path / "postgres", progress=progress)

    def redis(self) -> EmbeddedRedis:
        return EmbeddedRedis(self.path / "redis")

    @property
    def has_secret_key(self) -> bool:
        return self._secret_key_file.exists()

    def secret_keys(self, settings: Settings) -> tuple[str, ...]:
        """The keys of the settings, then the folder's own: what it encrypted stays readable when others are set."""
        keys = [key.get_secret_value() for key in settings.secret_keys]
        if not keys and not self.has_secret_key:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_private(self._secret_key_file, Fernet.generate_key().decode())
        if self.has_secret_key:
            keys.append(self._secret_key_file.read_text().strip())
        return tuple(dict.fromkeys(keys))

    def api_key(self) -> str | None:
        """The key that the first start printed."""
        return self.api_key_file.read_text().strip() if self.api_key_file.exists() else None

    def keep_api_key(self, key: str) -> None:
        write_private(self.api_key_file, key)


def named_or_running(settings: Settings) -> Settings | None:
    """Settings with a database: the one they name, else that of a running `janus dev` with this data folder."""
    try:
        settings.database_dsn  # noqa: B018
    except SettingsError:
        running = published(settings.data_dir)
        if running is None:
            return None
        redis_url = settings.redis_url or SecretStr(running["redis_url"])
        return settings.model_copy(update={"database_url": SecretStr(running["database_url"]), "redis_url": redis_url})
    return settings


@contextmanager
def database_in_reach(settings: Settings, progress: Callable[[str], None] | None = None) -> Iterator[Settings]:
    """`named_or_running`, else, in development, the folder's own database, which then runs as long as the block.

    Raises `SettingsError` and `EmbeddedServerError`.
    """
    if found := named_or_running(settings):
        yield found
    elif settings.env == "development":
        with DataFolder(settings.data_dir).postgres(progress) as server:
            yield settings.model_copy(update={"database_url": SecretStr(server.url(DATABASE))})
    else:
        raise SettingsError(
            f"DATABASE_URL is missing, and no `make run` is using {settings.data_dir} (JANUS_DATA_DIR) either"
        )
