"""A small workflow with every kind of end: run it, then type ``otel-workflow report``."""

import time

import otel_workflow as ow


@ow.phase("compile", type="build")
def compile_all(files: int) -> int:
    """Compile; two files do not parse."""
    phase = ow.current_phase()
    for done in range(files):
        time.sleep(0.01)
        phase.progress(done + 1, files)
    phase.fail("2 files do not parse", error_type="syntax")
    return files - 2


def main() -> None:
    """Run the workflow once."""
    ow.configure()
    with ow.workflow("nightly", attributes={"vcs.ref.head.name": "main"}):
        compile_all(12)
        with ow.phase("publish") as phase:
            phase.skip("nothing to publish")


if __name__ == "__main__":
    main()
