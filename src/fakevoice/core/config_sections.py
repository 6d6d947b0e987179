"""The sections of a config, each checked by itself; every number has its unit in its name."""

from typing import Annotated, Any, Literal, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

Args = dict[str, Any]


def _ascending(ends: tuple[float, float]) -> tuple[float, float]:
    if ends[0] > ends[1]:
        raise ValueError(f"the range {list(ends)} ends before it begins")
    return ends


def range_of(low: float, high: float) -> Any:
    """The type of two ascending numbers from `low` to `high`."""
    end = Annotated[float, Field(ge=low, le=high)]
    return Annotated[tuple[end, end], AfterValidator(_ascending)]


Range = range_of(-200, 200)  # of levels in dB: ten times the dynamic range of 16 bits is beyond any recording
Share = Annotated[float, Field(ge=0, le=1)]
Part = range_of(0, 1)
Score = Annotated[float, Field(ge=-1e9, le=1e9)]
Width = Annotated[int, Field(ge=1, le=16384)]  # of a layer, or bands of a feature: as many as the largest n_fft has
Depth = Annotated[int, Field(ge=1, le=256)]  # layers, or blocks of layers
Hertz = Annotated[float, Field(ge=0, le=96000)]  # half of the highest sample rate
UpperHertz = Annotated[float, Field(ge=1, le=96000)]
Weight = Annotated[float, Field(ge=0, le=1e6)]  # of a term of the loss
MOST_SEED = 2**31 - 1  # which LightGBM still takes
Seed = Annotated[int, Field(ge=0, le=MOST_SEED)]
Clips = Annotated[int, Field(ge=0, le=1_000_000)]  # that an adapter makes


def takes_booleans(annotation: Any) -> bool:
    """Whether a type may hold true and false; those of nested sections are their own business."""
    inner = get_args(annotation)
    is_section = isinstance(annotation, type) and issubclass(annotation, BaseModel)
    return annotation in (bool, Any) or is_section or any(map(takes_booleans, inner))


def holds_booleans(value: Any) -> bool:
    """Whether true or false occurs in a value of YAML."""
    if isinstance(value, dict):
        return any(map(holds_booleans, value.values()))
    return any(map(holds_booleans, value)) if isinstance(value, list | tuple) else isinstance(value, bool)


class Section(BaseModel):
    """Unknown keys and numbers that are none are errors, and nothing changes afterwards."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _numbers_are_numbers(cls, values: Any) -> Any:
        """Refuse true and false where a number belongs, which would count as 1 and 0."""
        for name, field in cls.model_fields.items():
            if isinstance(values, dict) and holds_booleans(values.get(name)) and not takes_booleans(field.annotation):
                raise ValueError(f"{name}: true and false are not a number or text")
        return values


class Plugin(Section):
    """A plug-in by file name, with the arguments that its function takes."""

    name: str  # of its file, without .py
    args: Args = {}  # keyword arguments of its function


class Data(Section):
    """Where competitions are stored. Data at a URL is downloaded to data_cache/ under home."""

    root: str = ""  # a folder, or a URL as s3://bucket/prefix; FAKEVOICE_DATA or data/ if empty
    cache_gb: float = Field(50.0, gt=0, le=1e6)  # largest download, in 10⁹ bytes


class Rules(Section):
    """What the competition's rules forbid; the model card and the report state them."""

    independent_files: bool = False  # the answer for a file depends on it alone; nothing is fitted on unlabeled clips


class Preprocessing(Section):
    """From a decoded file to a clip of exactly `clip_duration_s`, at `sample_rate_hz`."""

    trim_db: float | None = Field(None, gt=0, le=200)  # both ends are cut off where they are so far below the maximum
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

    n_scenes: int = Field(0, ge=0, le=10_000_000)  # of all folds together
    group_exponent: float = Field(0.0, ge=0, le=1)  # a group is heard as often as clips^this: 0 all alike, 1 by clip
    states: dict[str, Score] = {}  # state → prior; priors sum to 1
    level_dbfs: Range = (-34.0, -15.0)  # RMS of the finished scene
    snr_db: Range = (0.0, 30.0)  # of the voices while somebody speaks, over the noise
    no_noise_probability: float = Field(0.15, ge=0, le=1)  # per scene with a voice
    mined_noise_probability: float = Field(0.3, ge=0, le=1)  # per noise: of an unlabeled clip or noise file, not made
    noise_band_limit_probability: float = Field(0.2, ge=0, le=1)  # of the noise alone, within band_limit_hz
    gate_probability: float = Field(0.15, ge=0, le=1)  # the noise comes in bursts, with silence between
    event_probability: float = Field(0.3, ge=0, le=1)  # a second noise that comes and goes as a voice does
    room_probability: float = Field(0.4, ge=0, le=1)  # per voice
    equalizer_probability: float = Field(0.7, ge=0, le=1)  # per voice
    band_limit_probability: float = Field(0.4, ge=0, le=1)  # per voice
    band_limit_hz: range_of(1, 1e6) = (2500.0, 8000.0)  # above which nothing is left
    sequence_probability: float = Field(0.0, ge=0, le=1)  # per scene with several voices: one after the other
    resynthesis_probability: float = Field(0.33, ge=0, le=1)  # per voice of a label below: a copy through a vocoder
    resynthesis: dict[str, str] = {"real": "fake"}  # class of the clips that are copied → class of the copies
    resynthesis_codecs: list[str] = []  # of codecs; copies go through one of these or of `vocoders`
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


