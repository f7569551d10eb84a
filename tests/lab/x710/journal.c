/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The journal: what a driver did that the device does not know or cannot accept.
 *
 * A test fails on any line, because a driver that leaves the known part of the device proves nothing.
 */
#include "device.h"

/* A guest must not be able to fill the host's disk. */
#define MAX_LINES 1000

static FILE *open_journal(X710State *s)
{
    if (!s->journal && s->journal_path) {
        s->journal = fopen(s->journal_path, "a");
        if (s->journal) {
            setvbuf(s->journal, NULL, _IOLBF, 0);
        }
    }
    return s->journal ? s->journal : stderr;
}

void x710_journal(X710State *s, const char *format, ...)
{
    FILE *journal = open_journal(s);
    const char *id = DEVICE(s)->id ? DEVICE(s)->id : TYPE_X710;
    va_list arguments;

    if (s->journal_lines > MAX_LINES) {
        return;
    }
    if (s->journal_lines++ == MAX_LINES) {
        fprintf(journal, "%s: more than %d lines; the rest is left out\n", id, MAX_LINES);
        return;
    }
    va_start(arguments, format);
    g_autofree char *line = g_strdup_vprintf(format, arguments);
    va_end(arguments);
    /* One call, because the devices of one machine append to the same file. */
    fprintf(journal, "%s: %s\n", id, line);
}
