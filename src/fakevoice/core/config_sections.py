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
    """Unknown keys and numbers that are none are errors, and nothing changes afterwards."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Plugin(Section):
    """A plug-in by file name, with the arguments that its function takes."""

    name: str  # of its file, without .py
    args: Args = {}  # keyword arguments of its function


class Data(Section):
    """Where competitions are stored. Data at a URL is downloaded to data_cache/ under home."""

    root: str = ""  # a folder, or a URL as s3://bucket/prefix; FAKEVOICE_DATA or data/ if empty
    cache_gb: float = Field(50.0, gt=0)  # largest download, in 10⁹ bytes


class Preprocessing(Section):
    """From a decoded file to a clip of exactly `clip_duration_s`, at `sample_rate_hz`."""

    trim_db: PositiveFloat | None = None  # both ends are cut off where they lie this far under the loudest moment
    fit: Literal["start", "center", "repeat"] = "start"  # where zeros and cuts go, or the clip again instead of zeros


class Folds(Section):
    """How clips are split. `groups`: from the data where known, derived from the recordings, or each clip alone.

    `unit` is what a fold holds back: ``group``, a speaker or generator; or ``channel``, all groups that
    were recorded alike, which is what a test from other sources asks.
    """

    n_folds: int = Field(5, ge=2, le=50)  # each is held back once
    groups: Literal["known_or_derived", "derived", "none"] = "known_or_derived"  # whose clips stay together
    unit: Literal["group", "channel"] = "group"  # what a fold holds back as a whole


class Scenes(Section):
    """The test's environment, simulated. Without `states` each clip is a scene of its own.

    `states` gives the prior of each state; its name lists the classes heard, joined by ``+``, or is
    ``none``. All probabilities are per scene (or per voice where it says so).
    """

    n_scenes: int = Field(0, ge=0)  # of all folds together
    group_exponent: float = Field(0.0, ge=0, le=1)  # a group is heard as often as clips^this: 0 all alike, 1 by clip
    states: dict[str, float] = {}  # state → prior; priors sum to 1
    level_dbfs: Range = (-34.0, -15.0)  # RMS of the finished scene
    snr_db: Range = (0.0, 30.0)  # of the voices while somebody speaks, over the noise
    no_noise_probability: float = Field(0.15, ge=0, le=1)  # per scene with a voice
    mined_noise_probability: float = Field(0.3, ge=0, le=1)  # per noise: cut out of an unlabeled clip, not made
    noise_band_limit_probability: float = Field(0.2, ge=0, le=1)  # of the noise alone, within band_limit_hz
    gate_probability: float = Field(0.15, ge=0, le=1)  # the noise comes in bursts, with silence between
    event_probability: float = Field(0.3, ge=0, le=1)  # a second noise that comes and goes as a voice does
    room_probability: float = Field(0.4, ge=0, le=1)  # per voice
    equalizer_probability: float = Field(0.7, ge=0, le=1)  # per voice
    band_limit_probability: float = Field(0.4, ge=0, le=1)  # per voice
    band_limit_hz: PositiveRange = (2500.0, 8000.0)  # above which nothing is left
    resynthesis_probability: float = Field(0.33, ge=0, le=1)  # per fake voice: a real clip through a vocoder
    resynthesis_source: str = "real"  # class of the clips that go through a vocoder
    resynthesis_label: str = "fake"  # class that they become
    codec_probability: float = Field(0.4, ge=0, le=1)  # per scene: it passes through one of `codecs`
    container: str = ""  # codec of the files in which test clips come; every scene passes through it last
    noises: list[str] = []  # of this and the next two: all that there are, where none is named
    vocoders: list[str] = []  # plug-ins, as noises are
    codecs: list[str] = []  # vorbis, mp3, opus, ulaw, alaw, gsm, adpcm

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

    n_fft: int = Field(512, ge=16, le=16384)  # samples of a frame, even
    hop_length: int = Field(256, ge=1)  # samples from frame to frame, n_fft at most

    @model_validator(mode="after")
    def _consistent(self) -> "Spectrogram":
        if self.hop_length > self.n_fft:
            raise ValueError(f"hop_length {self.hop_length} is longer than n_fft {self.n_fft}: samples would be lost")
        if self.n_fft % 2:
            raise ValueError(f"n_fft {self.n_fft} is odd")
        return self


class Crop(Section):
    """The part of the picture that a network sees, from 0 to 1 of its bands and of its frames."""

    bands: Part = (0.0, 1.0)  # from the lowest
    frames: Part = (0.0, 1.0)  # from the first


class Training(Section):
    """How one fold of one network is trained."""

    n_epochs: int = Field(10, ge=1)  # the last one is kept, none is chosen
    batch_size: int = Field(32, ge=2)  # scenes, of all processes of torchrun together
    precision: Literal["auto", "fp32", "bf16"] = "auto"  # of products; "auto": `precision` decides
    learning_rate: float = Field(2e-3, gt=0)  # of AdamW, at its highest
    layer_decay: float = Field(1.0, gt=0, le=1)  # learning rate of a layer group, as a share of the group after it
    weight_decay: float = Field(0.02, ge=0)  # of AdamW
    schedule: Literal["cosine", "constant"] = "cosine"  # after a linear warm-up, or no schedule at all
    warmup_fraction: float = Field(0.1, ge=0, lt=1)  # of all steps
    start_factor: float | None = Field(None, gt=0, le=1)  # of the learning rate at the first step; 1 / warm-up if None
    end_factor: float = Field(0.0, ge=0, lt=1)  # of the learning rate, where the cosine ends
    ema_decay: float = Field(0.995, ge=0, lt=1)  # per step, of the running average of the weights, which is kept
    label_smoothing: float = Field(0.02, ge=0, lt=0.5)  # how far a target is drawn towards an even guess
    mean_subtraction: Literal["none", "band"] = "none"  # "band": each clip's mean per band, i.e. its channel


class Network(Section):
    """One k-fold network: a feature, an architecture, its augmentation and its training.

    `head: states` tells all of scenes.states apart and derives the labels from them; `adapt` learns from
    the unlabeled clips beside the scenes; `warm_start: competition/experiment/network` starts fold k from the
    weights of that run's fold k.
    """

    feature: str  # of `features`
    model: Plugin  # of models/
    crop: Crop = Crop()  # of the feature's picture
    warm_start: str = Field("", pattern=r"^$|^[^/]+/[^/]+/[^/]+$")  # from nothing if empty
    head: Literal["labels", "states"] = "labels"  # what the network tells apart
    augment: list[Plugin] = []  # of augment/, in this order within each kind
    adapt: list[Plugin] = []  # of adaptation/
    training: Training = Training()  # of each fold


class Stacker(Section):
    """LightGBM on pooled features and OOF logits."""

    n_rounds: int = Field(200, ge=1)  # trees for each output; all are used, none is chosen
    learning_rate: float = Field(0.03, gt=0)  # share of each tree that counts
    n_leaves: int = Field(15, ge=2)  # of a tree, at most
    min_rows_per_leaf: int = Field(40, ge=1)  # scenes
    feature_fraction: float = Field(0.3, gt=0, le=1)  # columns that a tree may look at
    l2: float = Field(10.0, ge=0)  # penalty on what a leaf says
    extra_trees: bool = False  # one threshold per column is tried, drawn at random: half the time for as many rounds
    n_bins: int = Field(255, ge=2)  # steps into which a column is divided, at most
    ignored: list[str] = []  # columns that it may not see, as shell patterns: what tells the channel, not the voice


class Ensemble(Section):
    """The blend of networks and stacker, and what calibrates it further."""

    penalty: float = Field(100.0, gt=0)  # L2, on intercepts and on what is added to one weight per member
    calibrator: str = "identity"  # of calibrators/; the blend calibrates by itself
    n_bootstrap: int = Field(500, ge=10)  # draws of groups behind each interval


class Board(Section):
    """Where submissions are scored: a site, and what the competition is called there."""

    model_config = ConfigDict(coerce_numbers_to_str=True)
    site: Literal["", "kaggle", "dacon"] = ""  # nowhere if empty
    competition: str = ""  # Kaggle's name of it, as in its address, or DACON's number

    @model_validator(mode="after")
    def _consistent(self) -> "Board":
        if bool(self.site) != bool(self.competition):
            raise ValueError("site and competition belong together: give both or neither")
        return self


class Published(Section):
    """What a source reports for the same task, printed beside ours."""

    source: str  # who says so, for the table's title
    by_fold: dict[str, list[float]] = {}  # system → the competition's metric in each fold
    systems: dict[str, dict[str, float]] = {}  # system → metric → value
