"""The sections of a config, each checked by itself; every number has its unit in its name."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PositiveFloat, model_validator

Args = dict[str, Any]


def _ascending(ends: tuple[float, float]) -> tuple[float, float]:
    if ends[0] > ends[1]:
        raise ValueError(f"the range {list(ends)} ends before it begins")
    return ends


Range = Annotated[tuple[float, float], AfterValidator(_ascending)]
Share = Annotated[float, Field(ge=0, le=1)]
Part = Annotated[tuple[Share, Share], AfterValidator(_ascending)]
PositiveRange = Annotated[tuple[PositiveFloat, PositiveFloat], AfterValidator(_ascending)]


class Section(BaseModel):
    """Unknown keys are errors, and nothing changes afterwards."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Plugin(Section):
    """A plug-in by file name, with the arguments that its function takes."""

    name: str
    args: Args = {}


class Data(Section):
    """Where competitions lie. What is read from a URL is kept under home, up to `cache_gb` (10⁹ bytes) of it."""

    root: str = ""  # a folder, or a URL as s3://bucket/prefix; FAKEVOICE_DATA or data/ if empty
    cache_gb: float = Field(50.0, gt=0)


class Preprocessing(Section):
    """From a decoded file to a clip of exactly `clip_duration_s`, at `sample_rate_hz`."""

    mono: Literal["mean", "first", "loudest"] = "mean"  # of the channels
    trim_db: PositiveFloat | None = None  # both ends are cut off where they lie this far under the loudest moment
    fit: Literal["start", "center", "repeat"] = "start"  # where zeros and cuts go, or the clip again instead of zeros


class Folds(Section):
    """How clips are split. `groups`: from the data where known, derived from the recordings, or each clip alone.

    `unit` is what a fold holds back: ``group``, a speaker or generator; or ``channel``, all groups that
    were recorded alike, which is what a test from other sources asks.
    """

    n_folds: int = Field(5, ge=2, le=50)
    groups: Literal["known_or_derived", "derived", "none"] = "known_or_derived"
    unit: Literal["group", "channel"] = "group"


class Scenes(Section):
    """The test's environment, simulated. Without `states` each clip is a scene of its own.

    `states` gives the prior of each state; its name lists the classes heard, joined by ``+``, or is
    ``none``. All probabilities are per scene (or per voice where it says so).
    """

    n_scenes: int = Field(0, ge=0)
    states: dict[str, float] = {}
    voice_gain_db: Range = (-6.0, 6.0)  # each voice around the common level
    level_dbfs: Range = (-34.0, -15.0)  # RMS of the finished scene
    snr_db: Range = (0.0, 30.0)
    no_noise_probability: float = Field(0.15, ge=0, le=1)
    mined_noise_probability: float = Field(0.3, ge=0, le=1)
    noise_band_limit_probability: float = Field(0.2, ge=0, le=1)  # of the noise alone, within band_limit_hz
    gate_probability: float = Field(0.15, ge=0, le=1)  # the noise comes in bursts, with silence between
    event_probability: float = Field(0.3, ge=0, le=1)  # a second noise that comes and goes as a voice does
    room_probability: float = Field(0.4, ge=0, le=1)  # per voice
    rt60_s: PositiveRange = (0.1, 0.8)
    equalizer_probability: float = Field(0.7, ge=0, le=1)  # per voice
    equalizer_db: float = Field(8.0, ge=0)
    band_limit_probability: float = Field(0.4, ge=0, le=1)  # per voice
    band_limit_hz: PositiveRange = (2500.0, 8000.0)
    resynthesis_probability: float = Field(0.33, ge=0, le=1)  # per fake voice: a real clip through a vocoder
    resynthesis_source: str = "real"
    resynthesis_label: str = "fake"
    codec_probability: float = Field(0.4, ge=0, le=1)
    clipping_probability: float = Field(0.05, ge=0, le=1)
    container: str = ""  # codec of the files in which test clips come; every scene passes through it last
    matched: bool = False  # more are drawn, and those kept that are like the unlabeled clips, where there are enough
    noises: list[str] = []  # of this and the next two: all that there are, where none is named
    vocoders: list[str] = []
    codecs: list[str] = []

    @model_validator(mode="after")
    def _consistent(self) -> "Scenes":
        if bool(self.n_scenes) != bool(self.states):
            raise ValueError("n_scenes and states belong together: give both or neither")
        if self.states and abs(sum(self.states.values()) - 1.0) > 1e-6:
            raise ValueError(f"the prior of the states sums to {sum(self.states.values()):.4f}, not 1")
        if any(prior < 0 for prior in self.states.values()):
            raise ValueError("a prior of a state is negative")
        return self


