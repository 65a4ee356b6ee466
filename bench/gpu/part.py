"""What came of one part of scripts/gpu_check."""
import cudnn_report


class OutOfTime(Exception):
    """Nothing more is begun."""


class Part:
    """`differences`: [sentence] of what was computed otherwise than it must be; `faults`: what else went wrong, which says nothing
    about the kernels; `remarks`: what is worth knowing; `served`: {function: (calls that the cudnn module's libraries served, calls that
    our kernels did)}. The part failed if it has a difference or a fault."""

    def __init__(self):
        self.text, self.differences, self.faults, self.remarks, self.served, self.begun, self.seconds = "", [], [], [], {}, False, 0.0

    def failed(self):
        return bool(self.differences or self.faults)

    def note(self):
        wrong = list(dict.fromkeys(self.differences + self.faults))
        text = ("FAILED: " if wrong else "") + "; ".join(t for t in [*wrong, self.text, *self.remarks] if t)
        if self.begun:
            text += f"{',' if text else ''} {self.seconds:.0f} s"
        return " ".join(text.replace("|", "/").split())  # a cell of a table

    def library(self, where, output, idle):
        """Adds what the cudnn module said in a program's output; `idle` says of a Report what of it must not be. [sentence]: what was wrong."""
        report = cudnn_report.Report(output)
        self.served = cudnn_report.total([self.served, *report.sessions])
        faults = [f"{where}: {f}" for f in report.faults + idle(report)]
        self.faults += faults
        return faults
