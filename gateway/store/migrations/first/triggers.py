"""What keeps the ledger append-only and queues its new entries, in the words of each engine.

The first schema as it was: never edited; what comes after is another revision.
"""

__all__ = ["POSTGRESQL", "SQLITE"]

SQLITE = (
    """CREATE TRIGGER IF NOT EXISTS feed_entries_no_UPDATE BEFORE UPDATE ON feed_entries
BEGIN SELECT RAISE(ABORT, 'FEED-APPEND-ONLY: feed_entries accepts additions only'); END""",
    """CREATE TRIGGER IF NOT EXISTS feed_entries_no_DELETE BEFORE DELETE ON feed_entries
BEGIN SELECT RAISE(ABORT, 'FEED-APPEND-ONLY: feed_entries accepts additions only'); END""",
    """CREATE TRIGGER IF NOT EXISTS feed_entries_queue AFTER INSERT ON feed_entries
BEGIN INSERT INTO feed_pending (tenant, entry) VALUES (NEW.tenant, NEW.id); END""",
    """CREATE TRIGGER IF NOT EXISTS feed_links_no_UPDATE BEFORE UPDATE ON feed_links
BEGIN SELECT RAISE(ABORT, 'FEED-APPEND-ONLY: feed_links accepts additions only'); END""",
    """CREATE TRIGGER IF NOT EXISTS feed_links_no_DELETE BEFORE DELETE ON feed_links
BEGIN SELECT RAISE(ABORT, 'FEED-APPEND-ONLY: feed_links accepts additions only'); END""",
    """CREATE TRIGGER IF NOT EXISTS feed_heads_no_UPDATE BEFORE UPDATE ON feed_heads
BEGIN SELECT RAISE(ABORT, 'FEED-APPEND-ONLY: feed_heads accepts additions only'); END""",
    """CREATE TRIGGER IF NOT EXISTS feed_heads_no_DELETE BEFORE DELETE ON feed_heads
BEGIN SELECT RAISE(ABORT, 'FEED-APPEND-ONLY: feed_heads accepts additions only'); END""",
)

POSTGRESQL = (
    """CREATE OR REPLACE FUNCTION feed_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN RAISE EXCEPTION 'FEED-APPEND-ONLY: % accepts additions only', TG_TABLE_NAME; END $$""",
    """CREATE OR REPLACE TRIGGER feed_entries_append_only BEFORE UPDATE OR DELETE ON feed_entries
FOR EACH ROW EXECUTE FUNCTION feed_append_only()""",
    """CREATE OR REPLACE TRIGGER feed_entries_no_truncate BEFORE TRUNCATE ON feed_entries
FOR EACH STATEMENT EXECUTE FUNCTION feed_append_only()""",
    """CREATE OR REPLACE FUNCTION feed_queue() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN INSERT INTO feed_pending (tenant, entry) SELECT tenant, id FROM added; RETURN NULL; END $$""",
    """CREATE OR REPLACE TRIGGER feed_entries_queue AFTER INSERT ON feed_entries
REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION feed_queue()""",
    """CREATE OR REPLACE TRIGGER feed_links_append_only BEFORE UPDATE OR DELETE ON feed_links
FOR EACH ROW EXECUTE FUNCTION feed_append_only()""",
    """CREATE OR REPLACE TRIGGER feed_links_no_truncate BEFORE TRUNCATE ON feed_links
FOR EACH STATEMENT EXECUTE FUNCTION feed_append_only()""",
    """CREATE OR REPLACE TRIGGER feed_heads_append_only BEFORE UPDATE OR DELETE ON feed_heads
FOR EACH ROW EXECUTE FUNCTION feed_append_only()""",
    """CREATE OR REPLACE TRIGGER feed_heads_no_truncate BEFORE TRUNCATE ON feed_heads
FOR EACH STATEMENT EXECUTE FUNCTION feed_append_only()""",
)
