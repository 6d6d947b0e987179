"""What `./run.sh tune` searches: words such as stacker.n_leaves=3..31 become values of keys, and a trial's config."""

import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fakevoice.core import plugins
from fakevoice.core.config import Config, digest, load_config
from fakevoice.core.errors import ConfigError
from fakevoice.core.paths import paths

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

NUMBER = r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?"
RANGE = re.compile(rf"({NUMBER})\.\.({NUMBER})(:log)?")
WHOLE = re.compile(r"[+-]?[0-9]{1,18}")


@dataclass(frozen=True)
class Searched:
    """Values that one key may take: from `low` to `high`, whole numbers where both are, or one of `choices`."""

    low: float = 0
    high: float = 0
    log: bool = False
    choices: tuple[str, ...] = ()

    @property
    def ends(self) -> tuple[str, ...]:
        """As words of the command line: both ends, or all choices."""
        return self.choices or (str(self.low), str(self.high))

    def distribution(self) -> "BaseDistribution":
        """The same for Optuna."""
        from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

        if self.choices:
            return CategoricalDistribution(self.choices)
        kind = IntDistribution if isinstance(self.low, int) else FloatDistribution
        return kind(self.low, self.high, log=self.log)


@dataclass(frozen=True)
class Plan:
    """What a command asks for.

    Attributes:
        config_name: as `load_config` takes it.
        config: without the keys that are searched.
        searched: key → its values.
        fixed: all other words.
    """

    config_name: str
    config: Config
    searched: dict[str, Searched]
    fixed: list[str]

    @property
    def study(self) -> str:
        """Eight hexadecimal digits that stand for what is searched and for the whole config around it."""
        values = {key: asdict(searched) for key, searched in self.searched.items()}
        return digest([values, self.config.model_dump(mode="json", exclude={"experiment"})])[:8]

    @property
    def runs(self) -> Path:
        """The folder of all experiments of the competition."""
        return paths(self.config).run.parent

    @property
    def greater_is_better(self) -> bool:
        return plugins.load("metrics", self.config.metric).GREATER_IS_BETTER

    def experiment(self, number: int) -> str:
        """Name of the run of one trial."""
        return f"tune-{self.study}-{number}"

    def config_with(self, values: dict[str, Any], experiment: str = "") -> Config:
        """The config of one trial.

        Raises:
            ConfigError: an unknown key or an impossible value.
        """
        words = [*self.fixed, *(f"{key}={value}" for key, value in values.items())]
        return load_config(self.config_name, [*words, f"experiment={experiment}"] if experiment else words)


def make_plan(config_name: str, words: list[str]) -> Plan:
    """Tell what is searched from what is fixed, and try both ends of each range on the config.

    Raises:
        ConfigError: nothing to search, an unknown key, or a range that is none or goes beyond what its key can be.
    """
    pairs = [word.partition("=") for word in words]
    found = {key: values for key, _, text in pairs if (values := _searched(key, text))}
    fixed = [word for word, (key, _, _) in zip(words, pairs, strict=True) if key not in found]
    if not found:
        raise ConfigError("nothing to search: name a key as key=LOW..HIGH, key=LOW..HIGH:log or 'key=a|b|c'")
    plan = Plan(config_name, load_config(config_name, fixed), found, fixed)
    for index in range(max(len(values.ends) for values in found.values())):
        plan.config_with({key: values.ends[min(index, len(values.ends) - 1)] for key, values in found.items()})
    return plan


def _searched(key: str, text: str) -> Searched | None:
    """The values that a word asks for; none where it holds one value."""
    if "|" in text:
        return Searched(choices=tuple(text.split("|")))
    match = RANGE.fullmatch(text)
    if match is None:
        return None
    ends, log = match.group(1, 2), bool(match.group(3))
    kind = int if all(map(WHOLE.fullmatch, ends)) else float
    low, high = map(kind, ends)
    if not low < high or (log and low <= 0):
        rule = "from a smaller to a larger number" + (" above 0" if log else "")
        raise ConfigError(f"{key}={text}: a range goes {rule}")
    return Searched(low, high, log)