class Files(Section):
    """Test files that are longer than a clip: cut into windows, whose answers are pooled.

    Without `n_files` only the start of a test file counts. With it, files are simulated as scenes are; each is scored
    by models that did not see its fold, and the pooling of each output is chosen by these scores.
    """

    n_files: int = Field(0, ge=0, le=10_000_000)  # simulated, of all folds together
    duration_s: range_of(0.01, 86_400) = (4.0, 60.0)  # of a simulated file; its logarithm is uniform
    hop_s: float = Field(2.0, ge=0.001, le=86_400)  # between the ends of two windows, a clip at most
    pooling: list[Literal["mean", "max", "top_k", "attention"]] = Field(  # to choose from
        ["mean", "max", "top_k", "attention"], min_length=1
    )


class Spectrogram(Section):
    """The one STFT that all features share."""

    n_fft: int = Field(512, ge=16, le=16384)  # samples of a frame, even
    hop_length: int = Field(256, ge=1, le=16384)  # samples from frame to frame, n_fft at most

    @model_validator(mode="after")
    def _consistent(self) -> "Spectrogram":
        if self.hop_length > self.n_fft:
            raise ValueError(f"hop_length {self.hop_length} is longer than n_fft {self.n_fft}: samples would be lost")
        if self.n_fft % 2:
            raise ValueError(f"n_fft {self.n_fft} is odd")
        return self


class Answer(Section):
    """One output of a multilabel task: 1 where one of some classes is heard."""

    name: str  # of the output
    any_of: list[str] = Field(min_length=1)  # classes
    where: str = ""  # another output: this one is answered and scored as if that one were 1; always if empty


class Crop(Section):
    """The part of the picture that a network sees, from 0 to 1 of its bands and of its frames."""

    bands: Part = (0.0, 1.0)  # from the lowest
    frames: Part = (0.0, 1.0)  # from the first


class Training(Section):
    """How one fold of one network is trained."""

    n_epochs: int = Field(10, ge=1, le=100_000)  # the last one is kept, none is chosen
    batch_size: int = Field(32, ge=2, le=65536)  # scenes, of all processes of torchrun together
    precision: Literal["auto", "fp32", "bf16"] = "auto"  # of products; "auto": `precision` decides
    learning_rate: float = Field(2e-3, gt=0, le=100)  # of AdamW, at its highest
    weight_decay: float = Field(0.02, ge=0, le=1000)  # of AdamW
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

    n_rounds: int = Field(200, ge=1, le=100_000)  # trees for each output; all are used, none is chosen
    learning_rate: float = Field(0.03, gt=0, le=100)  # share of each tree that counts
    n_leaves: int = Field(15, ge=2, le=131072)  # of a tree, at most
    min_rows_per_leaf: int = Field(40, ge=1, le=10_000_000)  # scenes
    feature_fraction: float = Field(0.3, gt=0, le=1)  # columns that a tree may look at
    l2: float = Field(10.0, ge=0, le=1e9)  # penalty on what a leaf says
    extra_trees: bool = False  # one threshold per column is tried, drawn at random: half the time for as many rounds
    n_bins: int = Field(255, ge=2, le=65535)  # steps into which a column is divided, at most
    ignored: list[str] = []  # columns that it may not see, as shell patterns: what tells the channel, not the voice


class Ensemble(Section):
    """The blend of networks and stacker, and what calibrates it further."""

    penalty: float = Field(100.0, gt=0, le=1e12)  # L2, on intercepts and on what is added to one weight per member
    calibrator: str = "identity"  # of calibrators/; the blend calibrates by itself
    n_bootstrap: int = Field(500, ge=10, le=1_000_000)  # draws of groups behind each interval


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


# What the server of DACON 236749 (2026) says is installed; a package must not replace it.
DACON_SERVER = {
    "torch": "2.7.1",
    "torchaudio": "2.7.1",
    "numpy": "1.26.4",
    "pandas": "2.0.3",
    "scipy": "1.15.3",
    "scikit-learn": "1.8.0",
    "joblib": "1.5.3",
    "transformers": "4.57.6",
    "huggingface-hub": "0.34.4",
    "safetensors": "0.6.2",
    "librosa": "0.10.2.post1",
    "soundfile": "0.12.1",
    "soxr": "0.5.0.post1",
    "einops": "0.8.1",
    "demucs": "4.0.1",
    "panns-inference": "0.1.1",
    "matplotlib": "3.10.8",
    "pyyaml": "6.0.1",
    "rich": "13.7.1",
    "tqdm": "4.66.4",
}


class Package(Section):
    """The server that runs a package of a code competition; the defaults are those of DACON 236749."""

    model_config = ConfigDict(coerce_numbers_to_str=True)
    python: str = Field("3.11", pattern=r"^3\.\d+$")  # version of Python
    preinstalled: dict[str, str] = DACON_SERVER  # package → version; DACON_SERVER is the list of DACON 236749
    device: Literal["auto", "cpu", "cuda"] = "cpu"  # of the networks; features are computed on all cores with "cpu"
    install_minutes: float = Field(10, gt=0)  # limit of the installation of requirements.txt
    inference_minutes: float = Field(60, gt=0)  # limit of the inference on all files
    files: int = Field(1200, ge=1)  # number of hidden files
    zip_gb: float = Field(10, gt=0)  # largest package, in 10⁹ bytes
    unpacked_gb: float = Field(32, gt=0)  # the same after unpacking


class Published(Section):
    """What a source reports for the same task, printed beside ours."""

    source: str  # who says so, for the table's title
    by_fold: dict[str, list[Score]] = {}  # system → the competition's metric in each fold
    systems: dict[str, dict[str, Score]] = {}  # system → metric → value