class Spectrogram(Section):
    """The one STFT that all features share."""

    n_fft: int = Field(512, ge=16, le=16384)
    hop_length: int = Field(256, ge=1)

    @model_validator(mode="after")
    def _consistent(self) -> "Spectrogram":
        if self.hop_length > self.n_fft:
            raise ValueError(f"hop_length {self.hop_length} is longer than n_fft {self.n_fft}: samples would be lost")
        if self.n_fft % 2:
            raise ValueError(f"n_fft {self.n_fft} is odd")
        return self


class Crop(Section):
    """The part of the picture that a network sees, from 0 to 1 of its bands and of its frames."""

    bands: Part = (0.0, 1.0)
    frames: Part = (0.0, 1.0)


class Training(Section):
    """How one fold of one network is trained."""

    n_epochs: int = Field(10, ge=1)
    batch_size: int = Field(32, ge=2)
    precision: Literal["auto", "fp32", "bf16"] = "auto"  # of products; "auto": `precision` decides
    learning_rate: float = Field(2e-3, gt=0)
    weight_decay: float = Field(0.02, ge=0)
    schedule: Literal["cosine", "constant"] = "cosine"  # after a linear warm-up, or no schedule at all
    warmup_fraction: float = Field(0.1, ge=0, lt=1)  # of all steps
    start_factor: float | None = Field(None, gt=0, le=1)  # of the learning rate at the first step; 1 / warm-up if None
    end_factor: float = Field(0.0, ge=0, lt=1)  # of the learning rate, where the cosine ends
    ema_decay: float = Field(0.995, ge=0, lt=1)
    label_smoothing: float = Field(0.02, ge=0, lt=0.5)
    mean_subtraction: Literal["none", "band"] = "none"  # "band": each clip's mean per band, i.e. its channel
    standardize: Literal["band", "dataset"] = "band"  # by mean and deviation of each band, or of all values together
    batch_norm: Literal["train", "unlabeled"] = "train"  # whose statistics scoring uses: AdaBN where unlabeled


class Network(Section):
    """One k-fold network: a feature, an architecture, its augmentation and its training.

    `head: states` tells all of scenes.states apart and derives the labels from them; `adapt` learns from
    the unlabeled clips beside the scenes; `warm_start: competition/experiment/network` starts fold k from the
    weights of that run's fold k.
    """

    feature: str
    model: Plugin
    crop: Crop = Crop()
    warm_start: str = Field("", pattern=r"^$|^[^/]+/[^/]+/[^/]+$")
    head: Literal["labels", "states"] = "labels"
    augment: list[Plugin] = []
    adapt: list[Plugin] = []
    training: Training = Training()

    @property
    def plugin_modules(self) -> list[str]:
        """Files of its plug-ins below the package, without ``.py``."""
        augment = [f"augment/{plugin.name}" for plugin in self.augment]
        adapt = [f"adaptation/{plugin.name}" for plugin in self.adapt]
        return [f"models/{self.model.name}", *augment, *adapt]

    @property
    def uses_unlabeled(self) -> bool:
        """Whether training reads the unlabeled clips."""
        return bool(self.adapt) or self.training.batch_norm == "unlabeled"


class Stacker(Section):
    """LightGBM on pooled features and OOF logits."""

    n_rounds: int = Field(200, ge=1)
    learning_rate: float = Field(0.03, gt=0)
    n_leaves: int = Field(15, ge=2)
    min_rows_per_leaf: int = Field(40, ge=1)
    feature_fraction: float = Field(0.3, gt=0, le=1)
    row_fraction: float = Field(0.7, gt=0, le=1)
    l2: float = Field(10.0, ge=0)


class Ensemble(Section):
    """The blend of networks and stacker, and what calibrates it further."""

    penalty: float = Field(100.0, gt=0)  # L2, on intercepts and on what is added to one weight per member
    calibrator: str = "identity"
    n_bootstrap: int = Field(500, ge=10)
    discount_shortcuts: bool = True  # judge by scenes weighted so that how a voice was recorded tells no label
    pseudo_share: float = Field(0.1, ge=0)  # weight of the simulated prior against what the unlabeled clips show


class Published(Section):
    """What a source reports for the same task, printed beside ours."""

    source: str
    by_fold: dict[str, list[float]] = {}  # system → the competition's metric in each fold
    systems: dict[str, dict[str, float]] = {}  # system → metric → value
