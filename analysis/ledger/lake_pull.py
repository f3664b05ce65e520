"""The calls of some days, or all, out of a lake into a DuckDB file, with their costs and all that belongs to them."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Final

from analysis import time_zone
from analysis.ledger.costs_view import CREATE_COSTS
from ingest.errors import InputError
from ingest.store.database import connect
from ingest.store.lake import LakeStore
from ingest.store.schema import TABLES

# of the tables that belong to calls or to what calls share: which rows belong to the calls that are taken
_OF_CALLS: Final = ("ledger", "call_aliases", "scores", "import_issues", "inferred_cache_reads")
_KEYS = "key_canonical, key_masked, key_litellm, key_helicone, key_portkey"
_OF_CONTENTS: Final = ("contents", "content_tokens")


def pull(store: LakeStore, path: Path, since: date | None = None, until: date | None = None) -> int:
    """Write a file that holds the calls of these days under the numbers they have in the lake; how many.

    Raises InputError where there is something at `path`, or no call on these days.
    """
    if path.exists():
        raise InputError("there is a file already", where=str(path), remedy="Name another: -o FILE.duckdb")
    part = path.with_name(f"{path.name}.new")
    part.unlink(missing_ok=True)
    day = f"({time_zone.local_sql()})::DATE"
    keep = f"($since IS NULL OR {day} >= $since) AND ($until IS NULL OR {day} <= $until)"
    try:
        with store.read() as con:
            con.execute(
                f"CREATE TEMP TABLE taken AS SELECT call_no FROM calls WHERE {keep}", {"since": since, "until": until}
            )
            calls = int(con.execute("SELECT count(*) FROM taken").fetchall()[0][0])
            if not calls:
                raise InputError("no call is of these days", where=store.address)
            taken = "call_no IN (SELECT call_no FROM taken)"
            con.execute(
                f"""CREATE TEMP TABLE used AS
                    SELECT DISTINCT unnest(list_concat(message_ids, [tools_id, output_id])) AS content_id
                      FROM calls WHERE {taken}"""
            )
            con.execute(
                f"CREATE TEMP TABLE asked AS SELECT DISTINCT unnest([{_KEYS}]) AS key_id FROM calls WHERE {taken}"
            )
            wheres = {"calls": f"WHERE {taken} ORDER BY call_no", "request_keys": "SEMI JOIN asked USING (key_id)"}
            wheres |= dict.fromkeys(_OF_CALLS, f"WHERE {taken} ORDER BY call_no")
            wheres |= dict.fromkeys(_OF_CONTENTS, "SEMI JOIN used USING (content_id) ORDER BY content_id")
            names = con.execute(
                """SELECT table_name FROM duckdb_tables() WHERE database_name = 'side' UNION
                   SELECT unnest(['calls', 'contents', 'request_keys', 'ledger'])"""
            ).fetchall()
            quoted = str(part).replace("'", "''")
            con.execute(f"ATTACH '{quoted}' AS pulled")
            for (name,) in sorted(names):
                rows = f'SELECT * FROM "{name}" {wheres.get(name, "")}'
                if name in TABLES:
                    con.execute(f"CREATE TABLE pulled.main.{name} ({TABLES[name]})")
                    con.execute(f"INSERT INTO pulled.main.{name} BY NAME {rows}")
                else:
                    con.execute(f'CREATE TABLE pulled.main."{name}" AS {rows}')
            con.execute("DETACH pulled")
        with connect(part) as con:
            con.execute(CREATE_COSTS)
        part.chmod(0o600)  # prompts are their owner's
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    return calls
