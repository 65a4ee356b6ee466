"""What the cudnn module says of itself with SUTURA_CUDNN_REPORT=1: without it nobody could tell the library's results from those of
our kernels, which step in for whatever it does not serve.

At the end of a session that asked for anything, one line on the error stream:
  cudnn: conv2d_forward served 12 ours 0, linear_forward served 3 ours 1
And, once for each operation whose arguments the library called wrong, a line with "Sutura's own kernel computes it".
"""
import re

ENVIRONMENT = {"SUTURA_CUDNN_REPORT": "1"}
PRODUCTS = ("conv2d_", "linear_")  # what a front or a tail on the backend is there for
REFUSED = "Sutura's own kernel computes it"
ENTRY = re.compile(r"(\w+) served (\d+) ours (\d+)")


class Report:
    """Of one program: `sessions` is [{function: (served, ours)}], `faults` [sentence] what no run may say."""

    def __init__(self, output):
        self.sessions, self.faults = [], []
        for line in output.splitlines():
            if REFUSED in line:
                self.faults.append(line.strip())
            elif line.startswith("cudnn: ") and " served " in line:
                entries = [ENTRY.fullmatch(entry) for entry in line.removeprefix("cudnn: ").strip().split(", ")]
                if all(entries):
                    self.sessions.append({e[1]: (int(e[2]), int(e[3])) for e in entries})
                else:
                    self.faults.append(f"no report of the cudnn module: {line.strip()}")

    def idle(self):
        """[sentence]: empty where the library computed a product at all."""
        return [] if products(total(self.sessions))[0] > 0 else ["cuDNN and cuBLAS computed no convolution and no linear layer"]

    def idle_sessions(self):
        """[sentence]: the same of each session that asked for products, where every one of them has a network to compute."""
        asked = [products(s) for s in self.sessions if sum(products(s)) > 0]
        idle = sum(served == 0 for served, _ in asked)
        return self.idle() or ([f"{idle} of {len(asked)} sessions had no convolution and no linear layer from cuDNN or cuBLAS"] if idle else [])


def total(sessions):
    """{function: (served, ours)} of several sessions or totals."""
    sums = {}
    for session in sessions:
        for name, (served, ours) in session.items():
            before = sums.get(name, (0, 0))
            sums[name] = (before[0] + served, before[1] + ours)
    return sums


def products(counts):
    """(served, ours) of convolutions and linear layers."""
    chosen = [c for name, c in counts.items() if name.startswith(PRODUCTS)]
    return sum(served for served, _ in chosen), sum(ours for _, ours in chosen)


def text(counts):
    served, ours = products(counts)
    return f"the libraries served {served} of {served + ours} calls of convolutions and linear layers"
