"""The store as an object: where the calls are, and frames of them."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING, Any

from cli.python_api.arguments import Day, Where, as_where, as_window
from ingest.store import database
from ingest.store.address import as_text, is_lake

if TYPE_CHECKING:
    import polars as pl


class Store(database.Store):
    """A store of calls: one DuckDB file, or a lake (a folder written with a slash at its end, `s3://`, `gs://`, `az://`).

    It keeps no connection: each question opens the file read-only and closes it, so that an ingest may run beside.
    Only `hindcast.ingest` and `hindcast.ledger` add to it, and a replay that needs them keeps token counts of texts.
    The store need not exist before it is ingested into.

    Parameters: `path`, the file or the address of a lake, by default `hindcast.duckdb`.

    Example:
        with hindcast.Store("calls.duckdb") as store, store.read() as con:
            con.sql("SELECT count(*) FROM calls")
    """

    def __new__(cls, path: Any = database.DEFAULT_PATH) -> Store:
        """A handle on a file or, of the address of a lake, on that lake."""
        if cls is Store and is_lake(path):
            from ingest.store.lake import LakeStore

            return object.__new__(type("Store", (Store, LakeStore), {"__doc__": cls.__doc__}))
        return object.__new__(cls)

    def __init__(self, path: Any = database.DEFAULT_PATH) -> None:
        super().__init__(as_text(path) if is_lake(path) else path)

    def __enter__(self) -> Store:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing is open between two questions."""

    def __repr__(self) -> str:
        return f"Store({self.address!r})"

    def calls(self, *, where: Where = None, since: Day = None, until: Day = None) -> pl.DataFrame:
        """Every call as it was logged, in the order of `call_no`.

        Parameters: `where` keeps the calls whose dimensions have these values (`{"agent": "drafting_agent"}`; None:
        without a value), `since` and `until` the first and the last day.

        Columns: those of the table `calls` but for the identity `call_key`, and `source`, the path of the log. The
        main ones: `call_no` Int64, joins `ledger()`; `start_time`, `end_time` Datetime, UTC; `duration_ms` Float64;
        `provider_name`, `model`, `agent`, `task`, `conversation_id`, `user_id`, `team`, `status` String;
        `input_tokens` Int64, with `cache_read_input_tokens` and `cache_creation_input_tokens` among them;
        `output_tokens` Int64, with `reasoning_output_tokens` among them; `logged_cost_usd` Decimal(38, 12), dollars
        as the log states them; `weight` Decimal(18, 6), the calls that a row stands for. Null is not known.

        Raises: StoreError where there is no store; InputError for an unknown dimension or where nothing is priced
        yet.

        Example: store.calls(where={"agent": "drafting_agent"}, since="2024-03-05")
        """
        from ingest.store.schema import CALL_COLUMNS

        names = ", ".join(f'costs."{name}"' for name in CALL_COLUMNS if name != "call_key")
        joined = "LEFT JOIN sources USING (source_id)"
        return self._frame(f"{names}, sources.path AS source", joined, where, since, until)

    def ledger(self, *, where: Where = None, since: Day = None, until: Day = None) -> pl.DataFrame:
        """What every call costs, in the order of `call_no`.

        Parameters: as of `calls`.

        Columns: `call_no` Int64; `price_id` Int32, the row of the table `prices`; `cost_status` String (priced,
        priced_fallback, priced_estimated, unknown_model, unknown_tier, unknown_kind, no_usage, ambiguous_usage,
        partial_usage, too_large); dollars as Decimal(38, 12): `uncached_input_usd`, `cache_read_usd`,
        `cache_write_usd`, `output_usd`, `reasoning_usd`, `other_usd`, and their sum `cost_usd`. Null where there is no
        price.

        Raises: as `calls`.

        Example: store.ledger().join(store.calls(), on="call_no")
        """
        from analysis.ledger.costs_view import COMPONENTS

        names = ", ".join(("call_no", "price_id", "cost_status", *(f"{name}_usd" for name in COMPONENTS), "cost_usd"))
        return self._frame(names, "", where, since, until)

    def _frame(self, names: str, joined: str, where: Where, since: Day, until: Day) -> pl.DataFrame:
        import duckdb
        import polars as pl

        from analysis.reports.call_labels import labelled
        from analysis.reports.cost import condition
        from cli.python_api.frames import USD
        from ingest.errors import InputError

        chosen = as_where(where)
        keep, values = condition(chosen, *as_window(since, until))
        with self.read() as con:
            try:
                source = labelled(con, self, "costs", chosen.dimensions)
                found = con.sql(
                    f"""SELECT {names} FROM (SELECT * FROM {source} WHERE {keep}) AS costs {joined}
                        ORDER BY call_no""",  # noqa: S608  names of this program only
                    params=values,
                ).to_arrow_table()
            except duckdb.CatalogException as error:
                raise InputError(
                    "the calls have no cost yet", where=self.address, remedy="Run: hindcast.ledger(store)"
                ) from error
        frame = pl.DataFrame(found)
        return frame.with_columns(pl.col(name).cast(USD) for name in frame.columns if name.endswith("_usd"))
