#pragma once

namespace sutura {

/// First line of every program: makes the worker threads of the CPU backends sleep at barriers instead of spinning.
/// libgomp reads OMP_WAIT_POLICY once, before main, so the program replaces itself (execv) with the variable set, unless the
/// user has set it. Spinning threads make a shared machine, or a client and a server on one host, several times slower.
void sleep_at_barriers(char** argv);

}  // namespace sutura
