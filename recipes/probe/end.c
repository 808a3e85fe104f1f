#include "end.h"

#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* A socket may take the number of a standard output that was closed; it must not get our line. */
static volatile sig_atomic_t can_print;

static void say(const char *text, size_t size)
{
    if (can_print)
        (void)!write(1, text, size);
}

_Noreturn void fail(const char *what)
{
    static const char before[] = "unhealthy: the probe itself failed: ";
    say(before, sizeof before - 1);
    say(what, strlen(what));
    say("\n", 1);
    _exit(1);
}

static void interrupted(int signal_number)
{
    static const char line[] = "unhealthy: interrupted\n";
    (void)signal_number;
    say(line, sizeof line - 1);
    _exit(1);
}

void prepare_end(void)
{
    struct stat status;
    can_print = !fstat(1, &status);
    /* A reader that is gone must not kill the probe before its exit code says so. */
    signal(SIGPIPE, SIG_IGN);
    static const int ends[] = {SIGINT, SIGTERM};
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++)
        if (signal(ends[i], interrupted) == SIG_IGN) /* as a shell starts what runs in its background */
            signal(ends[i], SIG_IGN);
}
