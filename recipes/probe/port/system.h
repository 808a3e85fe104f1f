#ifndef SYSTEM_H
#define SYSTEM_H

/* What main() was given; system.arguments() and system.environment() tell it. */
void keep_arguments(int count, char **words, char **environment);

#endif
