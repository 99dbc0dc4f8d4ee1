"""What no look at the end can show: triggers that note each forbidden change at the moment it is made.

They only take notes. A trigger that refused would change what is tested.
"""

import asyncpg

_AUDIT = """
CREATE TABLE audit_notes (message_id uuid NOT NULL, what text NOT NULL);

CREATE TABLE audit_moves (from_state text, to_state text, PRIMARY KEY (from_state, to_state));
INSERT INTO audit_moves VALUES
    ('scheduled', 'leased'), ('scheduled', 'expired'), ('scheduled', 'canceled'), ('scheduled', 'suppressed'),
    ('scheduled', 'parked'), ('scheduled', 'sent'),
    ('leased', 'scheduled'), ('leased', 'sending'), ('leased', 'canceled'), ('leased', 'expired'),
    ('leased', 'suppressed'), ('leased', 'failed'), ('leased', 'parked'), ('leased', 'sent'),
    ('sending', 'sent'), ('sending', 'leased'), ('sending', 'scheduled'), ('sending', 'failed'),
    ('sending', 'uncertain'), ('sending', 'parked'),
    ('uncertain', 'sent'), ('uncertain', 'scheduled'), ('uncertain', 'parked'),
    ('parked', 'sent'), ('parked', 'scheduled'), ('parked', 'failed'), ('failed', 'scheduled');

CREATE FUNCTION audit_message() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.fence < OLD.fence THEN
        INSERT INTO audit_notes VALUES (OLD.id, format('its fence fell from %s to %s', OLD.fence, NEW.fence));
    END IF;
    IF NEW.state <> OLD.state
       AND NOT EXISTS (SELECT FROM audit_moves WHERE from_state = OLD.state AND to_state = NEW.state) THEN
        INSERT INTO audit_notes VALUES (OLD.id, format('it went from %s to %s', OLD.state, NEW.state));
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER audit AFTER UPDATE ON messages FOR EACH ROW EXECUTE FUNCTION audit_message();

CREATE FUNCTION audit_attempt() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        IF EXISTS (SELECT FROM messages WHERE id = OLD.message_id) THEN
            INSERT INTO audit_notes VALUES (OLD.message_id, format('its attempt %s was deleted', OLD.number));
        END IF;
    ELSIF OLD.finished_at IS NOT NULL
          AND (to_jsonb(OLD) - 'evidence' - 'evidence_at') <> (to_jsonb(NEW) - 'evidence' - 'evidence_at') THEN
        INSERT INTO audit_notes VALUES (OLD.message_id, format('its closed attempt %s was rewritten', OLD.number));
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER audit AFTER UPDATE OR DELETE ON attempts FOR EACH ROW EXECUTE FUNCTION audit_attempt();
"""

NOTES = """
    SELECT n.message_id, m.recipient, n.what FROM audit_notes n JOIN messages m ON m.id = n.message_id
    WHERE m.workspace_id = ANY($1::uuid[]) ORDER BY n.message_id
"""


async def install_audit(dsn: str) -> None:
    """In a migrated database, once."""
    connection = await asyncpg.connect(dsn)
    await connection.execute(_AUDIT)
    await connection.close()
