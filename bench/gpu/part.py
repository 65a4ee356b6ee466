"""What came of one part of scripts/gpu_check."""
import cudnn_report


class OutOfTime(Exception):
    """Nothing more is begun."""


class Part:
    """`differences`: [sentence] of what was computed otherwise than it must be; `faults`: what else went wrong, which says nothing
    about the kernels; `remarks`: what is worth knowing. The part failed if it has one of the first two."""

    def __init__(self):
        self.text, self.differences, self.faults, self.remarks, self.served = "", [], [], [], {}

    def failed(self):
        return bool(self.differences or self.faults)

    def note(self):
        wrong = list(dict.fromkeys(self.differences + self.faults))
        return ("FAILED: " if wrong else "") + "; ".join(t for t in [*wrong, self.text, *self.remarks] if t)

    def library(self, where, output, idle):
        """Adds what the cudnn module said in a program's output; `idle` says of a Report what of it must not be. Nothing where all is
        well."""
        report = cudnn_report.Report(output)
        self.served = cudnn_report.total([self.served, *report.sessions])
        faults = [f"{where}: {f}" for f in report.faults + idle(report)]
        self.faults += faults
        return faults
