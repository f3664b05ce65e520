"""The scenario file: what is expected to change, and what could be bought, as a person writes it in YAML."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Annotated, Any, Final

from pydantic import AfterValidator, BeforeValidator, Field, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from analysis.forecast.growth import growth_per_day
from ingest.errors import InputError, StrategyError, nearest_file
from replay.strategy import yaml_source
from replay.strategy.fields import Milliseconds, Name, Part, Selection
from replay.strategy.file_errors import explained

Amount = Annotated[float, Field(gt=0, le=1e12)]
Price = Annotated[float, Field(ge=0, le=1e6)]
FACTORS: Final = ("requests", "calls_per_request", "tokens_per_call")


def _growth(text: str) -> str:
    try:
        growth_per_day(text)
    except InputError as error:
        raise PydanticCustomError("growth", "{why}", {"why": error.what, "hint": error.remedy or ""}) from error
    return text


def _share(value: object) -> object:
    """`-50%` as -0.5."""
    if isinstance(value, str) and value.strip().endswith("%"):
        try:
            return float(value.strip().removesuffix("%")) / 100
        except ValueError as error:
            raise PydanticCustomError("share", "must be a share such as -50%", {}) from error
    return value


Growth = Annotated[str, BeforeValidator(str), AfterValidator(_growth)]


class Growths(Part):
    """Growth of the factors of the bill; they multiply. A factor that is left out does not grow."""

    requests: Growth = "none"
    calls_per_request: Growth = "none"
    tokens_per_call: Growth = "none"

    def per_day(self) -> float:
        """Log units a day of the product."""
        return sum(growth_per_day(getattr(self, factor)) for factor in FACTORS)


class PriceChange(Part):
    """An announced price: of the models that `model` names (globs), from a day on. A share of today's price, or prices
    in dollars per million tokens."""

    model: Name
    since: Annotated[date, Field(alias="from")]
    change: Annotated[float, BeforeValidator(_share), Field(ge=-1, le=100)] | None = None
    input: Price | None = None
    output: Price | None = None
    cache_read: Price | None = None

    @model_validator(mode="after")
    def _one(self) -> PriceChange:
        both = self.input is not None and self.output is not None
        any_price = self.input is not None or self.output is not None or self.cache_read is not None
        if (self.change is not None) == any_price or (any_price and not both):
            raise PydanticCustomError("price", "needs a change, or the prices of both input and output", {})
        return self


class NewModel(Selection):
    """A model that workloads could move to. Each workload is replayed by a rule of its own."""

    model: Name


class Throughput(Selection):
    """Units of provisioned throughput (PTU, provisioned throughput): what one serves a minute, and what it costs.

    What is beyond the units of a minute spills over to the API at the logged price. Without `units` they are sized.
    """

    name: Name
    input_tokens_per_minute: Amount
    output_tokens_per_minute: Amount | None = None
    usd_per_unit_hour: Amount
    least: Annotated[int, Field(ge=1)] = 1
    step: Annotated[int, Field(ge=1)] = 1
    units: Annotated[int, Field(ge=0)] | None = None


class BatchQuota(Selection):
    """Calls that can wait go to the batch tier, up to so many tokens a day."""

    name: Name
    tokens_per_day: Amount


class Seats(Selection):
    """A plan per user: what a seat costs, and what its windows hold of usage, in dollars of API prices.

    A window begins with the first call after the last one ended. What is beyond it is paid at API prices. Without
    `seats` the users who gain by one get one.
    """

    name: Name
    by: Name = "user"
    usd_per_month: Amount
    window: Milliseconds = 5 * 3_600_000
    usd_per_window: Amount | None = None
    usd_per_week: Amount | None = None


class Scenario(Part):
    """A whole file. What is left out stays as it is."""

    name: Name = "scenario"
    growth: Growth | Growths | None = None
    prices: tuple[PriceChange, ...] = ()
    models: tuple[NewModel, ...] = ()
    throughput: tuple[Throughput, ...] = ()
    batch: tuple[BatchQuota, ...] = ()
    seats: tuple[Seats, ...] = ()

    def growth_per_day(self) -> float | None:
        """Log units a day; None where none is stated."""
        if self.growth is None:
            return None
        return growth_per_day(self.growth) if isinstance(self.growth, str) else self.growth.per_day()


def load(path: str | Path) -> Scenario:
    """The scenario of a YAML file. Raises StrategyError with the file, the line and a remedy."""
    try:
        text = Path(path).read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise StrategyError("there is no such file", where=str(path), remedy=nearest_file(Path(path))) from error
    except (OSError, UnicodeDecodeError) as error:
        raise StrategyError(f"cannot be read as text: {error}", where=str(path)) from error
    value, lines = yaml_source.parse(text, str(path))
    if not isinstance(value, dict):
        raise StrategyError(
            "not a scenario: expected keys such as growth and throughput", where=f"{path}:{lines.get((), 1)}",
            remedy="The shortest scenario: {growth: 5%/month}",
        )  # fmt: skip
    try:
        return Scenario.model_validate(value)
    except ValidationError as error:
        raise explained(error, lines, str(path), Scenario.model_fields) from error


def schema() -> dict[str, Any]:
    """The JSON schema of a scenario file, for editors."""
    document = Scenario.model_json_schema(by_alias=True)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **document, "title": "Hindcast scenario"}
