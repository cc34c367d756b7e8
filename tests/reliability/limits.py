"""What is not promised, in words: the honest half of the page."""

__all__ = ("LIMITS",)

LIMITS = """\
- **Power loss.** A record survives any death of its process once the write has returned. A power cut or a kernel crash
  may take what the disk was not told to keep: up to 100 ms with `OW_JOURNAL_SYNC=interval` (the default), nothing with
  `always`, everything since the kernel's last write-back with `never`.
- **Ephemeral disks.** A journal dies with its disk. On a runner that is thrown away, what is not sent by the last step
  is lost: let `ship` run in an `always()` step, or keep the journal directory as an artifact.
- **Memory only.** Where no directory can be written, the journal is in memory and a kill loses it; a warning says so.
- **A disk that fails and stays so.** What it refuses waits in 16 MiB of memory, which a kill loses. If it is not back
  when the process ends, what went out from memory is in no journal: reports and the daemon's numbers lack it, and
  who ships the directory later takes a phase that began on disk for interrupted. Where another process delivers the
  directory, nothing goes out from memory: it waits for the disk, and is lost, counted and said, at the end.
- **At least once.** A sender that dies between a collector's acceptance and its own note sends one batch again, byte
  for byte the same. Backends that do not fold equal spans, and span metrics made in a collector, count it twice.
- **The SDK lane.** Where a foreign SDK provider makes the spans, finished spans are as safe as that SDK; the bridge
  sends only what a kill left open.
- **What a span gathers** (attributes that are set later, span events, links, published events that are no phase) is
  written with its end: a kill takes it. A span shows 128 events between its start and its end and counts the rest.
- **A full journal.** Beyond `OW_JOURNAL_MAX` the oldest go first, unsent ones too if nothing else is left; counted.
- **Secrets** that look like nothing and were named to nobody are not found.
- **The end of a killed phase** is its process's last sign of life, at most 1.5 s early, and flagged as estimated.
"""
