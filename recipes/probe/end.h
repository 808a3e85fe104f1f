/* How every interpreter of the probe ends: one line and exit code 1, whatever happens in it. Nobody may take a service for
 * healthy, or a probe for killed, because the probe itself failed. */
#ifndef END_H
#define END_H

/* Before anything is opened: whether standard output is ours, and what SIGPIPE, SIGINT and SIGTERM do. */
void prepare_end(void);

/* "unhealthy: the probe itself failed: WHAT", exit code 1. */
_Noreturn void fail(const char *what);

#endif
