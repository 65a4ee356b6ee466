"""Runs GoogleTest programs and tells a test that failed from one that could not be run."""
import concurrent.futures
import pathlib
import signal

from study import UNUSABLE

STOPPED = 124  # the exit status of a program that was stopped because its time was over
FOUND = 9  # the one by which a sanitizer says that it found something


def ended(status):
    return "stopped, its time was over" if status == STOPPED else f"exit status {status}"


def judge(part, where, status, output):
    """Adds to the part what a program's end and output say against it. How many tests passed; a run in which no test ran is no
    pass."""
    lines = output.splitlines()
    passed = sum(int(line.split()[3]) for line in lines if line.startswith("[  PASSED  ]"))
    failed = {line.split()[3].rstrip(",") for line in lines if line.startswith("[  FAILED  ]") and not line.split()[3].isdigit()}
    unusable = next((line.strip() for line in lines if UNUSABLE in line), None)
    if status == FOUND:
        part.differences.append(f"{where}: the sanitizer found errors")
    elif failed and not unusable:
        part.differences.append(f"{where}: {len(failed)} tests failed, {min(failed)} among them")
    elif status < 0 and status != -signal.SIGKILL:  # which is how a system without memory ends a program
        part.differences.append(f"{where}: ended by {signal.Signals(-status).name}")
    elif unusable:
        part.faults.append(f"{where}: {unusable}")
    elif status != 0:
        part.faults.append(f"{where}: {ended(status)}")
    elif passed == 0:
        part.faults.append(f"{where}: no test passed")
    return passed


def run(part, run_program, name, program, chosen, wrapper=(), shards=1, limit=240):
    """The chosen tests of one program, in `shards` processes at once: how many passed, and what all of them wrote. Without a device they
    fail, not skip."""
    command = [*wrapper, program, f"--gtest_filter={chosen}"]
    passed, outputs = 0, []

    def one(shard):
        return run_program(name, command, limit, {"GTEST_TOTAL_SHARDS": str(shards), "GTEST_SHARD_INDEX": str(shard), "SUTURA_REQUIRE_GPU": "1"})

    with concurrent.futures.ThreadPoolExecutor(shards) as pool:
        for status, output in pool.map(one, range(shards)):
            passed += judge(part, f"{pathlib.Path(program).name} {chosen}", status, output)
            outputs.append(output)
    return passed, "\n".join(outputs)
