#pragma once

namespace sutura {

/// First line of every program that computes: settings of the process that the CPU backends need to be fast.
///
/// Threads: workers spin for some ten microseconds at a barrier, then sleep. Endless spinning (the default of libgomp) makes a
/// shared machine, or a client and a server on one host, several times slower; none at all costs 5 % of a step. libgomp
/// reads OMP_WAIT_POLICY and GOMP_SPINCOUNT once, before main, so the program replaces itself (execv) with both set, unless
/// the user has set the policy.
/// Memory: freed tensors stay with the process. By default glibc returns large blocks to the kernel at once, and the page
/// faults of the next step cost 15 % of it. One arena serves all threads, since the others cannot hold large blocks.
void settle_process(char** argv);

}  // namespace sutura
