"""What came of a run of inference, for people."""

from dataclasses import dataclass

from data.common.errors import some
from data.storage.paths import AnyPath
from down_stream.inference.parts.shares import Others
from msn.sweep import Shard


@dataclass
class Result:
    """What came of a run: `summary` says it in words.

    Attributes:
      files: what was written.
      shape: of the embeddings.
      videos: names of those that the table has.
      before: rows that earlier runs had tried.
      new, changed, gone: names of the videos that this run has made, that it has made again since
        their files changed or more of their frames can be read, and that earlier runs had made and
        that are not there any more.
      frames, seconds, network_seconds: of this run's way through the frames.
      faults: a line for everything that could not be used.
      passed_over: files that are neither images nor videos.
      remarks: lines that a reader of the results should know.
    """

    files: list[AnyPath]
    shape: tuple[int, ...]
    videos: list[str]
    before: int
    new: list[str]
    changed: list[str]
    gone: list[str]
    frames: int
    seconds: float
    network_seconds: float
    faults: list[str]
    passed_over: int
    remarks: list[str]


@dataclass
class Share:
    """What came of one process's share of a table.

    Attributes:
      shard: which of how many processes.
      videos: names of those that were its own.
      before: rows that were there from earlier runs.
      frames, seconds: of this run's way through the others.
      faults: a line for everything that could not be used.
      others: how far the other shards are.
    """

    shard: Shard
    videos: list[str]
    before: int
    frames: int
    seconds: float
    faults: list[str]
    others: Others


def describe_share(share: Share) -> str:
    """A share in words, for people."""
    lines = [
        f"shard           {share.shard.number} of {share.shard.count}: {len(share.videos)} videos",
        f"frames          {share.frames} in {share.seconds:.1f} s; {share.before} were there",
    ]
    if not share.others.not_done:
        lines.append("table           another shard, the last one, writes it")
    else:
        lines.append(
            f"not done yet    shard {some(share.others.not_done)}; the last one writes the table"
        )
    return "\n".join([*lines, *_unreadable(share.faults)])


def _unreadable(faults: list[str]) -> list[str]:
    head = f"unreadable, all or in part ({len(faults)}):"
    return [head, *(f"  {line}" for line in faults)] if faults else []


def merged(lines: list[str]) -> list[str]:
    """Each line once; where one reason holds for several frames, with their number."""
    counts: dict[str, int] = {}
    for line in lines:
        counts[line] = counts.get(line, 0) + 1
    return [line if n == 1 else f"{line} ({n} frames)" for line, n in counts.items()]


def describe(result: Result) -> str:
    """A result in words, for people."""
    lines = [
        f"embeddings      float32 {list(result.shape)}",
        f"frames          {result.frames} in {result.seconds:.1f} s, "
        f"{result.frames / max(result.seconds, 1e-9):.1f} images/s",
        f"network         {result.network_seconds / max(result.seconds, 1e-9):.0%} of that time",
    ]
    if result.before:
        lines.append(f"before          {result.before} frames were there from earlier runs")
    if result.passed_over:
        lines.append(f"passed over     {result.passed_over} files of other kinds")
    lines += [
        f"{name:15} {rest.strip()}" for name, _, rest in (r.partition(":") for r in result.remarks)
    ]
    lines += [f"written to      {file}" for file in result.files]
    return "\n".join([*lines, *_unreadable(result.faults)])
